# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Give a set of disposable hosts a podman network of its own, on addresses nobody else uses.

Prints one JSON document: ``{"changed": bool, "name": str, "ipv4": str, "ipv6": str | null,
"addresses": {host: {"ipv4": str, "ipv6": str | null}}}``.
"""

from __future__ import annotations

import argparse
import hashlib
import ipaddress
import json
import sys
from collections.abc import Sequence
from typing import Any

import lock
import machine

LABEL = "failclosed.hosts.set"
# Documented in tests/hosts/README.md; one /24 for each set.
TEST_RANGE = ipaddress.IPv4Network("10.213.0.0/16")
FIRST_HOST = 10
MOST_HOSTS = 200


def network_name(name_of_set: str) -> str:
    """Return the name of the podman network of a set."""
    return f"failclosed-{name_of_set}"


def choose_ipv4(name_of_set: str, used: Sequence[machine.IPNetwork]) -> ipaddress.IPv4Network:
    """Return the set's preferred /24 of the test range, or the next free one.

    :raises machine.MachineError: the whole test range is in use.
    """
    candidates = list(TEST_RANGE.subnets(new_prefix=24))
    first = hashlib.sha256(name_of_set.encode()).digest()[0]
    for candidate in candidates[first:] + candidates[:first]:
        if not any(candidate.version == other.version and candidate.overlaps(other)
                   for other in used):  # fmt: skip
            return candidate
    raise machine.MachineError(f"no /24 of the test range {TEST_RANGE} is free on this machine: destroy sets of hosts")


def choose_ipv6(name_of_set: str, used: Sequence[machine.IPNetwork]) -> ipaddress.IPv6Network:
    """Return a free unique local /64 (RFC 4193) whose global id comes from the set's name."""
    for attempt in range(256):
        digest = hashlib.sha256(f"{name_of_set} {attempt}".encode()).digest()
        candidate = ipaddress.IPv6Network((b"\xfd" + digest[:5] + bytes(10), 64))
        if not any(candidate.version == other.version and candidate.overlaps(other)
                   for other in used):  # fmt: skip
            return candidate
    raise machine.MachineError("no unique local IPv6 network is free on this machine")


def existing(name_of_set: str) -> dict[str, Any] | None:
    """Return podman's description of the set's network, None when there is none."""
    found = machine.run(["podman", "network", "inspect", network_name(name_of_set)], check=False)
    if found.returncode != 0:
        return None
    description: dict[str, Any] = json.loads(found.stdout)[0]
    return description


def create(name_of_set: str) -> None:
    """Create the set's network: bridge, NAT, the outer interface's MTU, no name server."""
    used = machine.networks_in_use()
    argv = ["podman", "network", "create", "--disable-dns", "--label", f"{LABEL}={name_of_set}",
            "--subnet", str(choose_ipv4(name_of_set, used))]  # fmt: skip
    if machine.has_ipv6():
        argv += ["--ipv6", "--subnet", str(choose_ipv6(name_of_set, used))]
    mtu = machine.default_mtu()
    if mtu:
        argv += ["--opt", f"mtu={mtu}"]
    machine.run([*argv, network_name(name_of_set)])


def ensure(name_of_set: str, hosts: Sequence[str]) -> dict[str, Any]:
    """Return the set's network, created if need be, and the address of each host."""
    if len(hosts) > MOST_HOSTS:
        raise machine.MachineError(f"{len(hosts)} hosts in one set: at most {MOST_HOSTS} fit")
    changed = False
    description = existing(name_of_set)
    if description is None:
        with lock.held("network"):
            if existing(name_of_set) is None:
                create(name_of_set)
                changed = True
        description = existing(name_of_set)
    if description is None:
        raise machine.MachineError(f"podman lost the network {network_name(name_of_set)}")
    subnets = [ipaddress.ip_network(subnet["subnet"]) for subnet in description["subnets"]]
    of_version = {subnet.version: subnet for subnet in subnets}
    addresses: dict[str, dict[str, str | None]] = {}
    for position, host in enumerate(hosts):
        addresses[host] = {
            "ipv4": str(of_version[4][FIRST_HOST + position]),
            "ipv6": str(of_version[6][FIRST_HOST + position]) if 6 in of_version else None,
        }
    return {
        "changed": changed,
        "name": network_name(name_of_set),
        "ipv4": str(of_version[4]),
        "ipv6": str(of_version[6]) if 6 in of_version else None,
        "addresses": addresses,
    }


def remove(name_of_set: str) -> bool:
    """Remove the set's network; return whether there was one."""
    if existing(name_of_set) is None:
        return False
    machine.run(["podman", "network", "rm", network_name(name_of_set)])
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", dest="name_of_set", required=True)
    parser.add_argument("--remove", action="store_true", help="remove the network instead")
    parser.add_argument("hosts", nargs="*", help="names of the hosts, in the order of addresses")
    asked = parser.parse_args()
    try:
        if asked.remove:
            print(json.dumps({"changed": remove(asked.name_of_set)}))
        else:
            print(json.dumps(ensure(asked.name_of_set, asked.hosts)))
    except machine.MachineError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
