# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One at a time on this machine, for steps that several sets of hosts may take at once."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

RUNTIME_DIRECTORY = Path("/run/failclosed-hosts")


@contextlib.contextmanager
def held(name: str) -> Iterator[None]:
    """Hold the machine-wide lock ``name``; the kernel drops it when the process ends."""
    RUNTIME_DIRECTORY.mkdir(mode=0o700, exist_ok=True)
    with (RUNTIME_DIRECTORY / f"{name}.lock").open("w", encoding="ascii") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
