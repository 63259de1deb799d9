"""Looking a directory over, for `rosterd check`."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from typing import Any

import pytest

from sync.settings import Attributes, GroupSearch, Secret
from sync.sources.ldap.probe import probe
from sync.sources.probed import Probed
from tests.servers import liar
from tests.servers.liar import Liar
from tests.servers.ports import free_port
from tests.servers.slapd import Slapd
from tests.sync.sources.ldap.corp import corp


def _probe(settings: Any, **changes: Any) -> dict[str, Probed]:
    """Return what was found by step (the last of those with one name)."""
    return {found.step.split(" ")[0]: found for found in probe(settings, **changes)}


def test_a_directory_in_order_is_looked_over_to_the_end(slapd: Slapd) -> None:
    """Every step is told, ten people are shown as they would be read, and nothing needs mending."""
    slapd.add_people(1200)
    steps = list(probe(corp(slapd, urls=(slapd.ldaps_url,), tls="ldaps", ca_file=slapd.ca_file)))
    assert all(step.ok for step in steps), [step for step in steps if not step.ok]
    shown = [step.person for step in steps if step.person]
    assert (len(shown), shown[0].username) == (10, "u000001")
    found = {step.step.split(" ")[0]: step for step in steps}
    assert "the certificate ends" in found["tls"].detail
    assert found["tls"].remedy
    assert found["vendor"].detail.startswith("openldap, by its root entry")
    assert "1200 entries in 3 pages" in found["limits"].detail
    assert found["people"].detail.startswith("1200:")
    assert "does not tell its time" in found["clock"].detail
    assert "content sync (RFC 4533)" in found["changes"].detail


def test_every_server_is_tried_and_the_first_good_one_is_read(slapd: Slapd) -> None:
    """A server that is down is named, and the look goes on with the next."""
    slapd.add_people(3)
    dead = f"ldap://127.0.0.1:{free_port()}"
    steps = {step.step: step for step in probe(corp(slapd, urls=(dead, slapd.url)))}
    assert not steps[f"reach {dead}"].ok
    assert steps[f"bind {slapd.url}"].ok
    assert steps["people"].ok
    assert steps[f"tls {slapd.url}"].remedy


def test_a_wrong_password_is_tried_once(slapd: Slapd) -> None:
    """No second server hears the wrong password: the account is not to be locked by looking."""
    with Liar(lambda asked, message_id: ()) as second:
        steps = list(probe(corp(slapd, urls=(slapd.url, second.url), password=Secret("wrong"))))
        assert [step.ok for step in steps] == [False]
        assert steps[0].remedy
        assert second.binds == 0


def test_a_limited_account_is_found_out(slapd: Slapd) -> None:
    """The size limit is met while looking, not in the first night, and the remedy is the line to add."""
    slapd.add_people(600)
    found = _probe(corp(slapd, bind_dn=slapd.limited_dn))
    assert not found["directory"].ok
    assert "olcLimits" in found["directory"].remedy


def test_missing_bases_and_unverified_tls_are_told(slapd: Slapd) -> None:
    """Each of the usual first mistakes has its own step and remedy."""
    found = _probe(corp(slapd, bases=("ou=peple,dc=example,dc=com",)))
    assert not found["base"].ok
    assert "nearest entry is dc=example,dc=com" in found["base"].detail
    found = _probe(corp(slapd, urls=(slapd.ldaps_url,), tls="ldaps"))
    assert not found["tls"].ok
    assert "ca_file" in found["tls"].remedy
    assert not _probe(corp(slapd, allow_plaintext=False))["configuration"].ok


def test_hidden_attributes_are_told(slapd: Slapd) -> None:
    """Addresses, ids and the permanent lock: what the account may not read is named before anybody misses it."""
    slapd.add_people(3)
    slapd.set_acl("to attrs=mail,pwdAccountLockedTime by * none", "to * by users read")
    found = _probe(corp(slapd))
    assert not found["addresses"].ok
    assert "pwdAccountLockedTime" in found["rights"].detail
    slapd.set_acl("to attrs=entryUUID by * none", "to * by users read")
    assert "3 entries cannot be taken" in _probe(corp(slapd))["ids"].detail
    slapd.reset_acl()
    assert "rights" not in _probe(corp(slapd))


def test_a_filter_that_matches_nobody_is_told(slapd: Slapd) -> None:
    """Reading nobody is possible, and nothing to rely on."""
    assert not _probe(corp(slapd))["people"].ok
    assert _probe(corp(slapd, filter="(broken"))["directory"].ok is False


def test_groups_by_search_and_bad_values_are_counted(slapd: Slapd) -> None:
    """A group search that finds none is named; values that are left out are counted."""
    slapd.add_person("ann", description="no address")
    found = _probe(corp(slapd, groups=GroupSearch(base=slapd.groups), attributes=Attributes(emails=("mail", "description"))))
    assert not found["groups"].ok
    assert found["values"].detail.startswith("1 malformed")


@pytest.mark.parametrize(("time", "ok"), [("20260101000005.0Z", True), ("20260101001000Z", False), ("20251231235000Z", False), ("rubbish", True)])
def test_the_server_s_clock_is_compared_where_it_is_told(time: str, ok: bool) -> None:
    """A root entry that tells the time shows how far the clocks are apart."""

    def script(asked: int, message_id: int) -> list[bytes]:
        return [liar.done(message_id, None, code=32)]

    with Liar(script, root={"currentTime": [time], "objectClass": ["top"]}) as server:
        settings = corp(_At(server.url), urls=(server.url,))
        assert _probe(settings, now=lambda: 1767225600.0)["clock"].ok is ok


class _At(Slapd):
    """A server of which only the address is needed."""

    def __init__(self, url: str) -> None:
        self._url = url

    @property
    def url(self) -> str:
        return self._url


def test_whether_it_may_write_is_never_tried_out(slapd: Slapd) -> None:
    """OpenLDAP does not tell: check says so, and gives an administrator the line that does, with names that no shell takes for anything else."""
    slapd.add_person("o'$(id)", displayName="Ann")
    slapd.set_acl(f'to * by dn.exact="{slapd.bind_dn}" read')
    writing = _probe(corp(slapd))["writing"]
    assert (writing.ok, writing.remedy) == (True, "")
    assert "rosterd never tries" in writing.detail
    tool, *arguments = shlex.split(writing.detail.split("`")[1])
    command = [str(shutil.which(tool, path="/usr/sbin")), "-F", "slapd.d", *arguments]
    done = subprocess.run(command, cwd=slapd.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert "write access to entry: DENIED\nwrite access to mail: DENIED\n" in done.stdout
