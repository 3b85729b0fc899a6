# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of the simulator's control interface (README.md beside this file), for tests written in Python."""

from __future__ import annotations

import http.client
import json
from typing import Any, cast


class ControlError(Exception):
    """The control interface refused a request; the message is its own."""


class ControlClient:
    """Sends control requests, one connection each.

    :param address: an IP address or a name.
    :param port: the port of the control listener.
    """

    def __init__(self, address: str, port: int) -> None:
        self._address = address
        self._port = port

    def call(self, method: str, path: str, document: object = None) -> Any:
        """Return the parsed answer.

        :raises ControlError: when the answer is an error.
        :raises OSError: when nobody answers within 10 seconds.
        """
        connection = http.client.HTTPConnection(self._address, self._port, timeout=10)
        try:
            connection.request(method, path, None if document is None else json.dumps(document))
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status >= 400:
            raise ControlError(answer["error"])
        return answer

    def fault(self, fault: str | int, **settings: object) -> int:
        """Add a fault and return its id."""
        return cast(int, self.call("POST", "/faults", {"fault": fault, **settings})["id"])

    def reply(self, **settings: object) -> int:
        """Add a scripted reply and return its id."""
        return cast(int, self.call("POST", "/replies", settings)["id"])

    def counts(self, listener: str) -> dict[str, Any]:
        """Return the counts of one listener."""
        return cast("dict[str, Any]", self.call("GET", "/counts")["listeners"][listener])

    def requests(self, query: str = "") -> list[dict[str, Any]]:
        """Return the recorded requests, oldest first; ``query`` starts with a question mark."""
        return cast("list[dict[str, Any]]", self.call("GET", f"/requests{query}")["requests"])

    def reset(self) -> None:
        self.call("POST", "/reset")
