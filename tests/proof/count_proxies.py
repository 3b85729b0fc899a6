# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Count the processes that run a program, again and again, and keep how many there were at once.

``count_proxies.py PROGRAM RESULT``: PROGRAM is the word after the interpreter in their command lines. RESULT gets the
largest number seen, and how often it was looked.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path


def running(program: str) -> int:
    """How many living processes run the program."""
    found = 0
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                words = Path("/proc", entry, "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            found += words[1:2] == [program.encode()]
    return found


def main() -> None:
    """Look until killed."""
    program, result = sys.argv[1], Path(sys.argv[2])
    most, looks = 0, 0
    while True:
        most, looks = max(most, running(program)), looks + 1
        partial = result.with_suffix(".new")
        partial.write_text(f"{most} {looks}\n")
        partial.replace(result)
        time.sleep(0.05)


if __name__ == "__main__":
    main()
