# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A network namespace with nothing but loopback, and a name server in it that has an address for every name."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

CLONE_NEWNET = 0x40000000
# Anthropic's published networks, so that the same addresses stand in the rule that blocks them.
ANTHROPIC = ("160.79.104.10", "2607:6bc0::10")
# For every other name. OpenClaw refuses to talk to addresses reserved for documentation.
ELSEWHERE = ("93.184.216.10", "2606:2800:220::10")
ANTHROPIC_DOMAINS = ("anthropic.com", "claude.ai", "claude.com")
_A, _AAAA, _IN = 1, 28, 1

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)} (this needs root, or CAP_SYS_ADMIN)")


@contextlib.contextmanager
def private_network() -> Iterator[None]:
    """The calling thread, and what it starts meanwhile, sees a network of its own.

    :raises OSError: without the right to make one.
    """
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _checked(_libc.unshare(CLONE_NEWNET), "unshare(CLONE_NEWNET)")
        try:
            _ip("link", "set", "lo", "up")
            for version4, version6 in (ANTHROPIC, ELSEWHERE):
                _ip("address", "add", f"{version4}/32", "dev", "lo")
                _ip("address", "add", f"{version6}/128", "dev", "lo", "nodad")
            yield
        finally:
            _checked(_libc.setns(before, CLONE_NEWNET), "setns")
    finally:
        os.close(before)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


def belongs_to_anthropic(name: str) -> bool:
    return any(name == domain or name.endswith(f".{domain}") for domain in ANTHROPIC_DOMAINS)


def answer(query: bytes) -> tuple[str, bytes]:
    """Return the name that a DNS query asks for, and the response (RFC 1035) to it."""
    labels, offset = [], 12
    while query[offset]:
        labels.append(query[offset + 1 : offset + 1 + query[offset]].decode("ascii", "replace").lower())
        offset += 1 + query[offset]
    name = ".".join(labels)
    question = query[12 : offset + 5]
    (kind,) = struct.unpack_from("!H", query, offset + 1)
    addresses = ("127.0.0.1", "::1") if name == "localhost" else ANTHROPIC if belongs_to_anthropic(name) else ELSEWHERE
    data = b""
    if kind == _A:
        data = socket.inet_pton(socket.AF_INET, addresses[0])
    elif kind == _AAAA:
        data = socket.inet_pton(socket.AF_INET6, addresses[1])
    record = struct.pack("!HHHIH", 0xC00C, kind, _IN, 60, len(data)) + data if data else b""
    header = query[:2] + struct.pack("!HHHHH", 0x8580, 1, 1 if record else 0, 0, 0)
    return name, header + question + record


class NameServer:
    """Answers on 127.0.0.1:53 of the caller's network, and remembers the names."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 53))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            query, client = self._socket.recvfrom(4096)
            if not query:
                return
            name, response = answer(query)
            self.names.append(name)
            self._socket.sendto(response, client)

    def stop(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", ("127.0.0.1", 53))
        self._thread.join(5)
        self._socket.close()


def resolver_files(directory: Path) -> list[tuple[Path, Path]]:
    """Write what asks that name server and no other; return (file, the place that it takes)."""
    directory.mkdir()
    resolver, hosts = directory / "resolv.conf", directory / "hosts"
    resolver.write_text("nameserver 127.0.0.1\noptions timeout:2 attempts:2\n")
    hosts.write_text("127.0.0.1 localhost\n::1 localhost\n")
    for file in (resolver, hosts):
        file.chmod(0o644)
    return [(resolver, Path("/etc/resolv.conf")), (hosts, Path("/etc/hosts"))]
