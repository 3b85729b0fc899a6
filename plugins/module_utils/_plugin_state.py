# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection failclosed.openclaw: not for use from outside it.

"""A plugin in ``extensions/<id>`` of an OpenClaw state directory: what is there, and how to change it.

Only the disk counts. OpenClaw's own record of installs can lie, and asking its command line costs a node
process. The state directory belongs to a user who counts as hostile, so that everything goes through
directory descriptors; what is placed belongs to whoever runs this (root), out of that user's reach.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import posixpath
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from ansible_collections.failclosed.openclaw.plugins.module_utils import _files, _plugin_package

EXTENSIONS = "extensions"
STAGING_PREFIX = ".failclosed-plugin-"
PLUGIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")
_STAGING = re.compile(re.escape(STAGING_PREFIX) + r"[0-9a-f]{16}\Z")
_STALE_SECONDS = 3600.0
_MAXIMUM_DEPTH = 32
_MAXIMUM_SIBLINGS = 1000
_RENAME_EXCHANGE = 2
_DIRECTORY_MODE = 0o755


class PluginError(Exception):
    """The plugin cannot be looked at or changed safely; what was there is still there."""


@dataclass(frozen=True)
class InstalledPlugin:
    """What is on the disk. ``problems``: reasons to repair it although its content may be right."""

    present: bool
    version: str | None = None
    digest: str | None = None
    problems: list[str] = field(default_factory=list)


ABSENT = InstalledPlugin(present=False)


@dataclass(frozen=True)
class StateDirectory:
    """An open state directory: ``descriptor``, ``path``, and the owner, who is the gateway's user."""

    descriptor: int
    path: str
    uid: int
    gid: int


@contextmanager
def open_state_directory(path: str) -> Iterator[StateDirectory]:
    """Open a state directory; raises FileNotFoundError when there is none, PluginError when it is unsafe."""
    try:
        with _files.open_directory(path) as descriptor:
            status = os.fstat(descriptor)
            if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise PluginError(f"{path}: others than its owner may write there; set its mode to 0700")
            yield StateDirectory(descriptor, path, status.st_uid, status.st_gid)
    except _files.FileError as error:
        raise PluginError(str(error)) from error


@contextmanager
def _open_extensions(state: StateDirectory) -> Iterator[int]:
    where = posixpath.join(state.path, EXTENSIONS)
    try:
        with _files.open_beneath(state.descriptor, EXTENSIONS) as descriptor:
            status = os.fstat(descriptor)
            if status.st_uid not in (state.uid, 0, os.geteuid()) or status.st_mode & stat.S_IWOTH:
                raise PluginError(
                    f"{where}: belongs to uid {status.st_uid} with mode {stat.S_IMODE(status.st_mode):04o};"
                    " it must belong to the gateway's user or root, and not be writable for others"
                )
            yield descriptor
    except _files.FileError:
        raise PluginError(f"{where}: is a symlink or not a directory; replace it by a directory") from None


class _Survey:
    """Walks an installed plugin and notes digests and problems."""

    def __init__(self, where: str, owner: int) -> None:
        self.where = where
        self.owner = owner
        self.files: dict[str, tuple[str, bool]] = {}
        self.documents: dict[str, bytes] = {}
        self.problems: list[str] = []
        self.remaining = _plugin_package.MAXIMUM_BYTES

    def note(self, path: str, what: str) -> None:
        if len(self.problems) < 20:
            self.problems.append(f"{path or '.'}: {what}")

    def _note_access(self, path: str, status: os.stat_result) -> None:
        if status.st_uid != self.owner:
            self.note(path, f"belongs to uid {status.st_uid} and not to uid {self.owner}")
        mode = stat.S_IMODE(status.st_mode)
        wanted = _DIRECTORY_MODE if stat.S_ISDIR(status.st_mode) else 0o755 if mode & 0o111 else 0o644
        if mode != wanted:
            self.note(path, f"has mode {mode:04o} and not {wanted:04o}")

    def directory(self, descriptor: int, prefix: str = "", depth: int = 0) -> None:
        self._note_access(prefix.rstrip("/"), os.fstat(descriptor))
        if depth > _MAXIMUM_DEPTH:
            self.note(prefix, "is nested too deeply")
            return
        for name in sorted(os.listdir(descriptor)):
            path = f"{prefix}{name}"
            if len(self.files) >= _plugin_package.MAXIMUM_FILES or self.remaining < 0:
                self.note(path, "there are too many or too large files")
                return
            try:
                status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    with _files.open_beneath(descriptor, name) as below:
                        self.directory(below, f"{path}/", depth + 1)
                elif stat.S_ISREG(status.st_mode):
                    self._file(descriptor, name, path)
                else:
                    self.note(path, "is neither a file nor a directory")
            except (_files.FileError, OSError) as error:
                self.note(path, f"cannot be read: {error}")

    def _file(self, descriptor: int, name: str, path: str) -> None:
        found = _files.read_file(descriptor, name, limit=_plugin_package.MAXIMUM_BYTES)
        if found is None:
            self.note(path, "disappeared while it was read")
            return
        self.remaining -= len(found.content)
        self.files[path] = (hashlib.sha256(found.content).hexdigest(), bool(found.mode & 0o111))
        if path in (_plugin_package.MANIFEST, _plugin_package.PACKAGE_DESCRIPTION):
            self.documents[path] = found.content
        self._note_access(path, os.stat(name, dir_fd=descriptor, follow_symlinks=False))
        if found.links != 1:
            self.note(path, "has a second name (hard link), through which it can be changed")

    def field(self, document: str, name: str) -> str | None:
        try:
            value = _plugin_package.parse(self.documents.get(document, b"{}"))
        except ValueError:
            return None
        found = value.get(name) if isinstance(value, dict) else None
        return found if isinstance(found, str) else None


