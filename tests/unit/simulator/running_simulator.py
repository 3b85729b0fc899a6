# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulator that runs inside the test process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import anthropic_simulator
from control_client import ControlClient

Value = TypeVar("Value")


def eventually(probe: Callable[[], Value], seconds: float = 5.0) -> Value:
    """Return the first true value of ``probe``; fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        value = probe()
        if value:
            return value
        assert time.monotonic() < deadline, "nothing happened in time"
        time.sleep(0.02)


class RunningSimulator(ControlClient):
    """A started simulator and the client of its control interface."""

    def __init__(self, listeners: list[str], settings: anthropic_simulator.Settings | None = None) -> None:
        self.simulator = anthropic_simulator.Simulator(
            [anthropic_simulator.parse_listener(listener) for listener in listeners],
            settings=settings or anthropic_simulator.Settings(quiet=True),
        )
        self.simulator.start()
        super().__init__("127.0.0.1", self.port(""))

    def port(self, listener: str) -> int:
        return self.simulator.ports[listener][0][1]

    def url(self, listener: str) -> str:
        return f"http://127.0.0.1:{self.port(listener)}"

    def last_request(self) -> dict[str, Any]:
        """Return the newest record once its request has ended; the client has its answer a moment before."""

        def ended() -> list[dict[str, Any]]:
            return [record for record in self.requests("?limit=1") if record["outcome"] is not None]

        return eventually(ended)[0]
