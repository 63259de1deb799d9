"""A client certificate through a real nginx: the example of docs/proxy.md lets each laptop see its own user's keys, and nobody pretend."""

from __future__ import annotations

import re
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from daemon.demo.responder import Responder
from tests.daemon.installation import ROOT, Installation, Running
from tests.servers.nginx import Nginx

ME = "/api/users/me/virtual-keys"


def example() -> str:
    """Return the tested example of the page."""
    found = re.search(r"^## Client certificates\n.*?^```nginx\n(.*?)^```", (ROOT / "docs/proxy.md").read_text(), re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


class Authority:
    """Certificates made with openssl."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self._openssl("req", "-x509", "-nodes", *self._new(name), "-subj", f"/CN={name}", "-days", "1")

    def issue(self, file: str, subject: str, *more: str) -> tuple[Path, Path]:
        """Return the paths of a new certificate and its key."""
        self._openssl("req", "-x509", "-nodes", *self._new(file), "-subj", subject, "-days", "1", *more,
                      "-CA", str(self.folder / f"{self.name}.pem"), "-CAkey", str(self.folder / f"{self.name}.key"))  # fmt: skip
        return self.folder / f"{file}.pem", self.folder / f"{file}.key"

    def _new(self, file: str) -> list[str]:
        return [
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-keyout",
            str(self.folder / f"{file}.key"),
            "-out",
            str(self.folder / f"{file}.pem"),
        ]

    def _openssl(self, *arguments: str) -> None:
        done = subprocess.run(["openssl", *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@dataclass
class Site:
    """The daemon behind nginx, and who can have certificates."""

    daemon: Running
    nginx: Nginx
    laptops: Authority
    ca_file: Path
    installation: Installation

    def ask(self, subject: str, path: str = ME, laptops: Authority | None = None, **headers: Any) -> httpx.Response:
        """Ask through nginx with a new certificate."""
        context = ssl.create_default_context(cafile=self.ca_file)
        context.load_cert_chain(*(laptops or self.laptops).issue("laptop", subject))
        lines = {"host": "keys.example.com", **{name.replace("_", "-"): value for name, value in headers.items()}}
        with httpx.Client(verify=context, trust_env=False) as client:
            return client.get(f"https://127.0.0.1:{self.nginx.port}{path}", headers=lines)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    web, laptops = Authority(folder, "web-ca"), Authority(folder, "laptops-ca")
    web.issue("keys.example.com", "/CN=keys.example.com", "-addext", "subjectAltName=IP:127.0.0.1,DNS:keys.example.com")
    with Responder() as responder:
        installation = Installation(folder, responder)
        installation.configure(
            http=f'port = 0\nunix_socket = "{folder}/http.sock"\nhosts = ["keys.example.com"]',
            more='\n[auth.proxy]\nheader = "X-Remote-User"\nmatch = "username"\n',
        )
        inside = example().replace("/run/rosterd/", f"{folder}/").replace("/etc/nginx/", f"{folder}/")
        with installation.serve().ready() as daemon, Nginx(folder, inside) as nginx:
            installation.ended_runs(1)
            yield Site(daemon, nginx, laptops, folder / "web-ca.pem", installation)


def test_a_certificate_shows_its_users_keys(site: Site) -> None:
    """On /me and under the user's own address, encoded as it may be; no other address, no other route."""
    answer = site.ask("/O=Example/CN=ada.okafor")
    assert (answer.status_code, answer.json()["email"], len(answer.json()["virtual_keys"])) == (200, "ada.okafor@example.com", 1)
    assert site.ask("/CN=liam.obrien", "/api/users/email/liam.o'brien%2Boncall@example.com/virtual-keys").status_code == 200
    assert site.ask("/CN=ada.okafor", "/api/users/email/liam.o'brien@example.com/virtual-keys").status_code == 403
    assert site.ask("/CN=ada.okafor", "/api/users/").status_code in (403, 404)
    assert site.ask("/CN=ada.okafor", "/api/sources").status_code == 404


def test_a_forged_header_is_overwritten(site: Site) -> None:
    """However it is spelt: what nginx verified counts, and nothing that the client sends."""
    for headers in ({"x_remote_user": "liam.obrien"}, {"X_REMOTE_USER": "liam.obrien"}, {"authorization": "Bearer nonsense"}):
        assert site.ask("/CN=ada.okafor", **headers).json()["email"] == "ada.okafor@example.com"
    assert site.ask("/CN=nobody.known", x_remote_user="liam.obrien").status_code == 401


@pytest.mark.parametrize(
    "subject",
    [
        "/CN=nobody.known", "/CN=ADA.OKAFOR", "/CN=ada.okafor/O=Example", "/O=x,CN=ada.okafor", "/CN=x,CN=ada.okafor", "/CN=ada.okafor,O=x",
        "/OU=SUCCESS:CN=ada.okafor", "/CN=ada.okafor\\+x",
    ],
)  # fmt: skip
def test_a_certificate_of_another_shape_is_nobodys(site: Site, subject: str) -> None:
    """A name of nobody, or one that is smuggled into another attribute."""
    assert site.ask(subject).status_code == 401


def test_a_certificate_of_another_authority_does_not_pass(site: Site, tmp_path: Path) -> None:
    """nginx refuses it, and asserts nobody."""
    (tmp_path / "x").mkdir()
    answer = site.ask("/CN=ada.okafor", laptops=Authority(tmp_path / "x", "laptops-ca"))
    assert answer.status_code == 400 and "virtual_keys" not in answer.text
    assert httpx.get(f"https://127.0.0.1:{site.nginx.port}{ME}", verify=ssl.create_default_context(cafile=site.ca_file)).status_code == 400


def test_around_the_proxy_nobody_is_believed(site: Site) -> None:
    """The daemon's own port takes the header from nobody; the socket is for its owner and group alone."""
    assert site.daemon.get(ME, {"X-Remote-User": "ada.okafor"}).status_code == 401
    assert site.daemon.get(ME, {"X-Remote-User": "ada.okafor", "X-Forwarded-For": "127.0.0.1"}).status_code == 401
    path = site.installation.folder / "http.sock"
    assert path.stat().st_mode & 0o007 == 0
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://keys.example.com") as client:
        assert client.get(ME, headers={"X-Remote-User": "ada.okafor"}).json()["email"] == "ada.okafor@example.com"
        assert client.get(ME, headers=[("X-Remote-User", "ada.okafor"), ("X-Remote-User", "liam.obrien")]).status_code == 400
        assert client.get(ME).status_code == 401
