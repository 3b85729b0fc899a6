# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who listens on a TCP port of this host, by the kernel's own table. Private to this collection.

Source: Linux, Documentation/networking/proc_net_tcp.rst. An open port proves nothing about whose it is.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import typing as t
from dataclasses import dataclass
from pathlib import Path

_LISTEN = "0A"
_TABLES = (("/proc/self/net/tcp", socket.AF_INET), ("/proc/self/net/tcp6", socket.AF_INET6))


@dataclass(frozen=True)
class Listener:
    """A listening socket: its address in the usual notation, its port and its owner's uid."""

    address: str
    port: int
    uid: int


def _address(text: str, family: int) -> str:
    # The kernel prints each 32-bit word in host byte order.
    words = [int(text[start : start + 8], 16) for start in range(0, len(text), 8)]
    return socket.inet_ntop(family, struct.pack(f"={len(words)}I", *words))


def parse(table: str, family: int) -> list[Listener]:
    """Return the listening sockets of one table, as /proc/net/tcp or /proc/net/tcp6 prints it."""
    found = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 8 or fields[3] != _LISTEN:
            continue
        address, _separator, port = fields[1].rpartition(":")
        found.append(Listener(_address(address, family), int(port, 16), int(fields[7])))
    return found


def listeners(port: int) -> list[Listener]:
    """Return every socket of this host that listens on ``port``; raises OSError when the kernel does not say."""
    found: list[Listener] = []
    for path, family in _TABLES:
        try:
            table = Path(path).read_text(encoding="ascii")
        except FileNotFoundError:
            # A kernel without IPv6 has no such table, and no such socket.
            if family == socket.AF_INET6:
                continue
            raise
        found += [listener for listener in parse(table, family) if listener.port == port]
    return found


def reached_by(address: str, found: t.Iterable[Listener]) -> list[Listener]:
    """Return those listeners that a connection to ``address`` could reach, wildcards and mapped addresses included."""
    wanted = ipaddress.ip_address(address)
    reached = []
    for listener in found:
        own = ipaddress.ip_address(listener.address)
        mapped = own.ipv4_mapped if isinstance(own, ipaddress.IPv6Address) else None
        if (
            own == wanted
            or mapped == wanted
            or (own.is_unspecified and (own.version == wanted.version or own.version == 6))
        ):
            reached.append(listener)
    return reached
