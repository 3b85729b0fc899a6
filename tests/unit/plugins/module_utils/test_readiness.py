# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from ansible_collections.failclosed.openclaw.plugins.module_utils import _readiness

ANSWERS = {
    "/ready": (200, b'{"ready": true, "failing": []}'),
    "/starting": (503, b'{"ready": false}'),
    "/lying": (200, b'{"ready": false}'),
    "/text": (200, b"OK"),
    "/list": (200, b"[true]"),
    "/ready?deep=1": (200, b'{"ready": true}'),
}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = ANSWERS[self.path]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("path", "key", "ok", "detail"),
    [
        ("/ready", "ready", True, "'ready' is true"),
        ("/starting", "ready", False, "HTTP status 503"),
        ("/lying", "ready", False, "'ready' is not true"),
        ("/text", "ready", False, "no JSON"),
        ("/list", "ready", False, "'ready' is not true"),
        ("/text", None, True, "HTTP status 200"),
    ],
)
def test_answers(address: str, path: str, key: str | None, ok: bool, detail: str) -> None:
    readiness = _readiness.probe(address + path, json_key=key)
    assert readiness.ok is ok and detail in readiness.detail


def test_forward_proxy_of_the_environment_is_not_used(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert _readiness.probe(f"{address}/ready", json_key="ready").ok


def test_closed_port_is_not_ready() -> None:
    readiness = _readiness.probe("http://127.0.0.1:9/readyz", json_key="ready")
    assert not readiness.ok and readiness.detail.startswith("no answer: ConnectionRefusedError")


def test_answer_that_drips_in_ends_at_the_limit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ended = threading.Event()

        def drip() -> None:
            connected, _address = server.accept()
            with connected:
                connected.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
                with suppress(OSError):
                    while not ended.wait(0.05):
                        connected.sendall(b" ")

        thread = threading.Thread(target=drip)
        thread.start()
        began = time.monotonic()
        readiness = _readiness.probe(f"http://127.0.0.1:{server.getsockname()[1]}/", json_key="ready", timeout=0.5)
        assert not readiness.ok and time.monotonic() - began < 10
        ended.set()
        thread.join()


def test_query_is_sent(address: str) -> None:
    assert _readiness.probe(f"{address}/ready?deep=1", json_key="ready").ok


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/readyz", "127.0.0.1:18789", "http:///readyz"])
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is not a http:// or https:// URL"):
        _readiness.probe(url)


def test_wait_gives_up_when_told_to() -> None:
    reasons = iter([None, "it has failed"])
    readiness = _readiness.wait(
        "http://127.0.0.1:9/", json_key=None, timeout=30, give_up=lambda: next(reasons), pause=0
    )
    assert readiness == _readiness.Readiness(False, "it has failed")


def test_wait_has_an_end() -> None:
    readiness = _readiness.wait("http://127.0.0.1:9/", json_key=None, timeout=0.05, pause=0.01)
    assert not readiness.ok and readiness.detail.startswith("not ready after 0.05 s")


def certificate(directory: Path, name: str) -> Path:
    path = directory / f"{name}.pem"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    named = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", *curve, *named, "-keyout", str(path), "-out", f"{path}.crt"]
    subprocess.run(command, check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


def test_only_the_given_authority_is_believed(tmp_path: Path) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            return

    own, other = certificate(tmp_path, "own"), certificate(tmp_path, "other")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)
    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        url = f"https://127.0.0.1:{server.server_port}/"
        assert _readiness.probe(url, authority=Path(f"{own}.crt").read_text()).ok
        for authority in (Path(f"{other}.crt").read_text(), ""):
            readiness = _readiness.probe(url, authority=authority)
            assert not readiness.ok and "SSLCertVerificationError" in readiness.detail
        assert "no certificate" in _readiness.probe(url, authority="nonsense").detail
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
