# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write down what is on a host, and say what differs later: files, units, users, processes, nftables.

Usage: host_snapshot.py take FILE | host_snapshot.py compare FILE
Comparing prints a JSON list of differences, which is empty where everything is as it was. What Debian packages that
were installed since then brought along does not count, and neither does what EXCEPTIONS names. Of /run, where much
changes by itself, only what bears our names is looked at, and of /dev/shm everything.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

SKIPPED = ("/proc", "/sys", "/dev", "/run")
_OURS = re.compile("openclaw|failclosed|anthropic|litellm")
# Each with its reason.
EXCEPTIONS = {
    r"/var/log(/.*)?": "logs",
    r"/var/cache/(apt|debconf|ldconfig|man)(/.*)?": "what the package manager keeps",
    r"/var/lib/(apt|dpkg|ucf|systemd|python|dbus|pam|logrotate)(/.*)?": "what package manager and systemd note",
    r"/etc/(passwd|group|shadow|gshadow|subuid|subgid)-?": "rewritten by useradd; users are compared instead",
    r"/etc/\.pwd\.lock": "the lock of useradd",
    r"/etc/(ld\.so\.cache|mailcap|environment)": "made anew by packages",
    r"/etc/ssl/certs(/.*)?": "made anew by ca-certificates",
    r"/etc/(alternatives|rc[0-9S]\.d)(/.*)?": "links that packages make",
    r"/etc/systemd/system/[^/]+\.(wants|requires)": "only what is in it",
    r".*/__pycache__(/.*)?": "compiled by packages",
    r"/usr/(lib|share)(/.*)?": "packages alone write there",
    r"/root/(\.ansible|\.bash_history|\.cache|snapshot\.json|adoption)(/.*)?": "the controller's, and this proof's own",
    r"/|/tmp|/var/tmp|/opt|/home|/root|/var/(lib|backups|mail)": "what is in it counts",
    r"/etc|/etc/systemd/system|/usr/local/(lib|bin)": "what is in it counts",
    r"/var/backups/(dpkg|apt|alternatives).*": "copies that the package manager makes",
}
_EXCEPTION = re.compile("|".join(f"(?:{pattern})" for pattern in EXCEPTIONS))
_LARGE = 4_000_000


def described(path: Path) -> str:
    """Type, mode, owner and content of a file."""
    status = path.lstat()
    text = f"{stat.filemode(status.st_mode)} {status.st_uid}:{status.st_gid}"
    if stat.S_ISLNK(status.st_mode):
        return f"{text} -> {path.readlink()}"
    if stat.S_ISREG(status.st_mode):
        content = path.read_bytes() if status.st_size < _LARGE else str(status.st_size).encode()
        return f"{text} {hashlib.sha256(content).hexdigest()[:16]}"
    return text


def files() -> dict[str, str]:
    """Every file of the root file system that a change could be seen at."""
    found = {}
    for directory, names, leaves in os.walk("/"):
        names[:] = [name for name in names if os.path.join(directory, name) not in SKIPPED]
        for name in (*names, *leaves):
            path = os.path.join(directory, name)
            if _EXCEPTION.fullmatch(path):
                continue
            try:
                found[path] = described(Path(path))
            except OSError:
                continue
        names[:] = [name for name in names if not _EXCEPTION.fullmatch(os.path.join(directory, name, "x"))]
    return found | in_memory()


def in_memory(run: str = "/run", shared: str = "/dev/shm") -> dict[str, str]:
    """What is in the directories that live in memory, without content, which changes by itself."""
    found = {}
    for top in (run, shared):
        for directory, names, leaves in os.walk(top):
            for name in (*names, *leaves):
                path = os.path.join(directory, name)
                # Below /run/user it is a person's.
                if top == shared or (_OURS.search(path) and not path.startswith(f"{run}/user/")):
                    found[path] = "present"
    return found


def output_of(*command: str) -> list[str]:
    """The lines of a command; an empty list where it is not installed."""
    try:
        completed = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"}
        )
    except FileNotFoundError:
        return []
    return completed.stdout.splitlines()


def processes() -> list[str]:
    """User and name of every process that a user other than root has."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                uid = entry.stat().st_uid
                name = (entry / "comm").read_text().strip()
            except OSError:
                continue
            if uid:
                found.add(f"{uid} {name}")
    return sorted(found)


def taken() -> dict[str, Any]:
    """All of it."""
    units = [line.split()[0] for line in output_of("systemctl", "list-unit-files", "--no-legend", "--plain")]
    loaded = output_of("systemctl", "list-units", "--all", "--no-legend", "--plain", "--type=service,timer,socket")
    return {
        "files": files(),
        "units": sorted(units),
        "loaded": sorted(line.split()[0] for line in loaded if "ssh" not in line and "session" not in line),
        "users": sorted(f"{each.pw_name} {each.pw_uid} {each.pw_dir}" for each in pwd.getpwall()),
        "processes": processes(),
        "nftables": output_of("nft", "list", "ruleset"),
        "packages": output_of("dpkg-query", "--show", "--showformat=${binary:Package}\\n"),
    }


def of_packages(names: list[str]) -> set[str]:
    """The files, and the names of units and users, that packages bring along."""
    owned = set()
    for name in names:
        # What a package makes by itself when it is installed.
        owned.add(f"/var/lib/{name}")
        for line in output_of("dpkg-query", "--listfiles", name):
            owned |= {line, f"/usr{line}", posix_name(line)}
            # systemd makes a unit of every such script.
            if line.startswith("/etc/init.d/"):
                owned.add(f"{posix_name(line)}.service")
    return owned


def posix_name(path: str) -> str:
    return path.rpartition("/")[2]


def leads_to(description: str) -> str:
    """Where the link that is described leads; empty for what is none."""
    return description.partition(" -> ")[2]


def compare(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs, in words."""
    new_packages = sorted(set(now["packages"]) - set(before["packages"]))
    owned = of_packages(new_packages)
    old_files: dict[str, str] = before["files"]
    new_files: dict[str, str] = now["files"]
    differences = []
    for path in sorted({*old_files, *new_files}):
        wanted_by_package = ".wants/" in path and leads_to(new_files.get(path, "")) in owned
        if old_files.get(path) != new_files.get(path) and path not in owned and not wanted_by_package:
            differences.append(f"file {path}: {old_files.get(path, 'absent')} | {new_files.get(path, 'absent')}")
    for kind in ("units", "loaded", "users", "processes", "nftables"):
        old, new = set(before[kind]), set(now[kind])
        for each in sorted(old ^ new):
            # A package's own units and its system user stay with it.
            if each.split(" ")[0] in owned or each.split(" ")[0].split("@")[0] + "@.service" in owned:
                continue
            if kind == "users" and each.split(" ")[0] in new_packages:
                continue
            differences.append(f"{kind} {'gone' if each in old else 'new'}: {each}")
    return differences


def main(what: str, path: str) -> None:
    """Take a snapshot, or compare with one."""
    if what == "take":
        Path(path).write_text(json.dumps(taken()))
        return
    before = json.loads(Path(path).read_text())
    now = taken()
    print(json.dumps({"files": len(before["files"]), "differences": compare(before, now)}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
