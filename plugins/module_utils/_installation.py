# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find an OpenClaw that somebody else installed, without starting it. Private to this collection."""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass, field

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


def _node_for(directory: str) -> str:
    prefix = directory.partition("/lib/node_modules/")[0]
    for node in (
        os.path.join(prefix, "bin/node"),
        "/usr/local/bin/node",
        "/usr/bin/node",
        "/opt/openclaw/node/current/bin/node",
    ):
        if os.path.isfile(node) and os.access(node, os.X_OK):
            return node
    return ""


def find(home: str, *, package_directory: str | None = None) -> Installation:
    """Look for OpenClaw in ``package_directory``, or in the global prefixes of npm for the system and ``home``."""
    searched = [package_directory] if package_directory else candidate_directories(home)
    for directory in searched:
        version = _openclaw.installed_version([os.path.join(directory, "openclaw.mjs")])
        if version is not None:
            return Installation(directory, version, _node_for(directory), searched)
    return Installation(searched=searched)
