"""django-python3-ldap beside rosterd on the same directory: its first sync and one that finds nothing new, in an environment of its own."""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from bench.figures import Part
from bench.measure import expect, measure
from bench.syncs import Followed
from tests.servers.slapd import Slapd

PYTHON = Path(sys.prefix) / "yardstick/bin/python"
"""Made by `make bench` from bench/django-requirements.txt."""

SETTINGS = """
import json
from pathlib import Path
globals().update(json.loads(Path(__file__).with_suffix(".json").read_text()))
"""


def measure_yardstick(part: Part, one: Followed, folder: Path) -> None:
    """Measure both once, side by side, with the same people: `one` is an installation that is still empty."""
    django = Django(folder, one.slapd)
    done, _ = one.first_sync()
    part.add(beside_django_first__seconds=done.seconds)
    part.add(django_first__seconds=django.sync(one.people))
    for _ in range(3):
        done, _, _ = one.unchanged_sync()
        part.add(beside_django_unchanged__seconds=done.seconds)
    part.add(django_unchanged__seconds=django.sync(one.people))
    part.add(django__people=one.people, compared__beside_django=one.check())


class Django:
    """A Django with nothing but users, in SQLite."""

    def __init__(self, folder: Path, slapd: Slapd) -> None:
        self._folder, self._store = folder, folder / "django.db"
        settings = {
            "DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(self._store)}},
            "INSTALLED_APPS": ["django.contrib.auth", "django.contrib.contenttypes", "django_python3_ldap"],
            "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
            "SECRET_KEY": "of no use here",
            "LDAP_AUTH_URL": [slapd.url],
            "LDAP_AUTH_SEARCH_BASE": slapd.base,
            "LDAP_AUTH_CONNECTION_USERNAME": slapd.bind_dn,
            "LDAP_AUTH_CONNECTION_PASSWORD": slapd.password,
            "LDAP_AUTH_FORMAT_USERNAME": "yardstick_settings.as_it_is",
        }
        (folder / "yardstick_settings.json").write_text(json.dumps(settings))
        (folder / "yardstick_settings.py").write_text(SETTINGS + "def as_it_is(fields):\n    return fields['username']\n")
        measure(self._command("migrate", "-v", "0"), folder / "django.txt")

    def sync(self, people: int) -> float:
        """Run its sync; return the seconds of the whole process. Raises Failed when somebody is missing."""
        done = measure(self._command("ldap_sync_users", "-v", "0"), self._folder / "django.txt")
        with closing(sqlite3.connect(self._store)) as store:
            expect("users of Django", store.execute("select count(*) from auth_user").fetchone()[0], people)
        return done.seconds

    def _command(self, *arguments: str) -> list[str]:
        return [str(PYTHON), "-m", "django", *arguments, "--settings", "yardstick_settings", "--pythonpath", str(self._folder)]