def look(state: StateDirectory, plugin_id: str) -> InstalledPlugin:
    """What is in ``extensions/<plugin_id>``; raises PluginError when that cannot be said safely."""
    where = posixpath.join(state.path, EXTENSIONS, plugin_id)
    try:
        with _open_extensions(state) as extensions:
            try:
                with _files.open_beneath(extensions, plugin_id) as directory:
                    return _survey(directory, where, plugin_id)
            except FileNotFoundError:
                return ABSENT
            except _files.FileError:
                raise PluginError(
                    f"{where}: is a symlink or not a directory, and nothing is installed through it; remove it"
                ) from None
    except FileNotFoundError:
        return ABSENT


def _survey(directory: int, where: str, plugin_id: str) -> InstalledPlugin:
    survey = _Survey(where, os.geteuid())
    survey.directory(directory)
    manifest_id = survey.field(_plugin_package.MANIFEST, "id")
    if manifest_id != plugin_id:
        survey.note(_plugin_package.MANIFEST, f"names the plugin {manifest_id!r} and not {plugin_id!r}")
    version = survey.field(_plugin_package.PACKAGE_DESCRIPTION, "version")
    return InstalledPlugin(
        present=True,
        version=version or survey.field(_plugin_package.MANIFEST, "version"),
        digest=_plugin_package.tree_digest(survey.files),
        problems=survey.problems,
    )


def other_directories_with(state: StateDirectory, plugin_id: str) -> list[str]:
    """Names of other directories in ``extensions`` whose manifest has the same id; OpenClaw loads only one."""
    found = []
    try:
        with _open_extensions(state) as extensions:
            for name in sorted(os.listdir(extensions))[:_MAXIMUM_SIBLINGS]:
                if name == plugin_id:
                    continue
                try:
                    with _files.open_beneath(extensions, name) as directory:
                        manifest = _files.read_file(directory, _plugin_package.MANIFEST, limit=1024 * 1024)
                    document = {} if manifest is None else _plugin_package.parse(manifest.content)
                except (_files.FileError, OSError, ValueError):
                    continue
                if isinstance(document, dict) and document.get("id") == plugin_id:
                    found.append(name)
    except FileNotFoundError:
        pass
    return found


def _write_tree(directory: int, package: _plugin_package.Package) -> None:
    """Write the files of a package below an empty directory that only we can write, durably."""
    for path, file in package.files.items():
        with _made_directories(directory, posixpath.dirname(path)) as parent:
            name = posixpath.basename(path)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(name, flags, 0o600, dir_fd=parent)
            try:
                view = memoryview(file.content)
                while view:
                    view = view[os.write(descriptor, view) :]
                os.fchmod(descriptor, 0o755 if file.executable else 0o644)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


@contextmanager
def _made_directories(directory: int, relative: str) -> Iterator[int]:
    walked = ""
    for part in [piece for piece in relative.split("/") if piece]:
        with _files.open_beneath(directory, walked) as parent, suppress(FileExistsError):
            os.mkdir(part, 0o700, dir_fd=parent)
        walked = f"{walked}/{part}" if walked else part
        with _files.open_beneath(directory, walked) as made:
            os.fchmod(made, _DIRECTORY_MODE)
    with _files.open_beneath(directory, relative) as parent:
        yield parent


