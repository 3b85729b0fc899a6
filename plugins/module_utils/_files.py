# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection failclosed.openclaw: not for use from outside it.

"""Files in directories whose owner counts as hostile: read, replace atomically, keep copies.

Every access goes through a directory descriptor, and no symlink is followed that an untrusted user
could have planted. A replacement has its final owner and mode before its first byte, is on the disk
before its name appears, and takes the name by rename(2): a reader sees the old file or the new one.
"""

from __future__ import annotations

import errno
import fcntl
import grp
import hashlib
import os
import posixpath
import pwd
import re
import stat
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

MAXIMUM_FILE_BYTES = 32 * 1024 * 1024
MAXIMUM_LINKS = 40
CANDIDATE_MARK = ".failclosed-"
ACL = "system.posix_acl_access"
SELINUX = "security.selinux"
KEPT_ATTRIBUTES = (ACL, SELINUX)

# O_PATH needs no read permission on the directories above, which belong to other users.
_TRAVERSE = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class FileError(Exception):
    """The file system is not in a state in which this is safe; nothing was changed."""


class FileChangedError(FileError):
    """The file is no longer the one that was read."""


class FileOvertakenError(FileChangedError):
    """The new file was in place, and another program has replaced it since."""


class FlushFailedError(Exception):
    """The file has its new content, and the disk failed after that: it is not certain what a power cut leaves."""


class FileState(NamedTuple):
    """One regular file as it was read: content, owner, permission bits, number of names, identity.

    ``mode``: with a POSIX ACL, its group digit is what the ACL grants the owning group, and not its mask.
    """

    content: bytes
    digest: str
    uid: int
    gid: int
    mode: int
    links: int
    identity: tuple[int, int, int, int]
    attributes: tuple[tuple[str, bytes], ...]


class Ownership(NamedTuple):
    """Numeric owner and permission bits that a file shall have."""

    uid: int
    gid: int
    mode: int


def _random_name() -> str:
    return os.urandom(8).hex()


