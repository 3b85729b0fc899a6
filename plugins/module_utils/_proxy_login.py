# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection failclosed.openclaw: not for use from outside it.

"""What the claude program says about the login of the proxy's user.

The login itself is never opened: its refresh token changes whenever it is used, and a copy logs the original out.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.failclosed.openclaw.plugins.module_utils import _openclaw

LOGGED_IN, LOGGED_OUT, UNKNOWN = "logged_in", "logged_out", "unknown"

# Whoever has the proxy's user can make the program say anything, so only plain words of it are repeated.
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,40}")


@dataclass(frozen=True)
class Login:
    """``state`` is one of the three above; the others are empty where nothing is known. No field names a person."""

    state: str
    detail: str
    auth_method: str = ""
    subscription_type: str = ""


def _word(value: object) -> str:
    return value if isinstance(value, str) and _WORD.fullmatch(value) else ""


def read_answer(status: int, output: str) -> Login:
    """The meaning of what ``claude auth status`` printed (Claude Code 2.1) and of its exit status."""
    try:
        answer = json.loads(output)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or not isinstance(answer.get("loggedIn"), bool):
        return Login(UNKNOWN, f"claude auth status ended with status {status} and gave no answer that is known")
    if not answer["loggedIn"]:
        return Login(LOGGED_OUT, "nobody is logged in for the proxy")
    method, subscription = _word(answer.get("authMethod")), _word(answer.get("subscriptionType"))
    return Login(
        LOGGED_IN,
        "a credential is there, which does not prove that the upstream accepts it",
        auth_method=method,
        subscription_type=subscription,
    )


def ask(claude: str, user: str, environment: Mapping[str, str], *, timeout_seconds: float) -> Login:
    """Run ``claude auth status`` as the user, in this environment and nothing else. Never raises for what it finds."""
    if not os.path.exists(claude):
        return Login(UNKNOWN, f"{claude} does not exist")
    try:
        account = _openclaw.account_of(user)
        complete = {"HOME": account.home, "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", **environment}
        completed = _openclaw.run(
            [claude, "auth", "status"],
            account=account,
            environment=complete,
            timeout_seconds=timeout_seconds,
            maximum_output_bytes=64 * 1024,
        )
    except _openclaw.OpenClawError as error:
        return Login(UNKNOWN, str(error))
    return read_answer(completed.returncode, completed.stdout)