def _exchange(old_directory: int, old: str, new_directory: int, new: str) -> None:
    """Let two names change places at once (renameat2, RENAME_EXCHANGE); raises OSError."""
    library = ctypes.CDLL(None, use_errno=True)
    function = getattr(library, "renameat2", None)
    if function is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    arguments = (old_directory, os.fsencode(old), new_directory, os.fsencode(new), ctypes.c_uint(_RENAME_EXCHANGE))
    if function(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), old)


def _remove_tree(parent: int, name: str, device: int, depth: int = 0) -> None:
    """Remove a tree without following a link or leaving its file system."""
    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if not stat.S_ISDIR(status.st_mode):
        os.unlink(name, dir_fd=parent)
        return
    if status.st_dev != device or depth > 4 * _MAXIMUM_DEPTH:
        raise PluginError(f"{name}: is another file system, or nested too deeply, and was not removed")
    with _files.open_beneath(parent, name) as directory:
        for entry in os.listdir(directory):
            _remove_tree(directory, entry, device, depth + 1)
    os.rmdir(name, dir_fd=parent)


def _remove_stale_staging(state: StateDirectory) -> None:
    for name in os.listdir(state.descriptor):
        if not _STAGING.match(name):
            continue
        try:
            status = os.stat(name, dir_fd=state.descriptor, follow_symlinks=False)
            if status.st_uid == os.geteuid() and time.time() - status.st_ctime > _STALE_SECONDS:
                _remove_tree(state.descriptor, name, status.st_dev)
        except (_files.FileError, PluginError, OSError):
            continue


def _ensure_extensions(state: StateDirectory) -> None:
    try:
        os.mkdir(EXTENSIONS, 0o700, dir_fd=state.descriptor)
    except FileExistsError:
        return
    with _files.open_beneath(state.descriptor, EXTENSIONS) as made:
        status = os.fstat(made)
        # Between the two calls its owner may have put something else under this name.
        if status.st_uid == os.geteuid() and not os.listdir(made):
            os.fchmod(made, _DIRECTORY_MODE)
            if (status.st_uid, status.st_gid) != (state.uid, state.gid):
                os.fchown(made, state.uid, state.gid)


class Placement:
    """A change of ``extensions/<id>`` that can still be undone; call ``commit`` or ``undo``."""

    def __init__(self, state: StateDirectory, plugin_id: str, staging: str, *, placed: bool, displaced: bool) -> None:
        self._state = state
        self._plugin_id = plugin_id
        self._staging = staging
        self._placed = placed
        self._displaced = displaced

    def commit(self) -> None:
        """Keep the change; what was there before is removed."""
        if self._displaced:
            _remove_tree(self._state.descriptor, self._staging, os.fstat(self._state.descriptor).st_dev)
            os.fsync(self._state.descriptor)

    def undo(self) -> None:
        """Put back what was there before; raises PluginError when that is not possible."""
        temporary = f"{STAGING_PREFIX}{secrets.token_hex(8)}"
        try:
            with _open_extensions(self._state) as extensions:
                if self._placed:
                    os.rename(self._plugin_id, temporary, src_dir_fd=extensions, dst_dir_fd=self._state.descriptor)
                if self._displaced:
                    os.rename(self._staging, self._plugin_id, src_dir_fd=self._state.descriptor, dst_dir_fd=extensions)
                os.fsync(extensions)
                if self._placed:
                    _remove_tree(self._state.descriptor, temporary, os.fstat(self._state.descriptor).st_dev)
        except OSError as error:
            raise PluginError(
                f"{posixpath.join(self._state.path, EXTENSIONS, self._plugin_id)}: the previous version could not be"
                f" put back ({error}); it is in {posixpath.join(self._state.path, self._staging)}"
            ) from error


