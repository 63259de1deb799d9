"""A real nginx of one's own, in a folder of its own, with a piece of configuration taken from wherever a test finds it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from tests.servers.ports import free_port

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:" + os.environ.get("PATH", ""))

_AROUND = """
daemon off;
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/temp1;
    proxy_temp_path {folder}/temp2;
    fastcgi_temp_path {folder}/temp3;
    uwsgi_temp_path {folder}/temp4;
    scgi_temp_path {folder}/temp5;
    {inside}
}}
"""


class Nginx:
    """`inside` goes into the http block; what it calls 443 is `port`."""

    def __init__(self, folder: Path, inside: str) -> None:
        assert NGINX, "nginx is not installed: tests/servers/install.sh"
        self.folder, self.port = folder, free_port()
        self._config = folder / "nginx.conf"
        inside = inside.replace("listen 443", f"listen 127.0.0.1:{self.port}")
        user = "user root;" if os.geteuid() == 0 else ""
        self._config.write_text(_AROUND.format(folder=folder, user=user, inside=inside))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Nginx:
        command = [str(NGINX), "-e", str(self.folder / "error.log"), "-p", str(self.folder), "-c", str(self._config)]
        checked = subprocess.run([*command, "-t"], capture_output=True, text=True)
        assert checked.returncode == 0, checked.stderr
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while not (self.folder / "nginx.pid").exists() or not (self.folder / "nginx.pid").read_text().strip():
            assert time.monotonic() < until and self._process.poll() is None, (self.folder / "error.log").read_text()
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
