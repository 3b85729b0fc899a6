# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take a directory tree over from the untrusted user that filled it.

Private to the collection: no stable interface.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Mapping


class SealError(ValueError):
    """The tree holds something that a release must not hold; the message names it."""


def _within(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


class _Seal:
    def __init__(self, root: str, owner: int | None, allowed_targets: frozenset[str]) -> None:
        self.root = root
        self.real_root = os.path.realpath(root)
        self.owner = owner
        self.allowed_targets = allowed_targets
        self.device = os.lstat(root).st_dev
        self.hard_links: dict[int, tuple[int, int, str]] = {}

    def refuse(self, name: str, found: str) -> SealError:
        return SealError(
            f"the install left {found} at {name!r} inside the release: this is refused, because a release may"
            " hold only its own files"
        )

    def directory(self, descriptor: int, prefix: str) -> None:
        # First the directory, so that nobody but the owner can exchange what is judged below.
        if self.owner is not None:
            os.fchown(descriptor, self.owner, self.owner)
        os.fchmod(descriptor, 0o755)
        for name in sorted(os.listdir(descriptor)):
            shown = prefix + name
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if status.st_dev != self.device:
                raise self.refuse(shown, "another file system")
            if stat.S_ISDIR(status.st_mode):
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                # Root opens it whatever its mode; another user has to make it readable first.
                if self.owner is None and status.st_mode & 320 != 320:
                    os.chmod(name, 0o700, dir_fd=descriptor)
                child = os.open(name, flags, dir_fd=descriptor)
                try:
                    self.directory(child, shown + "/")
                finally:
                    os.close(child)
            elif stat.S_ISLNK(status.st_mode):
                self.link(descriptor, name, shown)
            elif stat.S_ISREG(status.st_mode):
                self.file(descriptor, name, shown, status)
            else:
                raise self.refuse(shown, "a special file")

    def link(self, descriptor: int, name: str, shown: str) -> None:
        text = os.readlink(name, dir_fd=descriptor)
        where = os.path.join(self.real_root, shown)
        target = os.path.realpath(where)
        if not _within(target, self.real_root) and target not in self.allowed_targets:
            raise self.refuse(shown, f"a symbolic link to {text!r}, which leads out of it,")
        if self.owner is not None:
            os.chown(name, self.owner, self.owner, dir_fd=descriptor, follow_symlinks=False)

    def file(self, descriptor: int, name: str, shown: str, status: os.stat_result) -> None:
        if status.st_nlink > 1:
            seen = self.hard_links.get(status.st_ino, (0, 0, ""))[0] + 1
            self.hard_links[status.st_ino] = (seen, status.st_nlink, shown)
        if self.owner is not None:
            os.chown(name, self.owner, self.owner, dir_fd=descriptor, follow_symlinks=False)
        # The group bits are the mask of a POSIX ACL, so this takes write access from ACL entries too.
        mode = 0o755 if status.st_mode & 0o111 else 0o644
        if stat.S_IMODE(status.st_mode) != mode:
            os.chmod(name, mode, dir_fd=descriptor)

    def finish(self) -> None:
        for seen, links, shown in self.hard_links.values():
            if seen != links:
                raise self.refuse(shown, "a hard link to a file outside of it")


def seal(root: str, *, owner: int | None, allowed_targets: frozenset[str] = frozenset()) -> None:
    """Make the tree ``root`` immutable for everyone but ``owner`` (a uid; None: keep the owner).

    Directories and programs become 0755 and files 0644, without setuid, setgid and sticky bits.
    Links are not followed. Nothing may run as the old owner any more. Raises SealError for special
    files, mounts, hard links to files outside, and symbolic links that lead out of the tree, except
    to the real paths ``allowed_targets``.
    """
    work = _Seal(root, owner, allowed_targets)
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        work.directory(descriptor, "")
    finally:
        os.close(descriptor)
    work.finish()


def check_link_names(links: Mapping[str, str]) -> None:
    """Raise SealError unless both sides of each stable link are plain relative paths."""
    for name, pattern in links.items():
        for what, value in (("name", name), ("target", pattern)):
            parts = str(value).split("/")
            if not value or value.startswith("/") or any(part in ("", ".", "..") for part in parts):
                raise SealError(
                    f"links: the {what} {value!r} must be a path relative to the release, without '.' and '..'"
                )


def make_links(root: str, links: Mapping[str, str]) -> list[str]:
    """Make the stable links ``{name: glob}`` in a sealed tree and return their names.

    Each glob must match one path, inside the tree; the link's name must be free. Raises SealError.
    """
    real_root = os.path.realpath(root)
    for name, pattern in sorted(links.items()):
        matches = sorted(glob.glob(os.path.join(glob.escape(real_root), pattern)))
        if len(matches) != 1:
            found = ", ".join(os.path.relpath(match, real_root) for match in matches[:3]) or "nothing"
            raise SealError(f"links: {name!r} needs one file for {pattern!r} in the release, found {found}")
        if not _within(os.path.realpath(matches[0]), real_root):
            raise SealError(f"links: {name!r}: {pattern!r} leads out of the release")
        directory = real_root
        for part in name.split("/")[:-1]:
            directory = os.path.join(directory, part)
            try:
                os.mkdir(directory, 0o755)
            except FileExistsError:
                if not stat.S_ISDIR(os.lstat(directory).st_mode):
                    raise SealError(f"links: {name!r} would lie below {part!r}, which is no directory") from None
        path = os.path.join(real_root, name)
        try:
            os.symlink(os.path.relpath(matches[0], directory), path)
        except FileExistsError:
            raise SealError(f"links: the release has a file {name!r} of its own; choose another name") from None
    return sorted(links)
