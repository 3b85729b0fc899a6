# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection failclosed.openclaw: not for use from outside it.

"""Which variables a gateway has in its environment: by its units, and by its running processes.

Names are read, and values of none but the few in ``PUBLIC_NAMES``, which hold no secret.
"""

from __future__ import annotations

import os
import posixpath
import re
import shlex
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ansible_collections.failclosed.openclaw.plugins.module_utils import _openclaw_state

PUBLIC_NAMES = _openclaw_state.PUBLIC_NAMES
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


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """The assignments of a unit file, as systemd.syntax(7) has them."""
    # A comment does not end a line that is continued.
    kept = [line for line in text.splitlines() if not line.lstrip().startswith(("#", ";"))]
    for line in re.sub(r"\\\n\s*", " ", "\n".join(kept)).splitlines():
        key, separator, value = line.partition("=")
        if separator:
            yield key.strip(), value.strip()


def of_unit(
    texts: Mapping[str, str], where: str, *, read: Mapping[str, Mapping[str, str]], home: str = ""
) -> Environment:
    """The environment that a unit and its drop-ins give, in the order of ``texts`` (path -> text).

    ``read``: path of an ``EnvironmentFile=`` -> the assignments in it. ``home``: what
    ``%h`` stands for. See systemd.exec(5).
    """
    variables: dict[str, str] = {}
    from_files: dict[str, str] = {}
    passed: set[str] = set()
    unset: set[str] = set()
    for text in texts.values():
        for key, value in _lines(text):
            if key == "Environment":
                if not value:
                    variables.clear()
                for assignment in _split(value):
                    name, _equals, content = assignment.partition("=")
                    variables[name] = content.replace("%h", home) if home else content
            elif key == "EnvironmentFile":
                if not value:
                    from_files.clear()
                from_files.update(read.get(value.lstrip("-"), {}))
            elif key == "PassEnvironment":
                passed = passed | set(value.split()) if value else set()
            elif key == "UnsetEnvironment":
                if not value:
                    unset.clear()
                # With a value it takes away that very assignment, and not another one of the name.
                unset |= {each for each in _split(value) if "=" not in each}
    names = {name for name, content in variables.items() if content} | set(from_files) | passed
    # What is in a file counts, whichever line comes first.
    given = {**variables, **from_files}
    public = {name: content for name, content in given.items() if name in PUBLIC_NAMES and name not in unset}
    return Environment(where, frozenset(names - unset), public)


def environment_files(texts: Iterable[str]) -> tuple[list[str], list[str]]:
    """The paths that the ``EnvironmentFile=`` lines of units name, and the patterns and specifiers among them."""
    plain: list[str] = []
    others: list[str] = []
    for text in texts:
        for key, value in _lines(text):
            path = value.lstrip("-")
            if key == "EnvironmentFile" and path:
                (others if re.search(r"[%*?\[]", path) or not path.startswith("/") else plain).append(path)
    return plain, others


def drop_in_directories(unit: str) -> list[str]:
    """The names of the directories whose drop-ins a unit has, the general ones first; see systemd.unit(5)."""
    stem = unit[: -len(".service")]
    parts = stem.split("-")
    prefixes = ["-".join(parts[:count]) + "-" for count in range(1, len(parts))]
    return ["service.d", *(f"{prefix}.service.d" for prefix in prefixes), f"{unit}.d"]


class SystemUnits(NamedTuple):
    """The system units that start OpenClaw's gateway as one user, and what could not be read of them."""

    environments: tuple[Environment, ...]
    unreadable: tuple[tuple[str, str], ...]


def _read(path: Path, unreadable: list[tuple[str, str]]) -> str:
    try:
        # An EnvironmentFile may lie in a directory of the gateway's user: no link, and no FIFO that never ends.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    except OSError as error:
        unreadable.append((str(path), error.strerror or "cannot be read"))
        return ""
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            unreadable.append((str(path), "is no regular file"))
            return ""
        content = stream.read(_MAXIMUM_BYTES + 1)
    if len(content) > _MAXIMUM_BYTES:
        unreadable.append((str(path), "is larger than a megabyte"))
    return content.decode("utf-8", "replace")


def _unit_text(path: Path, unreadable: list[tuple[str, str]]) -> str:
    # What root alone can write may be a link, as systemctl link and enable make it.
    return _read(path.resolve(), unreadable) if path.is_symlink() else _read(path, unreadable)


def system_units(
    user: str, uid: int, *, home: str = "", directories: Iterable[str] = SYSTEM_UNIT_DIRECTORIES
) -> SystemUnits:
    """Look at the units in ``directories`` that run an OpenClaw gateway as ``user``."""
    environments = []
    unreadable: list[tuple[str, str]] = []
    seen: set[str] = set()
    roots = [Path(each) for each in directories]
    for root in roots:
        for unit in sorted(root.glob("*.service")) if root.is_dir() else ():
            if unit.name in seen:
                continue
            text = _unit_text(unit, unreadable)
            assigned = list(_lines(text))
            starts = any(key == "ExecStart" and "gateway" in value.split() for key, value in assigned)
            if "openclaw" not in text or not starts:
                continue
            runs_as = [value for key, value in assigned if key == "User" and value]
            if (runs_as or ["root"])[-1] not in (user, str(uid)):
                continue
            seen.add(unit.name)
            texts = {str(unit): text}
            for name in drop_in_directories(unit.name):
                # One of the same name counts where it comes first, and they are read in the order of their names.
                drop_ins: dict[str, Path] = {}
                for each in roots:
                    for drop_in in (each / name).glob("*.conf"):
                        drop_ins.setdefault(drop_in.name, drop_in)
                for _name, drop_in in sorted(drop_ins.items()):
                    texts[str(drop_in)] = _unit_text(drop_in, unreadable)
            plain, others = environment_files(texts.values())
            unreadable += ((path, "is a pattern of an EnvironmentFile, and was not looked at") for path in others)
            files = {path: _openclaw_state.assignments(_read(Path(path), unreadable)) for path in plain}
            environments.append(of_unit(texts, str(unit), read=files, home=home))
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
            words = command.decode("utf-8", "replace").replace("\0", " ").split()
            is_gateway = "gateway" in words[1:] and any("openclaw" in word for word in words)
            if not is_gateway and not (words and posixpath.basename(words[0]) == "openclaw-gateway"):
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
        # One with a port counts for that port alone, and which one the proxy has may change.
        name = entry.strip("[]")
        if name in ("*", host) or (name and host.endswith("." + name.lstrip("."))):
            return True
    return False
