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
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

MAXIMUM_COPY_BYTES = 1024 * 1024 * 1024
_MAXIMUM_TEXT_BYTES = 1024 * 1024
_MAXIMUM_ROWS = 10_000
# As the npm package dotenv 17 reads it, with which OpenClaw does: a colon will do, and white space includes line ends.
_ASSIGNMENT = re.compile(
    r"^\s*(?:export\s+)?([\w.-]+)(?:\s*=\s*?|:\s+?)"
    r"(\s*'(?:\\'|[^'])*'|\s*\"(?:\\\"|[^\"])*\"|\s*`(?:\\`|[^`])*`|[^#\r\n]+)?\s*(?:#.*)?$",
    re.MULTILINE,
)


# Variables whose values hold no secret and decide about routes.
PUBLIC_NAMES = frozenset(
    {
        "CLAUDE_CONFIG_DIR",
        "HOME",
        "NODE_TLS_REJECT_UNAUTHORIZED",
        "NO_PROXY",
        "OPENCLAW_CONFIG_PATH",
        "OPENCLAW_CONFIG_READONLY",
        "OPENCLAW_HOME",
        "OPENCLAW_LOAD_SHELL_ENV",
        "OPENCLAW_STATE_DIR",
        "no_proxy",
    }
)


class StateUnreadableError(Exception):
    """The state could not be looked at; the text says why."""


def look_at(state_dir: str, home: str, claude_directories: Sequence[str] = ()) -> dict[str, Any]:
    """Everything below a state directory and a home directory that decides about routes, as the calling user sees it.

    Returns ``databases`` (path -> rows, see below), ``environment_files`` (path -> name -> value, empty unless the name
    is one of PUBLIC_NAMES),
    ``model_files`` (path -> provider -> base URLs), ``claude_login`` (paths that exist), ``extensions`` (ids),
    ``older_copies`` (names beside the configuration), ``user_units`` (path -> text) and ``unreadable`` (path ->
    reason). No secret is in it: of a credential its provider, of a variable its name.

    Rows of a database: ``sessions`` [id, provider, model], ``auth_profiles`` [profile index, provider], ``cron``
    [id, kind, model, fallbacks] of the jobs that are on, ``secrets`` [name].
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
            found = assignments(text)
            seen["environment_files"][path] = {
                name: value if name in PUBLIC_NAMES else "" for name, value in sorted(found.items())
            }
    for path in (
        os.path.join(home, ".claude", ".credentials.json"),
        os.path.join(home, ".config", "claude", ".credentials.json"),
        *(os.path.join(each, ".credentials.json") for each in claude_directories if each.startswith("/")),
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
    for path in (
        *_names_in(os.path.join(home, ".local", "share", "systemd", "user"), "", seen),
        *_names_in(os.path.join(home, ".config", "systemd", "user"), "", seen),
    ):
        name = os.path.basename(path)
        if "openclaw" not in name and name != "service.d":
            continue
        if name.endswith(".service"):
            seen["user_units"][path] = _text(path, seen) or ""
        elif name.endswith((".service.d", "-.service.d")) or name == "service.d":
            for each in _names_in(path, ".conf", seen):
                seen["user_units"][each] = _text(each, seen) or ""
    return seen


def assignments(text: str) -> dict[str, str]:
    """What a file of assignments gives a value to, as dotenv reads it."""
    found = {}
    text = text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    # Blank lines say nothing, and many of them would take the expression long.
    for match in _ASSIGNMENT.finditer(re.sub(r"\n[ \t\n]*\n", "\n", text)):
        value = (match.group(2) or "").strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"`":
            value = value[1:-1]
        if value:
            found[match.group(1)] = value
    return found


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
        except (OSError, sqlite3.Error, ValueError, TypeError, AttributeError, RecursionError) as error:
            seen["unreadable"][path] = f"cannot be read as OpenClaw's database ({type(error).__name__})"
    legacy_store = _json(os.path.join(state_dir, "credentials", "oauth.json"), seen)
    if isinstance(legacy_store, dict):
        profiles = [[index, str(name)] for index, name in enumerate(legacy_store)]
        seen["databases"][os.path.join(state_dir, "credentials", "oauth.json")] = {"auth_profiles": profiles}


def _look_at_agent_files(directory: str, seen: dict[str, Any]) -> None:
    models = _json(os.path.join(directory, "models.json"), seen)
    if isinstance(models, dict) and isinstance(models.get("providers"), dict):
        seen["model_files"][os.path.join(directory, "models.json")] = {
            str(name): [
                str(each["baseUrl"])
                for each in (definition, *(definition.get("models") or ()))
                if isinstance(each, dict) and each.get("baseUrl")
            ]
            for name, definition in models["providers"].items()
            if isinstance(definition, dict) and isinstance(definition.get("models") or [], list)
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
        for identifier, kind, text in connection.execute(
            "SELECT job_id, payload_kind, job_json FROM cron_jobs WHERE enabled != 0"
        ):
            _append(rows["cron"], _cron_job(identifier, kind, json.loads(text)))
    if "secret_store_entries" in tables:
        for (name,) in connection.execute("SELECT DISTINCT name FROM secret_store_entries WHERE deleted_at_ms IS NULL"):
            rows["secrets"].append(str(name))
    return rows


def _append(rows: list[Any], row: Any) -> None:
    if len(rows) >= _MAXIMUM_ROWS:
        # Whoever owns the database could hide one row behind many.
        raise StateUnreadableError(f"has more than {_MAXIMUM_ROWS} conversations or jobs with a model of their own")
    rows.append(row)


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
            entry = json.loads(text)
            row = _session({"sessionId": identifier, **entry}) if isinstance(entry, dict) else None
            if row is not None:
                _append(rows["sessions"], row)
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


def _cron_job(identifier: Any, kind: Any, job: Any) -> list[Any]:
    payload = job.get("payload") if isinstance(job, dict) else None
    payload = payload if isinstance(payload, dict) else {}
    fallbacks = payload.get("fallbacks")
    return [
        str(identifier),
        str(payload.get("kind") or kind),
        str(payload.get("model") or ""),
        [str(each) for each in fallbacks] if isinstance(fallbacks, list) else [],
    ]