def place(state: StateDirectory, package: _plugin_package.Package) -> Placement:
    """Put a package into ``extensions/<id>`` in one step; raises PluginError, and then nothing was changed.

    The files are complete, owned by whoever runs this and on the disk before the name leads to them.
    """
    _remove_stale_staging(state)
    where = posixpath.join(state.path, EXTENSIONS, package.plugin_id)
    staging = f"{STAGING_PREFIX}{secrets.token_hex(8)}"
    try:
        os.mkdir(staging, 0o700, dir_fd=state.descriptor)
        try:
            identity = _fill_staging(state, staging, package)
            _ensure_extensions(state)
            with _open_extensions(state) as extensions:
                displaced = _take_name(state, staging, extensions, package.plugin_id)
                os.fsync(extensions)
        except BaseException:
            _remove_tree(state.descriptor, staging, os.fstat(state.descriptor).st_dev)
            raise
    except (OSError, _files.FileError) as error:
        raise PluginError(f"{where}: the plugin could not be placed: {error}") from error
    placement = Placement(state, package.plugin_id, staging, placed=True, displaced=displaced)
    try:
        _require_placed(state, package, identity, where)
    except BaseException:
        placement.undo()
        raise
    return placement


def _fill_staging(state: StateDirectory, staging: str, package: _plugin_package.Package) -> tuple[int, int]:
    with _files.open_beneath(state.descriptor, staging) as directory:
        status = os.fstat(directory)
        # The owner of the state directory can put another directory of ours under this name, but not empty it.
        if status.st_uid != os.geteuid() or os.listdir(directory):
            raise PluginError(f"{posixpath.join(state.path, staging)}: was replaced by somebody else")
        # A group inherited from a setgid directory would be a third party.
        os.fchown(directory, -1, os.getegid())
        _write_tree(directory, package)
        os.fchmod(directory, _DIRECTORY_MODE)
        os.fsync(directory)
        return (status.st_dev, status.st_ino)


def _take_name(state: StateDirectory, staging: str, extensions: int, plugin_id: str) -> bool:
    """Move the staged tree to its name; True when an older tree took its place in staging."""
    with suppress(FileNotFoundError):
        if not stat.S_ISDIR(os.stat(plugin_id, dir_fd=extensions, follow_symlinks=False).st_mode):
            raise PluginError(
                f"{posixpath.join(state.path, EXTENSIONS, plugin_id)}: is a symlink or not a directory; remove it"
            )
    try:
        _exchange(state.descriptor, staging, extensions, plugin_id)
        return True
    except OSError as error:
        if error.errno == errno.ENOENT:
            os.rename(staging, plugin_id, src_dir_fd=state.descriptor, dst_dir_fd=extensions)
            return False
        if error.errno == errno.EXDEV:
            raise PluginError(
                f"{posixpath.join(state.path, EXTENSIONS)}: is another file system than {state.path};"
                " it must be the same for a change in one step"
            ) from error
        if error.errno not in (errno.ENOSYS, errno.EINVAL):
            raise
    # A file system without exchange: for a moment there is no plugin under the name.
    aside = f"{STAGING_PREFIX}{secrets.token_hex(8)}"
    os.rename(plugin_id, aside, src_dir_fd=extensions, dst_dir_fd=state.descriptor)
    try:
        os.rename(staging, plugin_id, src_dir_fd=state.descriptor, dst_dir_fd=extensions)
    except BaseException:
        os.rename(aside, plugin_id, src_dir_fd=state.descriptor, dst_dir_fd=extensions)
        raise
    os.rename(aside, staging, src_dir_fd=state.descriptor, dst_dir_fd=state.descriptor)
    return True


def _require_placed(
    state: StateDirectory, package: _plugin_package.Package, identity: tuple[int, int], where: str
) -> None:
    with _open_extensions(state) as extensions, _files.open_beneath(extensions, package.plugin_id) as directory:
        status = os.fstat(directory)
        found = _survey(directory, where, package.plugin_id)
    if (status.st_dev, status.st_ino) != identity or found.digest != package.digest or found.problems:
        detail = f" ({'; '.join(found.problems[:3])})" if found.problems else ""
        raise PluginError(f"{where}: is not what was just placed there{detail}; somebody else changed it")


def remove(state: StateDirectory, plugin_id: str) -> Placement:
    """Take ``extensions/<plugin_id>`` away in one step; raises PluginError, and then nothing was changed."""
    staging = f"{STAGING_PREFIX}{secrets.token_hex(8)}"
    try:
        with _open_extensions(state) as extensions:
            os.rename(plugin_id, staging, src_dir_fd=extensions, dst_dir_fd=state.descriptor)
            os.fsync(extensions)
    except OSError as error:
        where = posixpath.join(state.path, EXTENSIONS, plugin_id)
        raise PluginError(f"{where}: could not be removed: {error}") from error
    return Placement(state, plugin_id, staging, placed=False, displaced=True)
