# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host is: system, systemd, Python, installed Debian packages. Private to this collection.

Everything is read from files, so that looking at a host starts no process.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import typing as t
from pathlib import Path

_STANZA_PACKAGE = re.compile(r"^Package: (\S+)$", re.MULTILINE)
_CAP_NET_ADMIN = 12
_STANZA_STATUS = re.compile(r"^Status: \S+ \S+ installed$", re.MULTILINE)


def parse_os_release(text: str) -> dict[str, str]:
    """Return the assignments of an os-release file (freedesktop os-release(5)) as a dictionary."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        name, separator, value = line.strip().partition("=")
        if not separator or name.startswith("#"):
            continue
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        values[name] = re.sub(r"\\([\\\"'$`])", r"\1", value)
    return values


def installed_packages(status: str, names: t.Iterable[str]) -> list[str]:
    """Return those of ``names`` that dpkg's status text records as installed, sorted."""
    wanted = set(names)
    found: set[str] = set()
    for stanza in status.split("\n\n"):
        match = _STANZA_PACKAGE.search(stanza)
        if match and match.group(1) in wanted and _STANZA_STATUS.search(stanza):
            found.add(match.group(1))
    return sorted(found)


def has_net_admin(status: str) -> bool:
    """Whether a /proc/PID/status text shows the effective capability CAP_NET_ADMIN."""
    match = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return match is not None and bool(int(match.group(1), 16) >> _CAP_NET_ADMIN & 1)


def systemd_version(text: str) -> int:
    """Return the number in the first line of ``systemctl --version``, 0 when there is none."""
    match = re.match(r"systemd (\d+)", text)
    return int(match.group(1)) if match else 0


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _installed_systemd_version(root: Path) -> int:
    # The private library carries the version in its name, which saves starting systemctl.
    for directory in (root / "usr/lib/systemd", root / "lib/systemd", root / "usr/lib64/systemd"):
        for library in sorted(directory.glob("libsystemd-shared-*.so")):
            match = re.match(r"libsystemd-shared-(\d+)", library.name)
            if match:
                return int(match.group(1))
    for directory in sorted((root / "usr/lib").glob("*-linux-gnu/systemd")):
        for library in sorted(directory.glob("libsystemd-shared-*.so")):
            match = re.match(r"libsystemd-shared-(\d+)", library.name)
            if match:
                return int(match.group(1))
    try:
        output = subprocess.run(
            ["systemctl", "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return systemd_version(output)


def describe(packages: t.Iterable[str], *, root: Path = Path("/")) -> dict[str, t.Any]:
    """Describe the host below ``root``.

    Returns a dictionary with ``os_id``, ``os_version``, ``os_name``, ``architecture``, ``python_version``,
    ``systemd_running``, ``systemd_version`` (0 when unknown), ``net_admin`` and ``packages_installed``.
    """
    release = parse_os_release(_read(root / "etc/os-release") or _read(root / "usr/lib/os-release"))
    running = os.path.isdir(root / "run/systemd/system")
    return {
        "os_id": release.get("ID", ""),
        "os_version": release.get("VERSION_ID", ""),
        "os_name": release.get("PRETTY_NAME", release.get("NAME", "an unknown system")),
        "architecture": platform.machine(),
        "python_version": platform.python_version(),
        "systemd_running": running,
        "systemd_version": _installed_systemd_version(root) if running else 0,
        "net_admin": has_net_admin(_read(root / "proc/self/status")),
        "packages_installed": installed_packages(_read(root / "var/lib/dpkg/status"), packages),
    }
