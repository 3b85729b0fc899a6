# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A proxy that misbehaves on request, and otherwise does as good ones do: it ends only when its requests have ended.

Usage: faulty_proxy.py ADDRESS PORT CONTROLS. Files in the directory CONTROLS, which root writes, say what to do: `exit`
(its content is the status to end with at the start), `delay` (seconds until it listens), `login` (the answer of
--login). GET answers 200. POST wants the key, and streams one line each tenth of a second for as many as ?lines= says.
SIGUSR1 closes the port, SIGUSR2 starts a child that takes memory until it is killed, and SIGHUP counts.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

EATER = "import time\nheld = []\nwhile True:\n    held.append(bytearray(16 << 20))\n    time.sleep(0.01)\n"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing of each request."""

    def do_GET(self) -> None:
        """Say that it lives."""
        self.answer(200, b"{}")

    def do_POST(self) -> None:
        left = int(self.headers.get("content-length", "0"))
        size = left
        while left > 0:
            left -= len(self.rfile.read(min(left, 65536)))
        if self.headers.get("x-api-key") != os.environ["INBOUND_KEY"]:
            self.answer(401, b'{"type": "error", "error": {"type": "authentication_error"}}')
            return
        lines = int(parse_qs(urlsplit(self.path).query).get("lines", ["0"])[0])
        if lines == 0:
            self.answer(200, b'{"type": "message", "size": %d}' % size)
            return
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for number in range(lines):
            line = b"line %d\n" % number
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            self.wfile.flush()
            time.sleep(0.1)
        self.wfile.write(b"0\r\n\r\n")

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    # What is under way is waited for at the end; a client that only keeps its connection is not.
    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, address: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.under_way: set[threading.Thread] = set()
        super().__init__((address, port), Handler)

    def handle_error(self, *_arguments: Any) -> None:
        """Say nothing of a client that went away."""

    def process_request(self, request: Any, client_address: Any) -> None:
        # What is accepted is under way, before its thread has run for the first time.
        thread = threading.Thread(target=self.process_request_thread, args=(request, client_address), daemon=True)
        self.under_way.add(thread)
        thread.start()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.under_way.discard(threading.current_thread())


def content(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def main(address: str, port: str, directory: str) -> None:
    controls = Path(directory)
    print("faulty_proxy began", flush=True)
    if content(controls / "exit"):
        sys.exit(int(content(controls / "exit")))
    time.sleep(float(content(controls / "delay") or 0))
    server = Server(address, int(port))

    def end(*_details: object) -> None:
        threading.Thread(target=server.shutdown).start()

    def take_memory(*_details: object) -> None:
        subprocess.Popen([sys.executable, "-I", "-c", EATER])

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGUSR1, lambda *_details: server.socket.close())
    signal.signal(signal.SIGUSR2, take_memory)
    signal.signal(signal.SIGHUP, lambda *_details: print("faulty_proxy read its configuration", flush=True))
    try:
        server.serve_forever(poll_interval=0.05)
    except (OSError, ValueError):
        # Its port is closed; it goes on, silent.
        while True:
            time.sleep(60)
    server.socket.close()
    for thread in list(server.under_way):
        thread.join(60)
    sys.exit(0)


if __name__ == "__main__":
    if sys.argv[1] == "--login":
        print(content(Path(sys.argv[2], "login")) or '{"loggedIn": false}')
    else:
        main(*sys.argv[1:4])
