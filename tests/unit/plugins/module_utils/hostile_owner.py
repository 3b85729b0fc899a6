# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The owner of a gateway's directory as an attacker: puts whatever he can in the way of root's edits.

Run as that user, with the directory, one of root's with files that he wants to be changed or copied, and a place for
his own files. Each line of input is a wish to begin, and "end" ends.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

STATE, VICTIM = Path(sys.argv[1]), Path(sys.argv[2])
NAME = "openclaw.json"
OWN = b'{ meta: {}, gateway: { mode: "local", bind: "loopback" } }\n'


def fresh() -> Path:
    """A name of his own beside the file."""
    return STATE / f"mine-{random.getrandbits(48):x}"


def take(target: Path, make: Callable[[Path], object]) -> None:
    """Make something, and let it have the target's name at once."""
    made = fresh()
    make(made)
    made.chmod(0o644) if made.is_file() and not made.is_symlink() and made.stat().st_uid == os.getuid() else None
    if made.is_dir() and not made.is_symlink():
        with suppress(OSError):
            target.unlink()
    made.rename(target)


def the_file() -> Path:
    return STATE / NAME


def a_candidate() -> Path:
    """What root is just writing; the file itself if root is not."""
    names = sorted(name for name in os.listdir(STATE) if name.startswith(f".{NAME}.failclosed-"))
    return STATE / names[0] if names else the_file()


def honest() -> None:
    if the_file().is_dir() and not the_file().is_symlink():
        the_file().rmdir()
    take(the_file(), lambda path: path.write_bytes(OWN))


def swap_directory() -> None:
    aside = STATE.with_name("aside")
    STATE.rename(aside)
    STATE.symlink_to(VICTIM)
    STATE.unlink()
    aside.rename(STATE)


ATTACKS: list[Callable[[], None]] = [
    *[honest] * 6,
    lambda: take(the_file(), lambda path: path.symlink_to(VICTIM / NAME)),
    lambda: take(the_file(), lambda path: os.link(VICTIM / "open.json", path)),
    lambda: take(the_file(), os.mkfifo),
    lambda: take(the_file(), os.mkdir),
    lambda: take(a_candidate(), lambda path: path.symlink_to(VICTIM / NAME)),
    lambda: take(a_candidate(), lambda path: os.link(VICTIM / "open.json", path)),
    lambda: take(a_candidate(), lambda path: path.write_bytes(OWN)),
    lambda: os.link(the_file(), STATE / f".{NAME}.failclosed-{random.getrandbits(64):016x}"),
    swap_directory,
]


def main() -> None:
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), ended.set()), daemon=True).start()
    print("ready", flush=True)
    done = 0
    while not ended.is_set():
        with suppress(OSError):
            random.choice(ATTACKS)()
            done += 1
        for name in os.listdir(STATE):
            path = STATE / name
            if not name.startswith("mine-"):
                continue
            with suppress(OSError):
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        # Sometimes long enough that an edit gets through.
        ended.wait(random.choice((0, 0, 0, 0.2)))
    for path in list(STATE.iterdir()):
        with suppress(OSError):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    the_file().write_bytes(OWN)
    print(done, flush=True)


if __name__ == "__main__":
    main()
