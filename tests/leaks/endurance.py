# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns without a pause while the proxy fails in every way: nothing goes direct with the guard, and something without.

The host is wrong on purpose in both runs: keys in the environment and in .env, an agent with a fallback, a conversation
that was switched. The guard is what site.yml leaves there: the closed configuration with what the audit remediates, and
the kernel rule.

    python tests/leaks/endurance.py [--seconds 600] [--control-seconds 120]

Exit status 0: no request and no packet with the guard, and more than none without it. Prints one line of JSON for each.
"""

from __future__ import annotations

import argparse
import itertools
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_TESTS / "leaks"), str(_TESTS.parent / ".collections")]

import kernel_rules  # noqa: E402
import real_openclaw  # noqa: E402
import simulators  # noqa: E402
from leaks import BY_ID, PDF, SPAWN, Leak, Tool, Turn  # noqa: E402
from world import World, running_world  # noqa: E402

PATIENCE = 20.0
TRIGGERS: tuple[Turn | Tool, ...] = (
    Turn(),
    Turn(agent="ops"),
    PDF,
    Turn(session="agent:main:planted"),
    Tool("sessions_spawn", {**SPAWN, "model": "anthropic/claude-opus-5"}),
)
FAULTS = (
    "none",
    "authentication_error",
    "rate_limit_error",
    "api_error",
    "overloaded_error",
    "hang",
    "drop",
    "drop_mid_stream",
    "killed",
    "stopped",
)


class ProxyProcess(simulators.Proxy):
    """The proxy as a process of its own, which can be killed."""

    def __init__(self) -> None:
        super().__init__()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                sys.executable,
                str(_TESTS / "simulator" / "anthropic_simulator.py"),
                f"--listen=name=proxy,port={simulators.PROXY_PORT}",
                f"--control=127.0.0.1:{simulators.PROXY_CONTROL_PORT}",
                "--known-model=claude-opus-4.6",
                "--quiet",
            ],
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def end(self, how: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(30)
        self._process = None

    def stop(self) -> None:
        if self._process is not None:
            self.end(signal.SIGTERM)

    @property
    def control(self) -> Any:
        return simulators.ControlClient("127.0.0.1", simulators.PROXY_CONTROL_PORT)


def run(world: World, proxy: ProxyProcess, seconds: float) -> dict[str, Any]:
    """Turns until the time is over; every combination of fault and trigger in turn."""
    world.internet.reset()
    let_through, refused = kernel_rules.packets_let_through(), kernel_rules.packets_refused()
    combinations = 0
    deadline = time.monotonic() + seconds
    for fault, trigger in itertools.cycle(itertools.product(FAULTS, TRIGGERS)):
        if time.monotonic() > deadline:
            break
        combinations += 1
        leak = Leak("turn", "", trigger, (), ())
        if fault in ("killed", "stopped"):
            proxy.end(signal.SIGKILL if fault == "killed" else signal.SIGTERM)
            # What a tool call needs from the proxy it cannot get now, so that it is a plain turn.
            world.patience = PATIENCE
            world.turn(trigger.agent)
            proxy.start()
            continue
        proxy.control.reset()
        if fault != "none":
            proxy.control.fault(fault, match={"path": "/v1/messages"})
        world.set_off(leak, "plain", expected=False, patience=PATIENCE, reset=False)
    return {
        "seconds": seconds,
        "combinations": combinations,
        "of": len(FAULTS) * len(TRIGGERS),
        "direct_requests": len(world.internet.model_requests()),
        "direct_connections": sum(world.internet.counts(name)["connections"] for name in simulators.DIRECT),
        "packets_let_through": kernel_rules.packets_let_through() - let_through,
        "packets_refused": kernel_rules.packets_refused() - refused,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600, help="of the run with the guard")
    parser.add_argument("--control-seconds", type=float, default=120, help="of the run without it")
    options = parser.parse_args()
    proxy = ProxyProcess()
    with (
        tempfile.TemporaryDirectory(prefix="failclosed-endurance.") as directory,
        running_world(Path(directory), proxy=proxy) as world,
        kernel_rules.counting(real_openclaw.UID),
    ):
        world.turn("main")
        world.plant_state(BY_ID["session-override"])
        world.plant_configuration("plain", BY_ID["agent-fallback"])
        with kernel_rules.loaded(kernel_rules.policy(real_openclaw.UID)):
            world.configure(world.rolled_out())
            guarded = run(world, proxy, options.seconds)
            print(json.dumps({"guard": True, **guarded}), flush=True)
            world.openclaw.stop_gateway()
        world.start(world.config("plain", BY_ID["agent-fallback"]))
        bare = run(world, proxy, options.control_seconds)
        print(json.dumps({"guard": False, **bare}), flush=True)
    is_closed = guarded["direct_requests"] == 0 and guarded["packets_let_through"] == 0
    is_open = bare["direct_requests"] > 0 and bare["packets_let_through"] > 0
    if not is_closed:
        print("With the guard, something went direct.", file=sys.stderr)
    if not is_open:
        print("Without the guard nothing went direct either: this run shows nothing.", file=sys.stderr)
    return 0 if is_closed and is_open else 1


if __name__ == "__main__":
    sys.exit(main())
