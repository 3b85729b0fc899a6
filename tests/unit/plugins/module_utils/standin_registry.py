# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for an npm registry on loopback: one package, of which the versions are archives in a directory.

As a program: ``standin_registry.py DIRECTORY``. It prints its port, and writes each request into DIRECTORY/requests. An
archive is named NAME-VERSION.tgz. The file ``lies`` in DIRECTORY makes it announce a wrong integrity.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class _Handler(BaseHTTPRequestHandler):
    directory: Path

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        with (self.directory / "requests").open("a") as log:
            log.write(f"{self.path}\n")
        name = self.path.strip("/").split("?")[0].replace("%2f", "/").replace("%2F", "/")
        file = self.directory / name.rpartition("/")[2]
        if name.endswith(".tgz") and file.is_file():
            self._send(file.read_bytes(), "application/octet-stream")
            return
        versions = {}
        for archive in sorted(self.directory.glob("*.tgz")):
            version = archive.stem.rpartition("-")[2]
            algorithm = hashlib.sha512(b"" if (self.directory / "lies").exists() else archive.read_bytes())
            integrity = "sha512-" + base64.b64encode(algorithm.digest()).decode()
            address = f"http://{self.headers['host']}/{archive.name}"
            versions[version] = {
                "name": name,
                "version": version,
                "dist": {"tarball": address, "integrity": integrity},
            }
        tags = {"latest": max(versions), "next": min(versions)}
        self._send(json.dumps({"name": name, "dist-tags": tags, "versions": versions}).encode(), "application/json")

    def _send(self, content: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextlib.contextmanager
def running(directory: Path) -> Iterator[str]:
    """Run the program; yields its address."""
    process = subprocess.Popen([sys.executable, __file__, str(directory)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        with process.stdout:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/"
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    _Handler.directory = Path(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
