# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two ends of the route: the proxy on its port, and everything else on the internet with any name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

# The simulator is copied to hosts as a file, so its directory is no package.
_TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_TESTS / "simulator"), str(_TESTS / "unit" / "simulator")]

import anthropic_simulator  # noqa: E402
from control_client import ControlClient  # noqa: E402
from running_simulator import RunningSimulator  # noqa: E402

from private_network import ANTHROPIC, ELSEWHERE  # noqa: E402  isort: skip

__all__ = ["DIRECT", "PROXY_CONTROL_PORT", "PROXY_PORT", "ControlClient", "Internet", "Proxy", "make_certificates"]

PROXY_PORT = 3456
PROXY_CONTROL_PORT = 3457
# The listeners that no request may reach.
DIRECT = ("anthropic", "elsewhere", "forward-proxy")
NAMES = ("api.anthropic.com", "*.anthropic.com", "openrouter.ai", "*.example.com")


def make_certificates(directory: Path) -> None:
    """Write ca.crt, simulator.crt and simulator.key."""
    directory.mkdir()
    names = ",".join(f"DNS:{name}" for name in NAMES)
    script = f"""
umask 077
new="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -sha256"
openssl req -x509 -new $new -days 2 -keyout ca.key -out ca.crt -subj "/CN=Test authority" \
  -addext "keyUsage=critical,keyCertSign,cRLSign"
openssl req -new $new -keyout simulator.key -out simulator.csr -subj "/CN=api.anthropic.com"
printf '%s\\n' "basicConstraints=critical,CA:FALSE" "extendedKeyUsage=serverAuth" \\
  "subjectAltName={names}" >simulator.ext
openssl x509 -req -sha256 -days 2 -in simulator.csr -CA ca.crt -CAkey ca.key -CAcreateserial -extfile simulator.ext \
  -out simulator.crt
chmod 644 ca.crt
"""
    subprocess.run(["/bin/sh", "-ec", script], cwd=directory, check=True, capture_output=True, timeout=60)


class Proxy:
    """The proxy on 127.0.0.1:3456: can be up, down, or answer with a fault."""

    def __init__(self) -> None:
        self._running: RunningSimulator | None = None

    def start(self) -> None:
        self._running = RunningSimulator(
            [f"name=proxy,port={PROXY_PORT}"],
            anthropic_simulator.Settings(quiet=True, additional_models=("claude-opus-4.6", "other-model")),
        )

    def stop(self) -> None:
        if self._running is not None:
            self._running.simulator.stop()
            self._running = None

    @property
    def control(self) -> RunningSimulator:
        assert self._running is not None, "the proxy is down"
        return self._running


class Internet(RunningSimulator):
    """Anthropic at its own addresses, and every other host at one more, all with certificates of the test authority."""

    def __init__(self, certificates: Path) -> None:
        tls = f"tls=1,certificate={certificates}/simulator.crt,key={certificates}/simulator.key"
        addresses = {"anthropic": ANTHROPIC, "elsewhere": ELSEWHERE}
        super().__init__(
            [
                *(
                    f"name={name},address={address[0]},address={address[1]},port=443,{tls}"
                    for name, address in addresses.items()
                ),
                f"name=forward-proxy,address={ELSEWHERE[0]},port=3128",
            ]
        )

    def model_requests(self) -> list[dict[str, Any]]:
        """What arrived that carries a prompt, or asks a forward proxy to carry one."""
        return [
            record
            for record in self.requests()
            if record["method"] == "CONNECT"
            or (record["method"] == "POST" and any(word in record["path"] for word in ("messages", "completions")))
        ]
