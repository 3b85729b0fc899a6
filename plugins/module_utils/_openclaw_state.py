# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection failclosed.openclaw: not for use from outside it.

"""What OpenClaw keeps beside its configuration, read without changing it.

The state directory belongs to the gateway's user, who counts as hostile. Root therefore looks with that user's own
authority (``_other_user``): whatever links were planted, nothing is seen that the user could not see, and nothing is
written that root would own.

Databases are OpenClaw 2026.9.6's: ``state/openclaw.sqlite`` and ``agents/<id>/agent/openclaw-agent.sqlite``. One
that is in use is opened read-only beside its writer. One that is not would get new files beside it even so, and is
read from a private copy.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

MAXIMUM_COPY_BYTES = 1024 * 1024 * 1024
_MAXIMUM_TEXT_BYTES = 1024 * 1024
_MAXIMUM_ROWS = 1000
_ASSIGNMENT = re.compile(r"^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(.*)$", re.MULTILINE)


class StateUnreadableError(Exception):
    """The state could not be looked at; the text says why."""


def look_at(state_dir: str, home: str) -> dict[str, Any]:
    """Everything below a state directory and a home directory that decides about routes, as the calling user sees it.

    Returns ``databases`` (path -> rows, see below), ``environment_files`` (path -> names that have a value),
    ``model_files`` (path -> provider -> base URL), ``claude_login`` (paths that exist), ``extensions`` (ids),
    ``older_copies`` (names beside the configuration), ``user_units`` (path -> text) and ``unreadable`` (path ->
    reason). No secret is in it: of a credential its provider, of a variable its name.

    Rows of a database: ``sessions`` [id, provider, model], ``auth_profiles`` [profile index, provider], ``cron``
    [id, enabled, kind, model, fallbacks], ``secrets`` [name].
    """
    seen: dict[str, Any] = {
        "databases": {},
        "environment_files": {},
        "model_files": {},
        "claude_login": [],
        "extensions": [],
        "older_copies": [],
        "user_units": {},
        "unreadable": {},
    }
    _look_at_databases(state_dir, seen)
    for path in (
        os.path.join(state_dir, ".env"),
        os.path.join(home, ".openclaw", ".env"),
        os.path.join(home, ".config", "openclaw", "gateway.env"),
        *_names_in(os.path.join(home, ".config", "environment.d"), ".conf", seen),
    ):
        text = _text(path, seen)
        if text is not None:
            seen["environment_files"][path] = assigned_names(text)
    for path in (
        os.path.join(home, ".claude", ".credentials.json"),
        os.path.join(home, ".config", "claude", ".credentials.json"),
    ):
        # Whether there is one, and never what is in it.
        if _exists(path, seen):
            seen["claude_login"].append(path)
    seen["extensions"] = sorted(
        os.path.basename(each) for each in _names_in(os.path.join(state_dir, "extensions"), "", seen)
    )
    seen["older_copies"] = sorted(
        os.path.basename(each)
        for each in _names_in(state_dir, "", seen)
        if ".json.clobbered." in each or each.endswith(".json.bak")
    )
    units = os.path.join(home, ".config", "systemd", "user")
    for path in _names_in(units, "", seen):
        name = os.path.basename(path)
        if "openclaw" not in name:
            continue
        if name.endswith(".service"):
            seen["user_units"][path] = _text(path, seen) or ""
        elif name.endswith(".service.d"):
            for each in _names_in(path, ".conf", seen):
                seen["user_units"][each] = _text(each, seen) or ""
    return seen


def assigned_names(text: str) -> list[str]:
    """The names that a file of assignments gives a value to, sorted."""
    names = set()
    for match in _ASSIGNMENT.finditer(text):
        value = match.group(2).strip()
        if value and value not in ('""', "''") and not value.startswith("#"):
            names.add(match.group(1))
    return sorted(names)


def _names_in(directory: str, ending: str, seen: dict[str, Any]) -> list[str]:
    try:
        names = sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        seen["unreadable"][directory] = error.strerror or "cannot be read"
        return []
    return [os.path.join(directory, name) for name in names if name.endswith(ending)]


def _exists(path: str, seen: dict[str, Any]) -> bool:
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        seen["unreadable"][path] = error.strerror or "cannot be looked at"
        return False
    return True


def _text(path: str, seen: dict[str, Any]) -> str | None:
    try:
        # Not to be held up by a FIFO that somebody put there.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        seen["unreadable"][path] = error.strerror or "cannot be read"
        return None
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            seen["unreadable"][path] = "is no regular file"
            return None
        content = stream.read(_MAXIMUM_TEXT_BYTES + 1)
    if len(content) > _MAXIMUM_TEXT_BYTES:
        seen["unreadable"][path] = "is larger than a megabyte"
        return None
    return content.decode("utf-8", "replace")


def _look_at_databases(state_dir: str, seen: dict[str, Any]) -> None:
    shared = os.path.join(state_dir, "state", "openclaw.sqlite")
    found = [(shared, _shared_rows)] if _exists(shared, seen) else []
    for agent in _names_in(os.path.join(state_dir, "agents"), "", seen):
        directory = os.path.join(agent, "agent")
        database = os.path.join(directory, "openclaw-agent.sqlite")
        if _exists(database, seen):
            found.append((database, _agent_rows))
        _look_at_agent_files(directory, seen)
        legacy = _json(os.path.join(agent, "sessions", "sessions.json"), seen)
        if isinstance(legacy, dict):
            sessions = [_session(each) for each in legacy.values() if isinstance(each, dict)]
            seen["databases"][os.path.join(agent, "sessions", "sessions.json")] = {
                "sessions": [each for each in sessions if each]
            }
    for path, rows_of in found:
        try:
            with opened(path) as connection:
                seen["databases"][path] = rows_of(connection)
        except StateUnreadableError as error:
            seen["unreadable"][path] = str(error)
        except (OSError, sqlite3.Error, ValueError) as error:
            seen["unreadable"][path] = f"cannot be read as OpenClaw's database ({type(error).__name__})"
    legacy_store = _json(os.path.join(state_dir, "credentials", "oauth.json"), seen)
    if isinstance(legacy_store, dict):
        profiles = [[index, str(name)] for index, name in enumerate(legacy_store)]
        seen["databases"][os.path.join(state_dir, "credentials", "oauth.json")] = {"auth_profiles": profiles}


def _look_at_agent_files(directory: str, seen: dict[str, Any]) -> None:
    models = _json(os.path.join(directory, "models.json"), seen)
    if isinstance(models, dict) and isinstance(models.get("providers"), dict):
        seen["model_files"][os.path.join(directory, "models.json")] = {
            str(name): str(definition.get("baseUrl") or "")
            for name, definition in models["providers"].items()
            if isinstance(definition, dict)
        }
    for name in ("auth-profiles.json", "auth.json"):
        store = _json(os.path.join(directory, name), seen)
        if isinstance(store, dict):
            profiles = store.get("profiles", store)
            seen["databases"][os.path.join(directory, name)] = {"auth_profiles": _profiles({"profiles": profiles})}


def _json(path: str, seen: dict[str, Any]) -> Any:
    text = _text(path, seen)
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        seen["unreadable"][path] = "is no JSON"
        return None


@contextmanager
def opened(path: str) -> Iterator[sqlite3.Connection]:
    """A database to read from, which is left as it is; raises StateUnreadableError, OSError and sqlite3.Error."""
    status = os.lstat(path)
    if not stat.S_ISREG(status.st_mode):
        raise StateUnreadableError("is no regular file")
    connection = _in_use(path)
    if connection is not None:
        with closing(connection):
            yield connection
        return
    size = status.st_size + (os.lstat(path + "-wal").st_size if os.path.lexists(path + "-wal") else 0)
    if size > MAXIMUM_COPY_BYTES:
        raise StateUnreadableError("is not in use and too large to be copied; start the gateway and look again")
    with tempfile.TemporaryDirectory(prefix="failclosed-") as directory:
        copy = os.path.join(directory, "copy.sqlite")
        for ending in ("", "-wal"):
            if os.path.lexists(path + ending):
                shutil.copyfile(path + ending, copy + ending)
        after = os.lstat(path)
        if (after.st_ino, after.st_size, after.st_mtime_ns) != (status.st_ino, status.st_size, status.st_mtime_ns):
            raise StateUnreadableError("changed while it was copied; look again")
        with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
            yield connection


def _in_use(path: str) -> sqlite3.Connection | None:
    """A read-only connection beside the writer, None when there is no writer that could have made its files."""
    if not os.path.lexists(path + "-shm"):
        return None
    quoted = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    connection = sqlite3.connect(f"file:{quoted}?mode=ro", uri=True, timeout=5.0, isolation_level=None)
    try:
        # Opening succeeds without looking; a log that a killed writer left needs more than reading.
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        return None
    return connection


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {str(row[0]) for row in connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")}


def _shared_rows(connection: sqlite3.Connection) -> dict[str, Any]:
    rows: dict[str, Any] = {"auth_profiles": [], "cron": [], "secrets": []}
    tables = _tables(connection)
    if "config_machine_state" in tables:
        query = "SELECT value_json FROM config_machine_state WHERE state_key = 'authProfiles.store'"
        for (text,) in connection.execute(query):
            rows["auth_profiles"] += _profiles(json.loads(text))
    if "cron_jobs" in tables:
        for identifier, enabled, kind, text in connection.execute(
            f"SELECT job_id, enabled, payload_kind, job_json FROM cron_jobs LIMIT {_MAXIMUM_ROWS}"  # noqa: S608 - a constant
        ):
            rows["cron"].append(_cron_job(identifier, enabled, kind, json.loads(text)))
    if "secret_store_entries" in tables:
        for (name,) in connection.execute("SELECT DISTINCT name FROM secret_store_entries WHERE deleted_at_ms IS NULL"):
            rows["secrets"].append(str(name))
    return rows


def _agent_rows(connection: sqlite3.Connection) -> dict[str, Any]:
    rows: dict[str, Any] = {"auth_profiles": [], "sessions": []}
    tables = _tables(connection)
    if "auth_profile_store" in tables:
        for (text,) in connection.execute("SELECT store_json FROM auth_profile_store"):
            rows["auth_profiles"] += _profiles(json.loads(text))
    if "session_nodes" in tables:
        for identifier, text in connection.execute(
            "SELECT current_session_id, entry_json FROM session_nodes WHERE entry_json LIKE '%Override\"%'"
            " OR entry_json LIKE '%Harness%' OR entry_json LIKE '%Runtime%'"
        ):
            row = _session({"sessionId": identifier, **json.loads(text)})
            if row is not None and len(rows["sessions"]) < _MAXIMUM_ROWS:
                rows["sessions"].append(row)
    return rows


def _session(entry: dict[str, Any]) -> list[str] | None:
    provider, model = entry.get("providerOverride"), entry.get("modelOverride")
    runtime = entry.get("agentRuntimeOverride") or entry.get("agentHarnessId") or ""
    if not provider and not model and not runtime:
        return None
    return [str(entry.get("sessionId") or ""), str(provider or ""), str(model or ""), str(runtime)]


def _profiles(store: Any) -> list[list[Any]]:
    profiles = store.get("profiles") if isinstance(store, dict) else None
    found = []
    for index, (name, profile) in enumerate(profiles.items() if isinstance(profiles, dict) else ()):
        provider = profile.get("provider") if isinstance(profile, dict) else None
        found.append([index, str(provider or str(name).partition(":")[0])])
    return found


def _cron_job(identifier: Any, enabled: Any, kind: Any, job: Any) -> list[Any]:
    payload = job.get("payload") if isinstance(job, dict) else None
    payload = payload if isinstance(payload, dict) else {}
    fallbacks = payload.get("fallbacks")
    return [
        str(identifier),
        bool(enabled),
        str(payload.get("kind") or kind),
        str(payload.get("model") or ""),
        [str(each) for each in fallbacks] if isinstance(fallbacks, list) else [],
    ]
