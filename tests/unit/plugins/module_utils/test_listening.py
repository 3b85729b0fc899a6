# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import socket

import pytest

from ansible_collections.failclosed.openclaw.plugins.module_utils import _listening

# Copied from a little-endian machine, which the parser's byte order assumes as well.
TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0D80 00000000:0000 0A 00000000:00000000 00:00000000 00000000   998        0 2211 1 0 100 0 0 10 0
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1890 1 0 100 0 0 10 0
   2: 0100007F:0D80 0100007F:C350 01 00000000:00000000 00:00000000 00000000   998        0 2212 1 0 100 0 0 10 0
"""
REMOTE6 = "00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000"
TCP6 = f"""  sl  local_address  remote_address  st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: 00000000000000000000000000000000:0D80 {REMOTE6}   997        0 1 1
   1: 00000000000000000000000001000000:0D80 {REMOTE6}   996        0 1 1
"""


def test_only_listening_sockets_count() -> None:
    assert _listening.parse(TCP, socket.AF_INET) == [
        _listening.Listener("127.0.0.1", 3456, 998),
        _listening.Listener("0.0.0.0", 22, 0),
    ]


def test_ipv6_addresses() -> None:
    assert _listening.parse(TCP6, socket.AF_INET6) == [
        _listening.Listener("::", 3456, 997),
        _listening.Listener("::1", 3456, 996),
    ]


@pytest.mark.parametrize(
    ("address", "uids"),
    [("127.0.0.1", [1, 2, 3, 5]), ("::1", [3, 4]), ("192.0.2.7", [2, 3])],
)
def test_wildcards_and_mapped_addresses_are_reached(address: str, uids: list[int]) -> None:
    found = [
        _listening.Listener("127.0.0.1", 1, 1),
        _listening.Listener("0.0.0.0", 1, 2),
        _listening.Listener("::", 1, 3),
        _listening.Listener("::1", 1, 4),
        _listening.Listener("::ffff:127.0.0.1", 1, 5),
    ]
    assert [listener.uid for listener in _listening.reached_by(address, found)] == uids


def test_own_socket_is_seen_with_its_owner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert _listening.listeners(port) == [_listening.Listener("127.0.0.1", port, os.geteuid())]
    assert _listening.listeners(port) == []
