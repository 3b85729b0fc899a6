# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection failclosed.openclaw: not for use from outside it.

"""Which variables a gateway has in its environment: by its units, and by its running processes.

Names are read, and values of none but the few in ``PUBLIC_NAMES``, which hold no secret.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ansible_collections.failclosed.openclaw.plugins.module_utils import _openclaw_state

PUBLIC_NAMES = frozenset(
    {
        "CLAUDE_CONFIG_DIR",
        "HOME",
        "NO_PROXY",
        "OPENCLAW_CONFIG_PATH",
        "OPENCLAW_CONFIG_READONLY",
        "OPENCLAW_HOME",
        "OPENCLAW_LOAD_SHELL_ENV",
        "OPENCLAW_STATE_DIR",
        "no_proxy",
    }
)
SYSTEM_UNIT_DIRECTORIES = ("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system")
_MAXIMUM_BYTES = 1024 * 1024


class Environment(NamedTuple):
    """The variables of one place. ``names``: those that have a value; ``public``: values of PUBLIC_NAMES."""

    where: str
    names: frozenset[str]
    public: Mapping[str, str]


def _split(value: str) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError:
        return value.split()


def of_unit(texts: Mapping[str, str], where: str, *, read: Mapping[str, Iterable[str]]) -> Environment:
    """The environment that a unit and its drop-ins give, in the order of ``texts`` (path -> text).

    ``read``: path of an ``EnvironmentFile=`` -> the names in it. See systemd.exec(5).
    """
    variables: dict[str, str] = {}
    from_files: set[str] = set()
    unset: set[str] = set()
    for text in texts.values():
        for line in re.sub(r"\\\n\s*", " ", text).splitlines():
            key, separator, value = line.strip().partition("=")
            if not separator or key.startswith(("#", ";")):
                continue
            value = value.strip()
            if key == "Environment":
                if not value:
                    variables.clear()
                for assignment in _split(value):
                    name, _equals, content = assignment.partition("=")
                    variables[name] = content
            elif key == "EnvironmentFile":
                if not value:
                    from_files.clear()
                from_files |= set(read.get(value.lstrip("-"), ()))
            elif key == "UnsetEnvironment":
                if not value:
                    unset.clear()
                unset |= {each.partition("=")[0] for each in _split(value)}
    names = {name for name, content in variables.items() if content} | from_files
    public = {name: content for name, content in variables.items() if name in PUBLIC_NAMES and name not in unset}
    return Environment(where, frozenset(names - unset), public)


def environment_files(texts: Iterable[str]) -> list[str]:
    """The paths that the ``EnvironmentFile=`` lines of units name; patterns and specifiers are left out."""
    found = []
    for text in texts:
        for match in re.finditer(r"^\s*EnvironmentFile\s*=\s*-?(/[^\s%*?\[]+)\s*$", text, re.MULTILINE):
            found.append(match.group(1))
    return found


class SystemUnits(NamedTuple):
    """The system units that start OpenClaw's gateway as one user, and what could not be read of them."""

    environments: tuple[Environment, ...]
    unreadable: tuple[tuple[str, str], ...]


def _read(path: Path, unreadable: list[tuple[str, str]]) -> str:
    try:
        with path.open("rb") as stream:
            return stream.read(_MAXIMUM_BYTES).decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        unreadable.append((str(path), error.strerror or "cannot be read"))
        return ""


def system_units(user: str, uid: int, *, directories: Iterable[str] = SYSTEM_UNIT_DIRECTORIES) -> SystemUnits:
    """Look at the units in ``directories`` that run an OpenClaw gateway as ``user``."""
    environments = []
    unreadable: list[tuple[str, str]] = []
    seen: set[str] = set()
    roots = [Path(each) for each in directories]
    for root in roots:
        for unit in sorted(root.glob("*.service")) if root.is_dir() else ():
            if unit.name in seen:
                continue
            text = _read(unit, unreadable)
            if "openclaw" not in text or not re.search(r"^\s*ExecStart\s*=.*\bgateway\b", text, re.MULTILINE):
                continue
            runs_as = re.findall(r"^\s*User\s*=\s*(\S+)\s*$", text, re.MULTILINE)
            if (runs_as or ["root"])[-1] not in (user, str(uid)):
                continue
            seen.add(unit.name)
            texts = {str(unit): text}
            for each in roots:
                for drop_in in sorted((each / f"{unit.name}.d").glob("*.conf")):
                    texts[str(drop_in)] = _read(drop_in, unreadable)
            files = {
                path: _openclaw_state.assigned_names(_read(Path(path), unreadable))
                for path in environment_files(texts.values())
            }
            environments.append(of_unit(texts, str(unit), read=files))
    return SystemUnits(tuple(environments), tuple(unreadable))


def processes(uid: int, proc: str = "/proc") -> tuple[list[Environment], list[tuple[str, str]]]:
    """The environments of the user's running OpenClaw processes, and the processes that could not be read."""
    found: list[Environment] = []
    unreadable: list[tuple[str, str]] = []
    for process in sorted(filter(str.isdigit, os.listdir(proc)), key=int):
        directory = os.path.join(proc, process)
        # Processes end while they are looked at.
        with suppress(FileNotFoundError, ProcessLookupError):
            if os.stat(directory).st_uid != uid:
                continue
            with Path(directory, "cmdline").open("rb") as stream:
                command = stream.read(65536)
            if b"openclaw" not in command:
                continue
            try:
                with Path(directory, "environ").open("rb") as stream:
                    content = stream.read(_MAXIMUM_BYTES).decode("utf-8", "replace")
            except PermissionError:
                unreadable.append((f"{directory}/environ", "is not shown to this user"))
                continue
            variables = dict(each.partition("=")[::2] for each in content.split("\0") if "=" in each)
            names = frozenset(name for name, value in variables.items() if value)
            public = {name: value for name, value in variables.items() if name in PUBLIC_NAMES}
            found.append(Environment(f"process {process}", names, public))
    return found, unreadable


def is_direct(host: str, no_proxy: str) -> bool:
    """Whether a NO_PROXY list keeps requests to a host away from the forward proxy."""
    for entry in re.split(r"[\s,]+", no_proxy.strip().lower()):
        name = entry.strip("[]").partition(":")[0] if entry.count(":") == 1 else entry.strip("[]")
        if name in ("*", host) or (name and host.endswith("." + name.lstrip("."))):
            return True
    return False
