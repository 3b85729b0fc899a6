# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Print what a state directory holds as JSON: of a database its logical content, of every other file its digest.

Usage: state_snapshot.py DIRECTORY
What is below tmp comes and goes with the gateway's own work, and does not count.
The files beside a database (its log, its index) count by their names only: what is in them is the database's content.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path


def content_of(path: Path) -> str:
    """A digest of what a file says."""
    if path.is_symlink():
        return f"link {path.readlink()}"
    if not path.is_file():
        return "directory" if path.is_dir() else "other"
    if path.name.endswith(("-wal", "-shm")):
        return "beside a database"
    # A database without content is one of OpenClaw's locks.
    if path.suffix == ".sqlite" and path.stat().st_size > 0:
        digest = hashlib.sha256()
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20)) as connection:
            # Virtual tables need extensions that a plain reader does not have; their shadow tables hold their rows.
            for name, sql in connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall():
                digest.update(f"{name} {sql}\n".encode())
                if str(sql).upper().startswith("CREATE TABLE"):
                    for row in connection.execute(f'SELECT * FROM "{name}"'):
                        digest.update(repr(row).encode())
        return digest.hexdigest()
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(root: str) -> None:
    """Print path -> content."""
    found = {}
    for path in sorted(Path(root).rglob("*")):
        if path.relative_to(root).parts[0] == "tmp":
            continue
        try:
            found[str(path.relative_to(root))] = content_of(path)
        except FileNotFoundError:
            # A living gateway removes files of its own.
            continue
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
