"""The people of the demo: about thirty, of several countries, all invented."""

from __future__ import annotations

from dataclasses import dataclass

from daemon.demo.tree import LOCKED, PEOPLE, Tree


@dataclass(frozen=True, slots=True)
class Invented:
    """One invented person."""

    uid: str
    name: str
    country: str
    title: str
    emails: tuple[str, ...]
    uses_ai: bool = True
    locked: bool = False


_PEOPLE = (
    Invented("ada.okafor", "Ada Okafor", "NG", "Head of Engineering", ("ada.okafor@example.com", "ada@example.com")),
    Invented("aiko.tanabe", "Aiko Tanabe", "JP", "Data Scientist", ("aiko.tanabe@example.com",)),
    Invented("aylin.yildiz", "Aylin Yıldız", "TR", "Product Designer", ("aylin.yildiz@example.com", "aylin.yıldız@example.com")),
    Invented("bruno.carvalho", "Bruno Carvalho", "BR", "Backend Developer", ("bruno.carvalho@example.com",)),
    Invented("camille.roux", "Camille Roux", "FR", "Legal Counsel", ("camille.roux@example.com",), uses_ai=False),
    Invented("chen.wei", "陈伟", "CN", "Site Reliability Engineer", ("chen.wei@example.com",)),
    Invented("chiara.bianchi", "Chiara Bianchi", "IT", "Technical Writer", ("chiara.bianchi@example.com", "docs@example.com")),
    Invented("dmytro.kovalenko", "Дмитро Коваленко", "UA", "Security Engineer", ("dmytro.kovalenko@example.com",)),
    Invented("eero.lahtinen", "Eero Lahtinen", "FI", "Kernel Developer", ("eero.lahtinen@example.com",)),
    Invented("eleni.papadaki", "Ελένη Παπαδάκη", "GR", "Accountant", ("eleni.papadaki@example.com",), uses_ai=False),
    Invented("farid.haddad", "Farid Haddad", "MA", "Sales Engineer", ("farid.haddad@example.com", "farid.haddad@sales.example.com")),
    Invented("freya.lindqvist", "Freya Lindqvist", "SE", "Machine Learning Engineer", ("freya.lindqvist@example.com",)),
    Invented("gabor.szabo", "Gábor Szabó", "HU", "Database Administrator", ("gabor.szabo@example.com", "dba@example.com")),
    Invented("hana.novakova", "Hana Nováková", "CZ", "Quality Engineer", ("hana.novakova@example.com",)),
    Invented("ines.romero", "Inés Romero", "ES", "Customer Support", ("ines.romero@example.com",)),
    Invented("jonas.weiss", "Jonas Weiß", "DE", "Frontend Developer", ("jonas.weiss@example.com", "jonas.weiß@bücher.example")),
    Invented("kiran.nair", "Kiran Nair", "IN", "Engineering Manager", ("kiran.nair@example.com",)),
    Invented("lars.mikkelsen", "Lars Mikkelsen", "DK", "Facilities", ("lars.mikkelsen@example.com",), uses_ai=False),
    Invented("leila.moradi", "Leila Moradi", "IR", "Research Engineer", ("leila.moradi@example.com",)),
    Invented("liam.obrien", "Liam O'Brien", "IE", "Platform Engineer", ("liam.o'brien@example.com", "liam.o'brien+oncall@example.com")),
    Invented("mateo.vargas", "Mateo Vargas", "CO", "Mobile Developer", ("mateo.vargas@example.com",)),
    Invented("minh.tran", "Trần Minh", "VN", "Data Engineer", ("minh.tran@example.com",)),
    Invented("naledi.dlamini", "Naledi Dlamini", "ZA", "People Partner", ("naledi.dlamini@example.com",), uses_ai=False),
    Invented("noah.bergeron", "Noah Bergeron", "CA", "Release Engineer", ("noah.bergeron@example.com", "releases@example.com")),
    Invented("olga.wisniewska", "Olga Wiśniewska", "PL", "Backend Developer", ("olga.wisniewska@example.com",)),
    Invented("priya.raman", "Priya Raman", "SG", "Finance Controller", ("priya.raman@example.com",), uses_ai=False),
    Invented("ruth.ashworth", "Ruth Ashworth", "GB", "Solutions Architect", ("ruth.ashworth@example.com", "ruth@uk.example.com")),
    Invented("sione.faleolo", "Sione Faleolo", "NZ", "Network Engineer", ("sione.faleolo@example.com",)),
    Invented("tomas.herrera", "Tomás Herrera", "MX", "Data Analyst", ("tomas.herrera@example.com",), locked=True),
    Invented("yael.shapira", "Yael Shapira", "IL", "Cryptographer", ("yael.shapira@example.com",)),
)


def add_people(tree: Tree) -> None:
    """Put everybody into the tree, and those who use AI into the group ai-users."""
    for person in _PEOPLE:
        given, _, family = person.name.rpartition(" ")
        tree.add_person(
            person.uid, cn=person.name, sn=family, givenName=given or None, displayName=person.name,
            c=person.country, title=person.title, mail=person.emails, pwdAccountLockedTime=LOCKED if person.locked else None,
        )  # fmt: skip
    tree.add_group("ai-users", [f"uid={person.uid},{PEOPLE}" for person in _PEOPLE if person.uses_ai])
    tree.add_group("everyone", [f"uid={person.uid},{PEOPLE}" for person in _PEOPLE])
