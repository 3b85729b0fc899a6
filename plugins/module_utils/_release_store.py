# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory of releases of one program, as it is on disk.

``releases/<digest>`` never changes once its marker is written; the link ``current`` names the active
release and ``previous`` the one before.

Private to the collection: no stable interface.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from typing import Any

from ansible_collections.failclosed.openclaw.plugins.module_utils._release_install import (
    ReleaseError,
)
from ansible_collections.failclosed.openclaw.plugins.module_utils._unprivileged import (
    TRANSIENT_UIDS,
    kill_all_of,
)

# Part of the digest: raise it when releases made before are no longer what would be made now.
FORMAT = 1

MARKER = ".release.json"
INTERPRETERS = ".interpreters.json"
LOCK_FILE = ".lock"
WORK = ".work"

_NAME = re.compile(r"[0-9a-f]{32}(\.[0-9]+)?")


def is_trusted(status: os.stat_result) -> bool:
    """Whether only root (or, without root, the user that runs this) can have written it."""
    return status.st_uid in (0, os.geteuid()) and not status.st_mode & 0o022


def check_chain(option: str, path: str, *, sticky: bool) -> None:
    """Refuse a path that somebody else could exchange: each part must be trusted.

    A sticky directory (/tmp) is as good as one that is not writable, for what lies in it.
    """
    if not os.path.isabs(path):
        raise ReleaseError(f"{option}: {path!r} must be an absolute path")
    for start in dict.fromkeys((os.path.normpath(path), os.path.realpath(path))):
        part = start
        while True:
            try:
                status = os.lstat(part)
            except FileNotFoundError:
                pass
            except OSError as error:
                raise ReleaseError(f"{option}: {part} cannot be examined ({error.strerror})") from None
            else:
                is_link = stat.S_ISLNK(status.st_mode)
                is_sticky = sticky and part != start and bool(status.st_mode & stat.S_ISVTX)
                if status.st_uid not in (0, os.geteuid()) or (not is_link and not is_sticky and status.st_mode & 0o022):
                    raise ReleaseError(
                        f"{option}: {part} can be changed by others (uid {status.st_uid}, mode"
                        f" {stat.S_IMODE(status.st_mode):04o}); it must belong to root and be writable by root only"
                    )
            if part == "/":
                break
            part = os.path.dirname(part)


def _fsync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_file_system(path: str) -> None:
    """Bring all that was written to the file system of ``path`` to its disk (syncfs(2))."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Not os.sync(), which also waits for every other disk and for network mounts.
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(descriptor)


def write_json(path: str, content: Any) -> None:
    """Write a small file of this process's own, atomically and durably, 0644."""
    temporary = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(temporary, flags, 0o644), "w", encoding="utf-8") as handle:
        json.dump(content, handle, sort_keys=True)
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(temporary, path)
    _fsync_directory(os.path.dirname(path))


