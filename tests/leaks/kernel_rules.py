# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's rule alone: small nftables tables of the two kinds of egress, keyed on the gateway's uid."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator

PREFIX = "leaks_under_test"
# The gateway's uid opens nothing to Anthropic's published networks.
DEFAULT_EGRESS = """
    meta skuid {uid} ip daddr 160.79.104.0/23 counter name counted reject
    meta skuid {uid} ip6 daddr 2607:6bc0::/48 counter name counted reject
"""
# The gateway's uid opens nothing but what is listed: the proxy's port, its own, and the name server's.
STRICT_EGRESS = """
    meta skuid {uid} ip daddr 127.0.0.1 tcp dport {{ 3456, 18789 }} accept
    meta skuid {uid} ip daddr 127.0.0.1 tcp sport 18789 accept
    meta skuid {uid} ip daddr 127.0.0.1 udp dport 53 accept
    meta skuid {uid} counter name counted reject
"""
# What the others have let through to Anthropic's published networks: it sees a packet after them.
COUNTING = """
    meta skuid {uid} ip daddr 160.79.104.0/23 counter name counted
    meta skuid {uid} ip6 daddr 2607:6bc0::/48 counter name counted
"""


@contextlib.contextmanager
def loaded(name: str, rules: str, uid: int) -> Iterator[None]:
    """The rules are in force in the caller's network, with their counter at zero."""
    priority = 10 if rules == COUNTING else 0
    table = f"{PREFIX}_{name}"
    _nft(
        f"""table inet {table} {{
  counter counted {{ }}
  chain output {{
    type filter hook output priority {priority}; policy accept;
    {rules.format(uid=uid)}
  }}
}}"""
    )
    try:
        yield
    finally:
        _nft(f"delete table inet {table}")


def packets(*names: str) -> int:
    """How many packets these rules have counted; zero for those that are not loaded."""
    listed = subprocess.run(["nft", "--json", "list", "counters"], capture_output=True, check=True, text=True).stdout
    counters = [each["counter"] for each in json.loads(listed)["nftables"] if "counter" in each]
    tables = {f"{PREFIX}_{name}" for name in names}
    return sum(int(each["packets"]) for each in counters if each["table"] in tables)


def _nft(text: str) -> None:
    completed = subprocess.run(["nft", "--file", "-"], input=text, capture_output=True, text=True, check=False)
    if completed.returncode != 0:
        raise RuntimeError(f"nft refused the rules: {completed.stderr}")
