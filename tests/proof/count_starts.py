# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Count how often a program file is opened, which every start of it does, until SIGTERM.

Usage: count_starts.py PROGRAM RESULT. RESULT says 0 as soon as the watch is set, and the count from then on.
Source: inotify(7).
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from pathlib import Path

IN_OPEN = 0x20
HEADER = struct.Struct("iIII")


def main(program: str, result: str) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    descriptor = library.inotify_init()
    # The file itself and not a link to it: an event comes from the inode that is opened.
    if descriptor < 0 or library.inotify_add_watch(descriptor, os.fsencode(os.path.realpath(program)), IN_OPEN) < 0:
        raise OSError(ctypes.get_errno(), f"cannot watch {program}")
    count = 0
    while True:
        Path(result).write_text(f"{count}\n")
        events = os.read(descriptor, 65536)
        while events:
            _watch, _mask, _cookie, length = HEADER.unpack_from(events)
            events = events[HEADER.size + length :]
            count += 1


if __name__ == "__main__":
    main(*sys.argv[1:3])