def read_json(path: str) -> dict[str, Any]:
    """A file that this module wrote, or {} when it is missing, broken, or could be somebody else's."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return {}
    with os.fdopen(descriptor, encoding="utf-8") as handle:
        status = os.fstat(handle.fileno())
        if not stat.S_ISREG(status.st_mode) or not is_trusted(status):
            return {}
        try:
            content = json.load(handle)
        except (OSError, ValueError):
            return {}
    return content if isinstance(content, dict) else {}


class Store:
    """The root directory of releases of one program, as it is on disk."""

    def __init__(self, path: str) -> None:
        self.path = os.path.normpath(path)
        self.releases = os.path.join(self.path, "releases")

    def directory(self, name: str) -> str:
        return os.path.join(self.releases, name)

    def link(self, which: str) -> str | None:
        """The release that ``current`` or ``previous`` names, or None. Raises ReleaseError."""
        path = os.path.join(self.path, which)
        try:
            text = os.readlink(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise ReleaseError(f"path: {path} cannot be read ({error.strerror})") from None
            raise ReleaseError(f"path: {path} exists and is no symbolic link; move it away first") from None
        directory, _slash, name = text.rpartition("/")
        if directory != "releases" or not _NAME.fullmatch(name):
            raise ReleaseError(f"path: {path} points to {text!r}, which no run of this module made; move it away first")
        return name

    def marker(self, name: str) -> dict[str, Any]:
        """What is written about a complete release, or {}: only looks, reads one file."""
        directory = self.directory(name)
        try:
            status = os.lstat(directory)
        except OSError:
            return {}
        if not stat.S_ISDIR(status.st_mode) or not is_trusted(status):
            return {}
        content = read_json(os.path.join(directory, MARKER))
        return content if content.get("format") == FORMAT else {}

    def names(self) -> list[str]:
        """Everything in ``releases`` that a run of this module made, complete or not."""
        try:
            return sorted(name for name in os.listdir(self.releases) if _NAME.fullmatch(name))
        except FileNotFoundError:
            return []

    def complete(self, digest: str) -> str | None:
        """The directory that holds the complete release ``digest``, or None."""
        for name in self.names():
            if name.partition(".")[0] == digest and self.marker(name).get("digest") == digest:
                return name
        return None

    def free_name(self, digest: str) -> str:
        """A name for a new release: the digest itself unless ``current`` still stands on a damaged one."""
        taken = {self.link("current"), self.link("previous")}
        name, number = digest, 0
        while name in taken:
            number += 1
            name = f"{digest}.{number}"
        return name

    def prunable(self, *, active: str | None, before: str | None, keep: int) -> list[str]:
        """Releases to remove: what is broken, and complete ones beyond ``keep`` old ones."""
        old: list[tuple[float, str]] = []
        broken: list[str] = []
        for name in self.names():
            if name in (active, before):
                continue
            marker = self.marker(name)
            if marker:
                old.append((float(marker.get("installed", 0)), name))
            else:
                broken.append(name)
        spare = max(0, keep - (1 if before not in (None, active) else 0))
        return sorted(broken) + [name for _when, name in sorted(old, reverse=True)[spare:]]

    def switch(self, which: str, name: str) -> None:
        """Make ``current`` or ``previous`` point to a release, atomically and durably."""
        temporary = os.path.join(self.path, f".{which}.new")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        os.symlink(f"releases/{name}", temporary)
        os.replace(temporary, os.path.join(self.path, which))
        _fsync_directory(self.path)

    def remove(self, name: str) -> None:
        """Remove a release; its marker first, so that half of one never counts as complete."""
        directory = self.directory(name)
        if os.path.islink(directory) or not os.path.isdir(directory):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(directory)
            return
        self.stop_owner(directory)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(directory, MARKER))
        shutil.rmtree(directory)

    def remove_work(self) -> bool:
        """Remove what an interrupted install left beside the releases, and say whether there was any."""
        work = os.path.join(self.path, WORK)
        if not os.path.lexists(work):
            return False
        self.stop_owner(work)
        shutil.rmtree(work)
        return True

    @staticmethod
    def stop_owner(path: str) -> None:
        """Kill what still runs as the transient user of an interrupted install."""
        uid = os.lstat(path).st_uid
        if os.geteuid() == 0 and uid in TRANSIENT_UIDS:
            kill_all_of(uid)

    @contextlib.contextmanager
    def locked(self, patience: float) -> Iterator[None]:
        """Hold the one lock of this root directory. Raises ReleaseError after ``patience`` seconds."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(os.path.join(self.path, LOCK_FILE), flags, 0o600)
        try:
            deadline = time.monotonic() + patience
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        raise ReleaseError(
                            f"path: another run has been installing into {self.path} for {int(patience)} s (timeout);"
                            " nothing was changed"
                        ) from None
                    time.sleep(0.2)
            yield
        finally:
            os.close(descriptor)


def find_removable(path: str) -> list[str]:
    """What this module made below ``path``, as paths, for state absent. Raises ReleaseError."""
    store = Store(path)
    found: list[str] = []
    for which in ("current", "previous"):
        if store.link(which) is not None:
            found.append(os.path.join(store.path, which))
    found += [store.directory(name) for name in store.names()]
    for name in (WORK, INTERPRETERS):
        if os.path.lexists(os.path.join(store.path, name)):
            found.append(os.path.join(store.path, name))
    return found


def remove_all(path: str, timeout: float) -> list[str]:
    """Remove what find_removable finds, and the directories if they are empty then."""
    store = Store(path)
    check_chain("path", store.path, sticky=True)
    with store.locked(timeout):
        found = find_removable(path)
        for which in ("current", "previous"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(store.path, which))
        for name in store.names():
            store.remove(name)
        store.remove_work()
        for name in (INTERPRETERS, LOCK_FILE):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(store.path, name))
    for directory in (store.releases, store.path):
        with contextlib.suppress(OSError):
            os.rmdir(directory)
    return found
