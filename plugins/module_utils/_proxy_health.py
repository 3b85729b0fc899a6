# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The proxy's health in three levels, as its supervisor wrote it down. Private to this collection.

Alive, logged in, works: each is known or unknown by itself, and none follows from another. The file is the proxy
user's word, so it decides nothing about routes.
"""

from __future__ import annotations

import json
import os
import posixpath
import time
import typing as t

from ansible_collections.failclosed.openclaw.plugins.module_utils import _files, _redact

STATE_DIRECTORY = "/run"
UNKNOWN = "unknown"
STATES = {
    "alive": ("yes", "no", UNKNOWN),
    "login": ("logged-in", "logged-out", UNKNOWN),
    "works": ("yes", "no", UNKNOWN),
}
# What the supervisor says of a question that it is going to ask once the proxy is alive
NOT_ASKED_YET = "not asked yet"
_LIMIT = 65536
_DETAIL = 300


def unknown(why: str) -> dict[str, dict[str, str]]:
    """The three levels of a proxy of which nothing is known."""
    return {name: level(UNKNOWN, why) for name in STATES}


def level(state: str, detail: str, at: str = "") -> dict[str, str]:
    """One level: ``at`` is when it was found out, UTC, empty when it was not."""
    return {"state": state, "detail": detail, "at": at}


def observe(service: str, *, directory: str = STATE_DIRECTORY) -> dict[str, dict[str, str]]:
    """The three levels of a service. It starts no process, and what cannot be read is unknown."""
    path = posixpath.join(directory, service, "health.json")
    try:
        with _files.open_directory(posixpath.dirname(path)) as descriptor:
            # systemd made it, in a directory of root's, for the proxy's user.
            owner = os.fstat(descriptor).st_uid
            found = _files.read_file(descriptor, "health.json", limit=_LIMIT)
    except FileNotFoundError:
        return unknown(f"{service} does not run here")
    except PermissionError:
        return unknown(f"{path} can be read by root only")
    except (OSError, _files.FileError) as error:
        return unknown(_redact.printable(f"{path} cannot be read: {error}"))
    if found is None:
        return unknown(f"{service} has not said anything yet")
    if found.uid != owner:
        return unknown(f"{path} belongs to uid {found.uid}, and not to the proxy's user")
    return parse(found.content)


def settled(service: str, *, patience_seconds: float, directory: str = STATE_DIRECTORY) -> dict[str, dict[str, str]]:
    """The three levels, after the first answers of a proxy that is alive, or when the time is over."""
    deadline = time.monotonic() + patience_seconds
    while True:
        levels = observe(service, directory=directory)
        waiting = any(each["state"] == UNKNOWN and each["detail"] == NOT_ASKED_YET for each in levels.values())
        if not waiting or levels["alive"]["state"] == "no" or time.monotonic() >= deadline:
            return levels
        time.sleep(min(0.2, max(0.0, deadline - time.monotonic())))


def parse(content: bytes) -> dict[str, dict[str, str]]:
    """The levels in a supervisor's state file; one that is not as it should be is unknown."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or document.get("format") != 1:
        return unknown("the supervisor's state file is not of a format that is known here")
    levels = {}
    for name, states in STATES.items():
        found = document.get(name)
        found = found if isinstance(found, dict) else {}
        state: t.Any = found.get("state")
        if isinstance(state, bool):
            state = "yes" if state else "no"
        at = found.get("since" if name == "alive" else "asked") or ""
        levels[name] = level(
            state if state in states else UNKNOWN,
            _redact.printable(_redact.scrub(str(found.get("detail", ""))[:_DETAIL])),
            _redact.printable(str(at)[:40]),
        )
    return levels


def differ(last: t.Mapping[str, t.Mapping[str, str]] | None, levels: t.Mapping[str, t.Mapping[str, str]]) -> bool:
    """Whether a level has another state than the last time. Times and details do not count.

    Nor does a level that is unknown on one side: a proxy that was just started has not been asked, and nothing changed.
    """
    if not last:
        return True
    before = {name: str(each.get("state")) for name, each in last.items()}
    return any(
        UNKNOWN not in (before.get(name, UNKNOWN), each["state"]) and before[name] != each["state"]
        for name, each in levels.items()
    )
