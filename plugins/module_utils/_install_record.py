# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection failclosed.openclaw: not for use from outside it.

"""OpenClaw's own record of an installed plugin, read without OpenClaw.

It is one JSON text in an SQLite database of the state directory, ``config_machine_state['plugins.installedIndex']``.
Its owner counts as hostile, and a database is a program for a parser: a child process that has dropped to that owner
opens it, for reading only, and hands the text over. ``mode=ro`` sees what is still in the write-ahead log;
``immutable=1`` would not.
"""

from __future__ import annotations

import json
import os
import posixpath
import resource
import select
import signal
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

DATABASE = "state/openclaw.sqlite"
STATE_KEY = "plugins.installedIndex"
MAXIMUM_BYTES = 16 * 1024 * 1024
TIMEOUT_SECONDS = 10.0
_MEMORY_BYTES = 1024 * 1024 * 1024
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
    text = _in_child(lambda: _query(state_path), uid, gid, timeout_seconds)
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
    # Imported here, because the child alone needs it, and a stripped-down Python may be without.
    import sqlite3

    path = posixpath.join(state_path, DATABASE)
    try:
        if not stat.S_ISREG(os.stat(path, follow_symlinks=False).st_mode):
            raise RecordError(f"{path} is not a regular file")
    except FileNotFoundError:
        return ""
    connection = sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=5)
    try:
        row = connection.execute(
            "SELECT substr(value_json, 1, ?) FROM config_machine_state WHERE state_key = ?",
            (MAXIMUM_BYTES + 1, STATE_KEY),
        ).fetchone()
    finally:
        connection.close()
    return str(row[0]) if row else ""


def _in_child(function: Callable[[], str], uid: int, gid: int, timeout_seconds: float) -> str:
    """The text that ``function`` returns in a child that runs as ``uid``; raises RecordError."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reader)
            if os.geteuid() == 0 and uid != 0:
                os.setgroups([])
                os.setgid(gid)
                os.setuid(uid)
            resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            _write_all(writer, b"+" + function().encode("utf-8", "replace"))
            status = 0
        except BaseException as error:  # noqa: BLE001 - nothing may leave the child but through the pipe
            with suppress(OSError):
                _write_all(writer, b"-" + str(error)[:300].encode("utf-8", "replace"))
        finally:
            os._exit(status)
    os.close(writer)
    content = bytearray()
    complete = False
    deadline = time.monotonic() + timeout_seconds
    try:
        while len(content) <= MAXIMUM_BYTES:
            ready, _writable, _exceptional = select.select([reader], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                break
            piece = os.read(reader, 1 << 16)
            if not piece:
                complete = True
                break
            content += piece
    finally:
        os.close(reader)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if not complete:
        raise RecordError("it is too large, or reading it took too long")
    text = bytes(content[1:]).decode("utf-8", "replace")
    if content[:1] != b"+":
        shown = "".join(character for character in text[:300] if character.isprintable())
        raise RecordError(shown or "the process that reads it ended early")
    return text


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


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
