# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection failclosed.openclaw: not for use from outside it.

"""OpenClaw's own record of an installed plugin, read without OpenClaw.

It is one JSON text in an SQLite database of the state directory, ``config_machine_state['plugins.installedIndex']``.
Its owner counts as hostile, and a database is a program for a parser: a child process that has dropped to that owner
opens it, for reading only, and hands the text over.
"""

from __future__ import annotations

import json
import os
import posixpath
from dataclasses import dataclass
from typing import Any

from ansible_collections.failclosed.openclaw.plugins.module_utils import _openclaw_state, _other_user

DATABASE = "state/openclaw.sqlite"
STATE_KEY = "plugins.installedIndex"
MAXIMUM_BYTES = 16 * 1024 * 1024
TIMEOUT_SECONDS = 10.0
_MAXIMUM_TEXT = 4096


class RecordError(Exception):
    """The record could not be read; the text says why."""


@dataclass(frozen=True)
class InstallRecord:
    """What OpenClaw believes of one plugin; an empty text where it says nothing."""

    source: str
    version: str
    path: str


def read(state_path: str, uid: int, gid: int, *, timeout_seconds: float = TIMEOUT_SECONDS) -> dict[str, InstallRecord]:
    """All install records in a state directory that belongs to ``uid``, by plugin id; empty without a database.

    Raises RecordError when there is a database and it cannot be read.
    """
    try:
        text = _other_user.call_as(uid, gid, lambda: _query(state_path), timeout_seconds=timeout_seconds)
    except _other_user.OtherUserError as error:
        raise RecordError(str(error)) from None
    if len(text) > MAXIMUM_BYTES:
        raise RecordError("it is too large")
    if not text:
        return {}
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise RecordError(f"{STATE_KEY} is no JSON") from None
    index = document.get("index") if isinstance(document, dict) else None
    records = index.get("installRecords") if isinstance(index, dict) else None
    found = records if isinstance(records, dict) else {}
    return {str(name): _record(value) for name, value in found.items() if isinstance(value, dict)}


def _record(value: dict[str, Any]) -> InstallRecord:
    def text(name: str) -> str:
        found = value.get(name)
        # Its writer counts as hostile, and it is shown on a terminal and used as a path.
        return found if isinstance(found, str) and found.isprintable() and len(found) <= _MAXIMUM_TEXT else ""

    return InstallRecord(source=text("source"), version=text("version"), path=text("installPath"))


def _query(state_path: str) -> str:
    path = posixpath.join(state_path, DATABASE)
    try:
        os.lstat(path)
    except FileNotFoundError:
        return ""
    with _openclaw_state.opened(path) as connection:
        row = connection.execute(
            "SELECT substr(value_json, 1, ?) FROM config_machine_state WHERE state_key = ?",
            (MAXIMUM_BYTES + 1, STATE_KEY),
        ).fetchone()
    return str(row[0]) if row else ""


def differences(record: InstallRecord | None, *, path: str, version: str | None, present: bool) -> list[str]:
    """How the record of a plugin differs from what is on the disk at ``path``; empty when they agree.

    No record is no difference: OpenClaw keeps none of files that it has not placed itself.
    """
    if record is None:
        return []
    if not is_at(record, path):
        return [f"it says that the plugin is at {record.path or 'no path'}, and it is managed at {path}"]
    if not present:
        return [f"it says that version {record.version or 'unknown'} is installed, and {path} does not exist"]
    if record.version and record.version != (version or ""):
        return [f"it says that version {record.version} is installed, and the files are version {version or 'unknown'}"]
    return []


def is_at(record: InstallRecord, path: str) -> bool:
    """Whether the record means ``path``, under whatever name."""
    return os.path.realpath(record.path) == os.path.realpath(path)
