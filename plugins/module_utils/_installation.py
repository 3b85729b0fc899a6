# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find an OpenClaw that somebody else installed, without starting it. Private to this collection."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.failclosed.openclaw.plugins.module_utils import _openclaw

_SYSTEM_PREFIXES = ("/usr/local", "/usr", "/opt/openclaw/gateway/current")
_HOME_PREFIXES = (".npm-global", ".local", ".nvm/versions/node/*", ".volta/tools/image/node/*")


@dataclass(frozen=True)
class Installation:
    """An installed package directory, its version and the command line that starts it; empty when nothing was found."""

    package_directory: str = ""
    version: str = ""
    node: str = ""
    searched: list[str] = field(default_factory=list)

    @property
    def found(self) -> bool:
        return bool(self.package_directory)

    @property
    def command(self) -> list[str]:
        if not self.found or not self.node:
            return []
        return [self.node, os.path.join(self.package_directory, "openclaw.mjs")]


def candidate_directories(home: str) -> list[str]:
    """Return the directories in which npm's global prefixes would hold OpenClaw, newest node version first."""
    prefixes = list(_SYSTEM_PREFIXES)
    for prefix in _HOME_PREFIXES if home else ():
        prefixes += sorted(glob.glob(os.path.join(glob.escape(home), prefix)), reverse=True) or [
            os.path.join(home, prefix)
        ]
    directories = []
    for prefix in prefixes:
        below = "node_modules" if prefix.startswith("/opt/") else os.path.join("lib", "node_modules")
        directories.append(os.path.join(prefix, below, "openclaw"))
    return directories


def _is_program(path: str) -> bool:
    return path.startswith("/") and os.path.isfile(path) and os.access(path, os.X_OK)


def _node_for(directory: str) -> str:
    prefix = directory.partition("/lib/node_modules/")[0]
    for node in (
        os.path.join(prefix, "bin/node"),
        "/usr/local/bin/node",
        "/usr/bin/node",
        "/opt/openclaw/node/current/bin/node",
    ):
        if _is_program(node):
            return node
    return ""


def running_gateways(uid: int, proc: str = "/proc") -> list[tuple[str, str]]:
    """Return (package directory, node) of each gateway that ``uid`` runs, by the command lines of its processes.

    They are what the user says, so they are only good for what is then done as that user. Node is empty where the
    command line does not name it and the kernel does not tell.
    """
    found: list[tuple[str, str]] = []
    for process in sorted(filter(str.isdigit, os.listdir(proc)), key=int):
        directory = os.path.join(proc, process)
        # Processes end while they are looked at.
        with suppress(OSError):
            if os.stat(directory).st_uid != uid:
                continue
            with Path(directory, "cmdline").open("rb") as stream:
                arguments = stream.read(65536).decode("utf-8", "surrogateescape").split("\0")
            if "gateway" not in arguments:
                continue
            package = _openclaw.package_directory(arguments[1 : arguments.index("gateway")])
            if package is None:
                continue
            node = arguments[0]
            if not _is_program(node):
                with suppress(OSError):
                    node = os.readlink(os.path.join(directory, "exe"))
            found.append((package, node if _is_program(node) else ""))
    return found


def find(home: str, *, package_directory: str | None = None, running: Sequence[tuple[str, str]] = ()) -> Installation:
    """Look for OpenClaw in ``package_directory``, or as ``running`` has it, or in npm's global prefixes.

    The prefixes are those of the system and of ``home``. ``running`` is what running_gateways() returns: only it knows
    for sure which Node belongs to an installation.
    """
    searched = [package_directory] if package_directory else [package for package, _node in running]
    if not package_directory:
        searched += [directory for directory in candidate_directories(home) if directory not in searched]
    for directory in searched:
        version = _openclaw.installed_version([os.path.join(directory, "openclaw.mjs")])
        if version is not None:
            nodes = [node for package, node in running if node and package == os.path.realpath(directory)]
            return Installation(directory, version, nodes[0] if nodes else _node_for(directory), searched)
    return Installation(searched=searched)
