# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Say where on this host secrets can be found: a JSON object name -> secret is read from a file, a list of places is
printed for each. The file must be root's alone, because a pipe or an argument would be a place itself.

Usage: canaries.py FILE
Places: files below the directories where something is written, the journal, ``systemctl show``, and of every process
its command line and its environment, with the user it belongs to.
"""

from __future__ import annotations

import json
import os
import pwd
import stat
import subprocess
import sys
from pathlib import Path

DIRECTORIES = ("/etc", "/home", "/root", "/run", "/tmp", "/var")
# Far above every file that a service of this collection writes.
LARGEST = 64 * 1024 * 1024


def files(skipped: Path) -> list[Path]:
    """The regular files in which a secret could have been left."""
    found = []
    for top in DIRECTORIES:
        for directory, names, leaves in os.walk(top):
            names[:] = [name for name in names if (directory, name) not in (("/var/lib", "dpkg"), ("/var/lib", "apt"))]
            for leaf in leaves:
                path = Path(directory, leaf)
                try:
                    status = path.lstat()
                except OSError:
                    continue
                if stat.S_ISREG(status.st_mode) and status.st_size < LARGEST and path != skipped:
                    found.append(path)
    return found


def readers(path: Path) -> str:
    """The path, and who beside root may read the file."""
    status = path.lstat()
    # systemd's own credentials show the mask of an access list as the mode of the group, which is root's.
    if status.st_mode & 0o004 or (status.st_mode & 0o040 and status.st_gid):
        return f"{path} (others may read it)"
    if status.st_uid and status.st_mode & 0o400:
        return f"{path} ({pwd.getpwuid(status.st_uid).pw_name})"
    return str(path)


def output_of(*command: str) -> bytes:
    """What a command prints."""
    return subprocess.run(command, capture_output=True, check=False).stdout


def main(source: str) -> None:
    """Print where each secret is."""
    secrets = {name: text.strip().encode() for name, text in json.loads(Path(source).read_text()).items()}
    if any(len(text) < 16 for text in secrets.values()):
        raise SystemExit("a secret of less than 16 bytes is found everywhere")
    places: dict[str, list[str]] = {name: [] for name in secrets}

    def search(content: bytes, place: str) -> None:
        for name, text in secrets.items():
            if text in content:
                places[name].append(place)

    for path in files(Path(source)):
        try:
            search(path.read_bytes(), readers(path))
        except (OSError, KeyError):
            continue
    search(output_of("journalctl", "--quiet", "--output=export", "--all"), "journal")
    units = (
        output_of("systemctl", "list-units", "--all", "--plain", "--no-legend", "--type=service").decode().splitlines()
    )
    search(output_of("systemctl", "show", *(line.split()[0] for line in units)), "systemctl show")
    search(output_of("systemctl", "show"), "systemctl show")
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        for name in ("cmdline", "environ"):
            try:
                owner = pwd.getpwuid(process.stat().st_uid).pw_name
                search((process / name).read_bytes(), f"{name} of a process of {owner}")
            except (OSError, KeyError):
                continue
    print(json.dumps({name: sorted(set(found)) for name, found in places.items()}))


if __name__ == "__main__":
    main(sys.argv[1])
