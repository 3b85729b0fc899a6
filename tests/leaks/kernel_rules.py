# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's rule alone, as the role openclaw_egress loads it with its default networks, for the gateway's uid."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import yaml

from ansible_collections.failclosed.openclaw.plugins.module_utils import _egress

_DEFAULTS = Path(__file__).resolve().parents[2] / "roles/openclaw_egress/defaults/main.yml"
_COUNTING = "leaks_under_test_counting"


def policy(uid: int, *, strict: bool = False) -> _egress.Policy:
    """What the role would load on a host where nothing but the gateway's user is of interest."""
    networks = yaml.safe_load(_DEFAULTS.read_text())["openclaw_egress_denied_networks"]
    return _egress.Policy(
        gateway_uid=uid,
        denied=_egress.parse_denied(networks, "openclaw_egress_denied_networks"),
        strict=_egress.Strict() if strict else None,
    )


@contextlib.contextmanager
def loaded(wanted: _egress.Policy) -> Iterator[None]:
    """The rule is in force in the caller's network, in the place of any that is, with its counters at zero."""
    _nft(_egress.render(wanted))
    try:
        yield
    finally:
        _nft(f"table inet {_egress.TABLE}\ndelete table inet {_egress.TABLE}\n")


@contextlib.contextmanager
def counting(uid: int) -> Iterator[None]:
    """Packets to the denied networks are counted that no rule has refused before."""
    denied = policy(uid).denied
    rules = [
        f"meta skuid {uid} {'ip' if network.version == 4 else 'ip6'} daddr {network} counter name let_through"
        for network in denied
    ]
    hook = f"type filter hook output priority {_egress.PRIORITY + 10}; policy accept;"
    chain = "\n".join([hook, *rules])
    _nft(f"table inet {_COUNTING} {{\n counter let_through {{ }}\n chain output {{\n{chain}\n}}\n}}\n")
    try:
        yield
    finally:
        _nft(f"delete table inet {_COUNTING}\n")


def packets_refused() -> int:
    """How many packets the rule has refused; zero where none is loaded."""
    return sum(_packets(_egress.TABLE).values())


def packets_let_through() -> int:
    """How many packets ``counting`` has counted."""
    return _packets(_COUNTING)["let_through"]


def _packets(table: str) -> dict[str, int]:
    listed = subprocess.run(["nft", "--json", "list", "counters"], capture_output=True, check=True, text=True).stdout
    counters = [each["counter"] for each in json.loads(listed)["nftables"] if "counter" in each]
    return {each["name"]: int(each["packets"]) for each in counters if each["table"] == table}


def _nft(text: str) -> None:
    completed = subprocess.run(["nft", "--file", "-"], input=text, capture_output=True, text=True, check=False)
    if completed.returncode != 0:
        raise RuntimeError(f"nft refused the rules: {completed.stderr}")
