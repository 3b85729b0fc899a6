# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run programs as a user that nobody else is, and leave none of them behind.

Private to the collection: no stable interface.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import grp
import os
import pwd
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Free in both tables that a Debian host lives by: systemd's (60706 to 61183 "unused",
# https://systemd.io/UIDS-GIDS/) and Debian's (allocated users of 60000 to 64999 stand in passwd).
TRANSIENT_UIDS = range(60706, 61184)

# Held while a uid is in use, so that two installs on one host never share one.
LOCK_DIRECTORY = "/run/failclosed-openclaw-uids"

# Enough of a package manager's last words to name what failed.
OUTPUT_LIMIT = 256 * 1024

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38


class UnprivilegedError(RuntimeError):
    """A program could not be started, did not end in time, or left processes behind."""


@dataclass(frozen=True)
class Finished:
    """A program that ended: its exit status (negative: signal) and the end of what it printed."""

    returncode: int
    output: str


def _uids_of(status: str) -> set[int]:
    """The real, effective, saved and file system uid of a /proc/PID/status text, none for a zombie."""
    uids: set[int] = set()
    for line in status.splitlines():
        if line.startswith("State:") and line.split()[1] in ("Z", "X"):
            return set()
        if line.startswith("Uid:"):
            uids = {int(word) for word in line.split()[1:]}
    return uids


def processes_by_uid(proc: str = "/proc") -> dict[int, list[int]]:
    """Living processes of each uid: ``{uid: [pid, ...]}``."""
    found: dict[int, list[int]] = {}
    for entry in os.listdir(proc):
        if not entry.isdigit():
            continue
        try:
            with Path(f"{proc}/{entry}/status").open(encoding="utf-8", errors="replace") as handle:
                uids = _uids_of(handle.read())
        except OSError:
            continue
        for uid in uids:
            found.setdefault(uid, []).append(int(entry))
    return found


def _kill_if_still(pid: int, uid: int) -> None:
    # The number may have passed to another process since it was read; the descriptor cannot.
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return
    try:
        with Path(f"/proc/{pid}/status").open(encoding="utf-8", errors="replace") as handle:
            if uid not in _uids_of(handle.read()):
                return
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except OSError:
        return
    finally:
        os.close(descriptor)


def kill_all_of(uid: int, *, patience: float = 10.0) -> None:
    """Kill every process of a transient ``uid``.

    Raises UnprivilegedError when some still live after ``patience`` seconds, and ValueError for a
    uid outside of TRANSIENT_UIDS: nobody else's processes are ever touched.
    """
    if uid not in TRANSIENT_UIDS:
        raise ValueError(f"uid {uid} is not a transient one")
    deadline = time.monotonic() + patience
    while True:
        pids = processes_by_uid().get(uid, [])
        if not pids:
            return
        for pid in pids:
            _kill_if_still(pid, uid)
        if time.monotonic() > deadline:
            raise UnprivilegedError(
                f"processes of the install user (uid {uid}) could not be killed: {sorted(pids)[:5]}"
            )
        time.sleep(0.02)


def _name_is_taken(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        pass
    else:
        return True
    try:
        grp.getgrgid(uid)
    except KeyError:
        return False
    return True


def lock_uid(uid: int, lock_directory: str = LOCK_DIRECTORY) -> int | None:
    """An open descriptor that holds ``uid`` for this process, or None when another one holds it."""
    os.makedirs(lock_directory, mode=0o700, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(f"{lock_directory}/{uid}", flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


class InstallUser:
    """Whoever the install runs as: a transient uid under root, else the current user.

    ``started`` counts the programs that were started.
    """

    def __init__(self, uid: int | None) -> None:
        self.uid = uid
        self.started = 0

    def own(self, path: str) -> None:
        """Give an empty directory or a file just made by this process to the install user."""
        if self.uid is not None:
            os.chown(path, self.uid, self.uid, follow_symlinks=False)

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str,
        environment: Mapping[str, str],
        deadline: float,
    ) -> Finished:
        """Run ``argv`` with exactly ``environment`` and wait until ``deadline`` (time.monotonic).

        Raises UnprivilegedError when it cannot start, does not end in time or leaves processes.
        """
        library = ctypes.CDLL(None)

        def confine() -> None:
            # After the change of uid, which would clear the first of the two.
            library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            library.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)

        # A file and not a pipe: a grandchild that keeps a pipe open would keep us waiting.
        with tempfile.TemporaryFile() as output:
            try:
                child = subprocess.Popen(
                    list(argv),
                    cwd=cwd,
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    umask=0o022,
                    # A module has one thread, so nothing can hold a lock across the fork.
                    preexec_fn=confine,
                    user=self.uid,
                    group=self.uid,
                    extra_groups=None if self.uid is None else [],
                )
            except PermissionError as error:
                raise UnprivilegedError(
                    f"{argv[0]} could not be started by an unprivileged user ({error.strerror}): it, every"
                    f" directory above it, and {cwd} must be open to everyone (o+rx)"
                ) from error
            except OSError as error:
                raise UnprivilegedError(f"{argv[0]} could not be started: {error.strerror}") from error
            self.started += 1
            expired = False
            try:
                child.wait(timeout=max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                expired = True
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                self.kill_leftovers()
            output.seek(0, os.SEEK_END)
            output.seek(max(0, output.tell() - OUTPUT_LIMIT))
            text = output.read().decode("utf-8", errors="replace")
        if expired:
            raise UnprivilegedError(f"{' '.join(argv[:3])} did not end in time and was killed")
        return Finished(returncode=child.returncode, output=text)

    def kill_leftovers(self) -> None:
        """Kill what the programs left running, also what left their process group."""
        if self.uid is not None:
            kill_all_of(self.uid)


@contextlib.contextmanager
def install_user(lock_directory: str = LOCK_DIRECTORY) -> Iterator[InstallUser]:
    """An InstallUser for the length of the block.

    Under root it is a uid that stands in neither passwd nor group, has no process, and is locked
    against other installs. Raises UnprivilegedError when none is free.
    """
    if os.geteuid() != 0:
        yield InstallUser(None)
        return
    busy = processes_by_uid()
    candidates = list(TRANSIENT_UIDS)
    random.shuffle(candidates)
    for uid in candidates:
        if uid in busy or _name_is_taken(uid):
            continue
        descriptor = lock_uid(uid, lock_directory)
        if descriptor is None:
            continue
        user = InstallUser(uid)
        try:
            yield user
        finally:
            try:
                user.kill_leftovers()
            finally:
                os.close(descriptor)
        return
    raise UnprivilegedError(f"no free uid for the install between {TRANSIENT_UIDS.start} and {TRANSIENT_UIDS.stop - 1}")