def digest_of(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def user_id(name: str) -> int:
    """The uid of a user name or of a number; raises FileError."""
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        if name.isdigit():
            return int(name)
        raise FileError(f"user {name!r} does not exist on this host; create it first or name another") from None


def group_id(name: str) -> int:
    """The gid of a group name or of a number; raises FileError."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        if name.isdigit():
            return int(name)
        raise FileError(f"group {name!r} does not exist on this host; create it first or name another") from None


def _is_trusted_parent(status: os.stat_result) -> bool:
    # A symlink counts as the administrator's when nobody else could have made it here.
    owned = status.st_uid in (0, os.geteuid())
    return owned and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


@contextmanager
def open_directory(path: str) -> Iterator[int]:
    """Open a directory by its absolute path and yield its descriptor.

    A symlink on the way is followed only where root (or the user who runs this) alone may create one.

    Raises FileNotFoundError when a part is missing, FileError when a part is unsafe.
    """
    if not path.startswith("/"):
        raise FileError(f"{path}: the path must be absolute")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    walked: list[str] = []
    followed = 0
    descriptor = os.open("/", _TRAVERSE)
    try:
        while parts:
            part = parts.pop(0)
            where = "/" + "/".join([*walked, part])
            if part == "..":
                raise FileError(f"{path}: contains '..'; give the path without it")
            try:
                below = os.open(part, _TRAVERSE, dir_fd=descriptor)
            except OSError as error:
                if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                    raise
                status = os.stat(part, dir_fd=descriptor, follow_symlinks=False)
                if not stat.S_ISLNK(status.st_mode):
                    raise FileError(f"{where}: is not a directory") from None
                if not _is_trusted_parent(os.fstat(descriptor)):
                    raise FileError(
                        f"{where}: is a symlink in a directory that a user other than root can write;"
                        " replace it by a real directory, or give the path that it points to"
                    ) from None
                followed += 1
                if followed > MAXIMUM_LINKS:
                    raise FileError(f"{path}: too many symlinks") from None
                link = os.readlink(part, dir_fd=descriptor)
                base = "/" if link.startswith("/") else "/" + "/".join(walked)
                resolved = posixpath.normpath(posixpath.join(base, link))
                parts = [*(piece for piece in resolved.split("/") if piece), *parts]
                walked = []
                os.close(descriptor)
                descriptor = os.open("/", _TRAVERSE)
                continue
            os.close(descriptor)
            descriptor = below
            walked.append(part)
        # fsync and listing need a real descriptor instead of an O_PATH one.
        opened = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = opened
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def open_beneath(directory: int, relative: str) -> Iterator[int]:
    """Open the directory ``relative`` below ``directory``, following no symlink at all.

    Raises FileNotFoundError, or FileError for a symlink or a path that leaves the directory.
    """
    descriptor = os.open(".", _TRAVERSE, dir_fd=directory)
    try:
        for part in (piece for piece in relative.split("/") if piece not in ("", ".")):
            if part == "..":
                raise FileError(f"{relative}: leaves the directory")
            try:
                below = os.open(part, _TRAVERSE, dir_fd=descriptor)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENOTDIR):
                    raise FileError(f"{relative}: {part} is a symlink or not a directory") from None
                raise
            os.close(descriptor)
            descriptor = below
        opened = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = opened
        yield descriptor
    finally:
        os.close(descriptor)


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _read_all(descriptor: int, limit: int) -> bytes:
    pieces = []
    remaining = limit + 1
    while remaining > 0:
        piece = os.read(descriptor, min(remaining, 1 << 20))
        if not piece:
            break
        pieces.append(piece)
        remaining -= len(piece)
    return b"".join(pieces)


def _attribute(descriptor: int, name: str) -> bytes | None:
    try:
        return os.getxattr(descriptor, name)
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.EOPNOTSUPP):
            return None
        raise


def _kept_attributes(descriptor: int) -> tuple[tuple[str, bytes], ...]:
    found = [(name, _attribute(descriptor, name)) for name in KEPT_ATTRIBUTES]
    return tuple((name, value) for name, value in found if value is not None)


# A POSIX ACL as an extended attribute (linux/posix_acl_xattr.h): a version, then entries of tag, permissions, id.
_ACL_ENTRY = struct.Struct("<HHI")
_ACL_VERSION = struct.pack("<I", 2)
_ACL_OWNER, _ACL_OWNING_GROUP, _ACL_OTHERS = 0x01, 0x04, 0x20
_ACL_DIGITS = {_ACL_OWNER: 6, _ACL_OWNING_GROUP: 3, _ACL_OTHERS: 0}


def _acl_entries(acl: bytes) -> list[tuple[int, int, int]]:
    if not acl.startswith(_ACL_VERSION) or (len(acl) - len(_ACL_VERSION)) % _ACL_ENTRY.size:
        raise FileError("its POSIX ACL is in a form that is not known here; remove it (setfacl -b)")
    return list(_ACL_ENTRY.iter_unpack(acl[len(_ACL_VERSION) :]))


def mode_of_acl(acl: bytes) -> int:
    """The permission bits of owner, owning group and others in an ACL; raises FileError for another format."""
    return sum(permissions << _ACL_DIGITS[tag] for tag, permissions, _id in _acl_entries(acl) if tag in _ACL_DIGITS)


def acl_with_mode(acl: bytes, mode: int) -> bytes:
    """The ACL with other permission bits; its mask and the entries of named users and groups stay."""
    entries = [
        (tag, mode >> _ACL_DIGITS[tag] & 0o7 if tag in _ACL_DIGITS else permissions, each)
        for tag, permissions, each in _acl_entries(acl)
    ]
    return _ACL_VERSION + b"".join(_ACL_ENTRY.pack(*entry) for entry in entries)


def _permission_bits(status: os.stat_result, attributes: Sequence[tuple[str, bytes]]) -> int:
    # Where there is an ACL, the group bits of stat are its mask.
    acl = dict(attributes).get(ACL)
    return stat.S_IMODE(status.st_mode) if acl is None else stat.S_IMODE(status.st_mode) & ~0o777 | mode_of_acl(acl)


_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def read_file(directory: int, name: str, *, limit: int = MAXIMUM_FILE_BYTES) -> FileState | None:
    """Read one regular file of the directory; None when there is none of this name.

    ``limit``: bytes. Raises FileError for a symlink, a special file or a file above the limit.
    """
    try:
        descriptor = os.open(name, _READ, dir_fd=directory)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise FileError(
                f"{name}: is a symlink; OpenClaw replaces a symlink by a file when it writes,"
                " and so nothing here edits through one: give the path of the real file"
            ) from None
        if error.errno in (errno.ENXIO, errno.ENODEV):
            raise FileError(f"{name}: is a socket or a device, and not a regular file; move it away") from None
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
            raise FileError(f"{name}: is {kind}, and not a regular file; move it away")
        content = _read_all(descriptor, limit)
        if len(content) > limit:
            raise FileError(f"{name}: is larger than {limit} bytes, and so it is not read; look at what is in it")
        attributes = _kept_attributes(descriptor)
        return FileState(
            content=content,
            digest=digest_of(content),
            uid=status.st_uid,
            gid=status.st_gid,
            mode=_permission_bits(status, attributes),
            links=status.st_nlink,
            identity=_identity(status),
            attributes=attributes,
        )
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        written = os.write(descriptor, view)
        view = view[written:]


def _require_unchanged(directory: int, name: str, expected: FileState | None) -> None:
    try:
        found = read_file(directory, name)
    except FileError as error:
        raise FileChangedError(f"{name}: changed while it was edited: {error}") from error
    if expected is None:
        if found is not None:
            raise FileChangedError(f"{name}: was created while it was edited")
        return
    if found is None or found.digest != expected.digest or found.identity[:2] != expected.identity[:2]:
        raise FileChangedError(f"{name}: was changed by another program while it was edited")


def _set_permissions(descriptor: int, name: str, mode: int, attributes: Sequence[tuple[str, bytes]]) -> None:
    """Give a file its mode, with the ACL and the label of the file that it replaces, and no other ACL.

    What a directory's default ACL gave to the new file goes: the old file did not have it.
    """
    wanted = dict(attributes)
    for attribute in KEPT_ATTRIBUTES:
        value = wanted.get(attribute)
        if attribute == ACL and value is not None:
            value = acl_with_mode(value, mode)
        try:
            found = _attribute(descriptor, attribute)
            if value is not None and value != found:
                os.setxattr(descriptor, attribute, value)
            elif value is None and found is not None and attribute == ACL:
                os.removexattr(descriptor, attribute)
        except OSError as error:
            raise FileError(f"{name}: cannot keep its {attribute}: {error.strerror}") from error
    if ACL not in wanted:
        os.fchmod(descriptor, mode)


_RENAME_EXCHANGE = 2
_NOT_SUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM)


def exchange(directory: int, first: str, second: str) -> bool:
    """Swap two names of a directory in one step; False where the system cannot (then nothing happened).

    renameat2(2) with RENAME_EXCHANGE: Linux 3.15, glibc 2.28, most file systems.
    """
    import ctypes

    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    names = (os.fsencode(first), os.fsencode(second))
    if renameat2(directory, names[0], directory, names[1], ctypes.c_uint(_RENAME_EXCHANGE)) == 0:
        return True
    code = ctypes.get_errno()
    if code in _NOT_SUPPORTED:
        return False
    raise OSError(code, os.strerror(code), second)


def _inode(directory: int, name: str) -> int | None:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False).st_ino
    except FileNotFoundError:
        return None


def _take_name(directory: int, candidate: str, name: str, expected: FileState | None) -> None:
    """Give the candidate the name, unless the file there is no longer the expected one.

    What another program renamed into place after the last look shows up in the candidate's place after
    the exchange, and goes back: nothing of it is lost.
    """
    own = _inode(directory, candidate)

    @contextmanager
    def unless_done() -> Iterator[None]:
        try:
            yield
        except OSError:
            # A disk may do it and report an error; then the flush of the directory has the last word.
            if _inode(directory, name) != own:
                raise

    if expected is None:
        try:
            with unless_done():
                os.link(candidate, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
        except FileExistsError:
            raise FileChangedError(f"{name}: was created while it was edited") from None
        # From here on the file is there: a leftover must not turn success into failure.
        remove_quietly(directory, candidate)
        return
    _require_unchanged(directory, name, expected)
    exchanged = True
    with unless_done():
        exchanged = exchange(directory, candidate, name)
    if not exchanged:
        with unless_done():
            os.rename(candidate, name, src_dir_fd=directory, dst_dir_fd=directory)
        return
    try:
        _require_unchanged(directory, candidate, expected)
    except BaseException as error:
        _give_back(directory, candidate, name, own)
        if isinstance(error, FileChangedError):
            raise FileChangedError(f"{name}: was changed by another program while it was edited") from None
        raise
    remove_quietly(directory, candidate)


def _give_back(directory: int, candidate: str, name: str, own: int | None) -> None:
    try:
        exchange(directory, candidate, name)
        if _inode(directory, candidate) != own:
            # A third file came in between the two exchanges, and as the newest one it has to have the name.
            exchange(directory, candidate, name)
    except OSError as error:
        raise FlushFailedError(
            f"{name}: was replaced, and what stood there is in {candidate} beside it, because it could not be put"
            f" back ({error.strerror}); check the disk, and compare the two"
        ) from error


def replace_file(
    directory: int,
    name: str,
    content: bytes,
    ownership: Ownership,
    *,
    expected: FileState | None,
) -> FileState:
    """Put ``content`` in place of ``name`` atomically and durably, if the file is still ``expected``.

    ``expected`` None: there must be no such file yet. The ACL and the SELinux label of the old file
    stay. A new file appears by link(2), which overwrites nothing, and has no ACL.

    Raises FileChangedError when another program wrote in between (the file is then as that program left it;
    FileOvertakenError if the new file had been in place), FlushFailedError when the new file is in place but
    may not survive a power cut, FileError or OSError otherwise (the file is then as it was).
    """
    candidate = f".{name}{CANDIDATE_MARK}{_random_name()}"
    descriptor = os.open(
        candidate,
        os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
        0o600 & ownership.mode,
        dir_fd=directory,
    )
    own: int | None = None
    try:
        try:
            created = os.fstat(descriptor)
            own = created.st_ino
            if (created.st_uid, created.st_gid) != (ownership.uid, ownership.gid):
                os.fchown(descriptor, ownership.uid, ownership.gid)
            _set_permissions(descriptor, name, ownership.mode, () if expected is None else expected.attributes)
            _write_all(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _take_name(directory, candidate, name, expected)
    except BaseException:
        # Not what another program had written, should it have this name now.
        with suppress(OSError):
            if own is None or _inode(directory, candidate) == own:
                remove_quietly(directory, candidate)
        raise
    try:
        os.fsync(directory)
    except OSError as error:
        raise FlushFailedError(
            f"{name}: was replaced, but the directory could not be flushed to the disk ({error.strerror});"
            " check the disk"
        ) from error
    try:
        found = read_file(directory, name)
    except FileError:
        found = None
    except OSError as error:
        raise FlushFailedError(
            f"{name}: was replaced, but could not be read again ({error.strerror}); check the disk"
        ) from error
    if found is None or found.digest != digest_of(content) or found.identity[1] != own:
        raise FileOvertakenError(f"{name}: was replaced by another program right after it was written")
    return found


def remove_quietly(directory: int, name: str) -> None:
    """Remove a name if it is there; an error here must not hide the one that led here."""
    with suppress(OSError):
        os.unlink(name, dir_fd=directory)


def _candidates(directory: int, name: str) -> Iterator[tuple[str, os.stat_result]]:
    pattern = re.compile(re.escape(f".{name}{CANDIDATE_MARK}") + r"[0-9a-f]{16}\Z")
    for entry in os.listdir(directory):
        if not pattern.match(entry):
            continue
        try:
            status = os.stat(entry, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            continue
        if stat.S_ISREG(status.st_mode):
            yield entry, status


def leftovers(directory: int, name: str) -> list[str]:
    """The names of what a killed run left beside ``name``: its new content, or the one that it took the place of."""
    return sorted(entry for entry, _status in _candidates(directory, name))


def foreign_links(directory: int, name: str, state: FileState) -> int:
    """How many names the file has beyond its own and beyond a candidate that a killed run left linked."""
    if state.links <= 1:
        return 0
    own = sum(1 for _entry, status in _candidates(directory, name) if status.st_ino == state.identity[1])
    return max(0, state.links - 1 - own)


def remove_stale_candidates(directory: int, name: str, *, older_than_seconds: float = 3600.0) -> list[str]:
    """Remove candidates that a killed run left beside ``name``; return their names.

    One that is a second name of the file itself goes at once: a run was killed right after it created
    the file.
    """
    try:
        target: int | None = os.stat(name, dir_fd=directory, follow_symlinks=False).st_ino
    except FileNotFoundError:
        target = None
    removed = []
    for entry, status in _candidates(directory, name):
        if status.st_ino == target or time.time() - status.st_mtime > older_than_seconds:
            remove_quietly(directory, entry)
            removed.append(entry)
    return removed


def set_ownership(directory: int, name: str, ownership: Ownership) -> bool:
    """Give an existing regular file its owner and mode without touching its content; True if it changed."""
    descriptor = os.open(name, _READ, dir_fd=directory)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise FileError(f"{name}: is not a regular file")
        # With a second name the change would reach a file elsewhere, which root may be protecting.
        if status.st_nlink != 1:
            raise FileError(f"{name}: has {status.st_nlink} names (hard links); remove the others first")
        changed = False
        if (status.st_uid, status.st_gid) != (ownership.uid, ownership.gid):
            os.fchown(descriptor, ownership.uid, ownership.gid)
            changed = True
        attributes = _kept_attributes(descriptor)
        if _permission_bits(status, attributes) != ownership.mode:
            _set_permissions(descriptor, name, ownership.mode, attributes)
            changed = True
        return changed
    finally:
        os.close(descriptor)


@contextmanager
def private_directory(path: str, *, create: bool = True) -> Iterator[int]:
    """Open a directory that only the user who runs this may write; ``create`` makes what is missing (0700).

    Yields its descriptor. Raises FileError when it belongs to somebody else or others may write there,
    FileNotFoundError when it is missing and shall not be made.
    """
    if create:
        _make_private_directory(path)
    with open_directory(path) as descriptor:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid():
            raise FileError(f"{path}: belongs to uid {status.st_uid} and not to the user who runs this")
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise FileError(f"{path}: others may write there; set its mode to 0700")
        yield descriptor


def _make_private_directory(path: str) -> None:
    parent, name = posixpath.split(path.rstrip("/"))
    missing: list[str] = []
    probe = parent
    while probe not in ("/", "") and not os.path.lexists(probe):
        probe, part = posixpath.split(probe)
        missing.insert(0, part)
    for part in missing:
        with open_directory(probe) as descriptor:
            _make_directory(descriptor, part, mode=0o755)
        probe = posixpath.join(probe, part)
    with open_directory(parent or "/") as descriptor:
        _make_directory(descriptor, name, mode=0o700)


def _make_directory(directory: int, name: str, *, mode: int) -> None:
    try:
        os.mkdir(name, mode, dir_fd=directory)
    except FileExistsError:
        return
    os.fsync(directory)


@contextmanager
def exclusive_lock(directory: int, name: str, *, timeout_seconds: float) -> Iterator[None]:
    """Hold an exclusive lock file in a private directory; raises FileError when the time is over."""
    descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=directory)
    try:
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
                if time.monotonic() >= deadline:
                    raise FileError(
                        f"another run has been editing the same file for {timeout_seconds:.0f} seconds;"
                        " wait for it to end and try again"
                    ) from None
                time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def write_private(directory: int, name: str, content: bytes) -> None:
    """Write a file of one's own private directory atomically, mode 0600."""
    candidate = f".{name}{CANDIDATE_MARK}{_random_name()}"
    descriptor = os.open(
        candidate, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=directory
    )
    try:
        try:
            _write_all(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(candidate, name, src_dir_fd=directory, dst_dir_fd=directory)
        os.fsync(directory)
    except BaseException:
        remove_quietly(directory, candidate)
        raise


def key_for(path: str) -> str:
    """A file name that stands for an absolute path: readable, and distinct for distinct paths."""
    readable = re.sub(r"[^A-Za-z0-9_.]+", "-", path.strip("/")).strip("-.")[-80:]
    return f"{readable}-{hashlib.sha256(path.encode('utf-8', 'surrogateescape')).hexdigest()[:12]}"


_BACKUP = re.compile(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{12}\Z")


def keep_backup(directory: int, state: FileState, *, keep: int) -> str | None:
    """Put a copy of the file into the ring in a private directory; return the copy's name.

    The newest copy is used again when it has the same content. ``keep`` is the number of copies that
    stay; 0 keeps none and returns None.
    """
    if keep <= 0:
        return None
    present = sorted(entry for entry in os.listdir(directory) if _BACKUP.match(entry))
    if present and present[-1].endswith(state.digest[:12]):
        newest = read_file(directory, present[-1])
        if newest is not None and newest.digest == state.digest:
            return present[-1]
    moment = time.time()
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(moment))
    name = f"{stamp}.{int(moment % 1 * 1_000_000):06d}Z-{state.digest[:12]}"
    write_private(directory, name, state.content)
    for entry in [*present, name][:-keep]:
        remove_quietly(directory, entry)
    return name
