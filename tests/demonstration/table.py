# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Print the receipts of the demo's hosts and the simulator's counts as a table.

Usage: table.py SSH_CONFIG CONTROL_URL HOST...
"""

from __future__ import annotations

import json
import subprocess
import sys
import typing as t
import urllib.request

RECEIPT = "/var/lib/failclosed-openclaw/receipt.json"
EGRESS = "/var/lib/failclosed-openclaw/egress.json"
ROWS = (
    ("gateway ready", "gateway-ready"),
    ("only the proxy's user listens on its port", "proxy-owner"),
    ("proxy alive", "proxy-alive"),
    ("default model", "default-model"),
    ("fallbacks", "fallbacks"),
    ("alias", "alias"),
    ("the running gateway uses this route", "gateway-route"),
    ("a real request is answered through the proxy", "model-run"),
    ("with the proxy stopped it fails", "fails-closed"),
)
KERNEL_ROWS = (
    ("the kernel refuses the gateway's user the direct way", "direct"),
    ("nobody else talks to the proxy, or poses as it", "proxy-port"),
)


def read_document(ssh_config: str, host: str, path: str) -> dict[str, t.Any]:
    """Return a document that a host keeps; raises CalledProcessError when there is none."""
    output = subprocess.run(
        ["ssh", "-F", ssh_config, host, "cat", path], check=True, capture_output=True, text=True, timeout=60
    ).stdout
    document: dict[str, t.Any] = json.loads(output)
    return document


def kernel_result(record: dict[str, t.Any], prefix: str) -> str:
    """What the probes whose id begins with ``prefix`` came to; without a passed one nothing was shown."""
    results = {probe["result"] for probe in record["probes"] if probe["id"].startswith(prefix)}
    if "failed" in results or "unknown" in results:
        return "failed"
    return "passed" if "passed" in results else "not done"


def read_counts(control_url: str) -> dict[str, t.Any]:
    """Return the simulator's counts by listener."""
    # The simulator is one of the demo's own hosts, which no forward proxy reaches.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{control_url}/counts", timeout=10) as response:
        counts: dict[str, t.Any] = json.load(response)["listeners"]
    return counts


def main(arguments: list[str]) -> int:
    ssh_config, control_url, *hosts = arguments
    receipts = {host: read_document(ssh_config, host, RECEIPT) for host in hosts}
    records = {host: read_document(ssh_config, host, EGRESS) for host in hosts}
    width = max(len(label) for label, _identifier in ROWS + KERNEL_ROWS)
    print(f"{'':{width}}  " + "".join(f"{host:<10}" for host in hosts).rstrip())
    versions = [receipts[host]["versions"]["openclaw"] for host in hosts]
    print(f"{'OpenClaw':{width}}  " + "".join(f"{version:<10}" for version in versions).rstrip())
    for label, identifier in ROWS:
        results = []
        for host in hosts:
            found = [check["result"] for check in receipts[host]["checks"] if check["id"] == identifier]
            results.append(found[0] if found else "not done")
        print(f"{label:{width}}  " + "".join(f"{result:<10}" for result in results).rstrip())
    for label, prefix in KERNEL_ROWS:
        results = [kernel_result(records[host], prefix) for host in hosts]
        print(f"{label:{width}}  " + "".join(f"{result:<10}" for result in results).rstrip())
    counts = read_counts(control_url)
    print()
    print(f"Requests that reached the simulator behind the proxies: {counts['upstream']['messages']}")
    # The kernel rule is tried with a connection of another user, too, which must get there and asks for nothing.
    print(f"Requests that reached it as the API itself, around the proxies: {counts['direct']['requests']}")
    print(f"Connections to it by which the kernel rule was tried as another user: {counts['direct']['connections']}")
    passed = all(receipt["passed"] is True for receipt in receipts.values())
    passed = passed and all(record["enforced"] is True for record in records.values())
    return 0 if passed and counts["upstream"]["messages"] > 0 and counts["direct"]["requests"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
