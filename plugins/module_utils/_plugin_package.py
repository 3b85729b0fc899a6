# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection failclosed.openclaw: not for use from outside it.

"""An OpenClaw plugin as a package: its files, identity and digest, from a directory or an archive.

A package is small, so that it is held in memory. What npm would pack is what counts, so that tests and
tools beside a plugin never reach a host.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import hmac
import io
import json
import os
import posixpath
import re
import stat
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.failclosed.openclaw.plugins.module_utils import _files, _json5

MANIFEST = "openclaw.plugin.json"
PACKAGE_DESCRIPTION = "package.json"
MAXIMUM_FILES = 5000
MAXIMUM_BYTES = 64 * 1024 * 1024
TREE_DIGEST_PREFIX = "tree-sha256:"

# npm packs these whatever "files" says (npm-packlist).
_ALWAYS_PACKED = re.compile(r"(package\.json|openclaw\.plugin\.json|(readme|licen[cs]e)(\..*)?)\Z", re.IGNORECASE)
_NEVER_PACKED = frozenset({".git", ".hg", ".svn", ".npmrc", ".DS_Store", "package-lock.json"})
_GLOB_CHARACTERS = frozenset("*?[]{}!")
_FLOOR = re.compile(r">=\s*(\d[0-9A-Za-z.+-]*)\Z")
_INTEGRITY_LENGTHS = {"sha256": 32, "sha384": 48, "sha512": 64}


class PackageError(Exception):
    """A source that is no usable plugin package; the text says where, what and what to do."""


@dataclass(frozen=True)
class PackedFile:
    """One file: its content, and whether it is executable."""

    content: bytes
    executable: bool = False


@dataclass(frozen=True)
class Package:
    """A plugin: ``files`` by relative path. ``minimum_host`` is the oldest OpenClaw it declares, or None."""

    plugin_id: str
    version: str | None
    minimum_host: str | None
    files: Mapping[str, PackedFile]

    @property
    def digest(self) -> str:
        """The tree digest, ``tree-sha256:`` and hexadecimal."""
        return tree_digest(
            {path: (hashlib.sha256(file.content).hexdigest(), file.executable) for path, file in self.files.items()}
        )


def tree_digest(files: Mapping[str, tuple[str, bool]]) -> str:
    """A digest over relative paths, contents and executable bits: ``{path: (sha256 in hex, executable)}``."""
    lines = "".join(
        f"{path}\0{'x' if executable else '-'}\0{digest}\n" for path, (digest, executable) in sorted(files.items())
    )
    return TREE_DIGEST_PREFIX + hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def require_integrity(package: Package, archive: bytes | None, expected: str, where: str) -> None:
    """Compare with a Subresource Integrity text of the archive (``sha512-...``) or with a tree digest.

    Raises PackageError when it differs, or when it is of no known form.
    """
    if expected.startswith(TREE_DIGEST_PREFIX):
        found = package.digest
        if not hmac.compare_digest(found, expected):
            raise PackageError(f"{where}: integrity is {found}, and {expected} was asked for; nothing was installed")
        return
    algorithm, separator, encoded = expected.partition("-")
    if not separator or algorithm not in _INTEGRITY_LENGTHS:
        raise PackageError(
            f"integrity: {expected!r} is of no known form; give sha512-BASE64 or sha256-BASE64 of an archive,"
            f" or {TREE_DIGEST_PREFIX}HEX"
        )
    try:
        wanted = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        wanted = b""
    if len(wanted) != _INTEGRITY_LENGTHS[algorithm]:
        raise PackageError(f"integrity: {expected!r} is no {algorithm} digest in base64")
    if archive is None:
        raise PackageError(
            f"integrity: {algorithm} is the digest of an archive, and {where} is a directory;"
            f" for this directory it would be {package.digest}"
        )
    digest = hashlib.new(algorithm, archive).digest()
    if not hmac.compare_digest(digest, wanted):
        found = f"{algorithm}-{base64.b64encode(digest).decode('ascii')}"
        raise PackageError(f"{where}: integrity is {found}, and {expected} was asked for; nothing was installed")


def from_files(files: Mapping[str, PackedFile], where: str) -> Package:
    """Read the manifest and the package description; raises PackageError when they are unusable."""
    manifest = _document(files, MANIFEST, where)
    plugin_id = manifest.get("id")
    if not isinstance(plugin_id, str) or not plugin_id:
        raise PackageError(f"{where}: {MANIFEST} has no id; it must name the plugin")
    description = _document(files, PACKAGE_DESCRIPTION, where) if PACKAGE_DESCRIPTION in files else {}
    openclaw = description.get("openclaw")
    install = openclaw.get("install") if isinstance(openclaw, dict) else None
    floor = install.get("minHostVersion") if isinstance(install, dict) else None
    match = _FLOOR.match(floor.strip()) if isinstance(floor, str) else None
    version = description.get("version", manifest.get("version"))
    dependencies = description.get("dependencies")
    if isinstance(dependencies, dict) and dependencies and not any(path.startswith("node_modules/") for path in files):
        raise PackageError(
            f"{where}: the plugin depends on {', '.join(sorted(dependencies))}, which is not in the package;"
            " give a directory or an archive that has its node_modules"
        )
    return Package(
        plugin_id=plugin_id,
        version=version if isinstance(version, str) else None,
        minimum_host=None if match is None else match.group(1),
        files=dict(sorted(files.items())),
    )


def _document(files: Mapping[str, PackedFile], name: str, where: str) -> dict[str, Any]:
    if name not in files:
        raise PackageError(f"{where}: there is no {name}; give the directory or the archive of an OpenClaw plugin")
    try:
        document = parse(files[name].content)
    except ValueError as error:
        raise PackageError(f"{where}: {name} is not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise PackageError(f"{where}: {name} is not a JSON object")
    return document


def parse(content: bytes) -> Any:
    """A manifest or a package description, which OpenClaw reads as JSON5; raises ValueError."""
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError:
        return _json5.loads(_json5.decode(content))


def require_safe_path(path: str, where: str) -> str:
    """A relative path without ``.`` and ``..``; raises PackageError for anything else."""
    if "\0" in path or "\\" in path or any(part in ("", ".", "..") for part in path.split("/")):
        raise PackageError(f"{where}: {path!r} is no path inside the package")
    return path


class _Collector:
    """Gathers files within the limits."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.files: dict[str, PackedFile] = {}
        self.remaining = MAXIMUM_BYTES

    def add(self, path: str, content: bytes, *, executable: bool) -> None:
        if path in self.files:
            raise PackageError(f"{self.where}: {path} is in it twice")
        self.remaining -= len(content)
        if len(self.files) >= MAXIMUM_FILES or self.remaining < 0:
            raise PackageError(
                f"{self.where}: has more than {MAXIMUM_FILES} files or {MAXIMUM_BYTES} bytes; that is no plugin"
            )
        self.files[path] = PackedFile(content, executable)


def read_directory(path: str, *, trusted_uids: frozenset[int] | None, packed: bool = False) -> Package:
    """The package in a directory, as npm would pack it; with ``packed`` on somebody did so before, and all files count.

    ``trusted_uids``: who may own the files, because somebody else could change them while they are read;
    None for anybody.
    Raises PackageError.
    """
    collector = _Collector(path)
    try:
        with _files.open_directory(path) as directory:
            _require_trusted(os.fstat(directory), path, trusted_uids)
            chosen = None if packed else _chosen_entries(directory, path)
            with_modules = _has_dependencies(directory)
            _collect(directory, "", path, collector, trusted_uids, chosen, with_modules)
    except FileNotFoundError:
        raise PackageError(f"{path}: does not exist on this host; copy the plugin there first") from None
    except (_files.FileError, OSError) as error:
        raise PackageError(f"{path}: cannot be read: {error}") from error
    return from_files(collector.files, path)


def _description(directory: int) -> dict[str, Any]:
    found = _files.read_file(directory, PACKAGE_DESCRIPTION)
    try:
        document = parse(found.content) if found is not None else {}
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _has_dependencies(directory: int) -> bool:
    return bool(_description(directory).get("dependencies"))


def _chosen_entries(directory: int, where: str) -> list[str] | None:
    """What "files" in package.json names, as relative paths; None for everything."""
    listed = _description(directory).get("files")
    if not isinstance(listed, list):
        return None
    chosen = []
    for entry in listed:
        if not isinstance(entry, str) or _GLOB_CHARACTERS & set(entry):
            raise PackageError(
                f'{where}: "files" in package.json has {entry!r}, and only plain names are supported for a'
                " directory; give the archive that 'npm pack' makes"
            )
        name = posixpath.normpath(entry).lstrip("/")
        if name == ".":
            return None
        chosen.append(require_safe_path(name, where))
    return chosen


def _collect(
    directory: int,
    prefix: str,
    where: str,
    collector: _Collector,
    trusted_uids: frozenset[int] | None,
    chosen: list[str] | None,
    with_modules: bool,
) -> None:
    for name in sorted(os.listdir(directory)):
        path = f"{prefix}{name}"
        if name in _NEVER_PACKED or (path == "node_modules" and not with_modules):
            continue
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if not _is_packed(path, stat.S_ISDIR(status.st_mode), chosen):
            continue
        _require_trusted(status, f"{where}/{path}", trusted_uids)
        if stat.S_ISDIR(status.st_mode):
            with _files.open_beneath(directory, name) as below:
                _collect(below, f"{path}/", where, collector, trusted_uids, chosen, with_modules)
            continue
        found = _files.read_file(directory, name, limit=MAXIMUM_BYTES)
        if found is None:
            raise PackageError(f"{where}/{path}: disappeared while it was read; run again")
        collector.add(path, found.content, executable=bool(found.mode & 0o111))


def _is_packed(path: str, is_directory: bool, chosen: list[str] | None) -> bool:
    if chosen is None or path == "node_modules" or path.startswith("node_modules/"):
        return True
    if "/" not in path and not is_directory and _ALWAYS_PACKED.match(path):
        return True
    for entry in chosen:
        if path == entry or path.startswith(f"{entry}/") or (is_directory and entry.startswith(f"{path}/")):
            return True
    return False


def _require_trusted(status: os.stat_result, where: str, trusted_uids: frozenset[int] | None) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise PackageError(f"{where}: is a symlink, and a plugin must consist of files; replace it by the file")
    if trusted_uids is None:
        return
    if status.st_uid not in trusted_uids or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PackageError(
            f"{where}: belongs to uid {status.st_uid} with mode {stat.S_IMODE(status.st_mode):04o}, so that others"
            " could change it while it is installed; let root own it, writable for root only"
        )


def read_archive_file(path: str, *, trusted_uids: frozenset[int] | None) -> tuple[Package, bytes]:
    """The package in an archive file, and the archive; raises PackageError."""
    parent, name = posixpath.split(path)
    try:
        with _files.open_directory(parent or "/") as directory:
            found = _files.read_file(directory, name, limit=MAXIMUM_BYTES)
    except FileNotFoundError:
        found = None
    except (_files.FileError, OSError) as error:
        raise PackageError(f"{path}: cannot be read: {error}") from error
    if found is None:
        raise PackageError(f"{path}: does not exist on this host; copy the plugin there first")
    if trusted_uids is not None and (found.uid not in trusted_uids or found.mode & (stat.S_IWGRP | stat.S_IWOTH)):
        raise PackageError(
            f"{path}: belongs to uid {found.uid} with mode {found.mode:04o}, so that others could change it;"
            " let root own it, writable for root only"
        )
    return read_archive(found.content, path), found.content


def read_archive(archive: bytes, where: str) -> Package:
    """The package in a gzip-compressed tar archive, as ``npm pack`` makes it; raises PackageError."""
    collector = _Collector(where)
    # A bound before tarfile sees it: a small archive may decompress to a huge one.
    unpacked = _decompress(archive, where)
    roots: set[str] = set()
    try:
        with tarfile.open(fileobj=io.BytesIO(unpacked), mode="r:") as reader:
            for member in reader:
                if member.isdir():
                    continue
                name = member.name[2:] if member.name.startswith("./") else member.name
                require_safe_path(name, where)
                root, separator, path = name.partition("/")
                if not separator:
                    raise PackageError(f"{where}: {name} is not below a top directory, as 'npm pack' makes it")
                if not member.isfile():
                    raise PackageError(f"{where}: {name} is no regular file; links and devices are not allowed")
                roots.add(root)
                stream = reader.extractfile(member)
                content = b"" if stream is None else stream.read()
                collector.add(path, content, executable=bool(member.mode & 0o111))
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise PackageError(f"{where}: is no tar archive: {error}") from None
    if len(roots) > 1:
        names = ", ".join(sorted(roots)[:3])
        raise PackageError(f"{where}: has {len(roots)} top directories ({names}), and one is expected")
    return from_files(collector.files, where)


def _decompress(archive: bytes, where: str) -> bytes:
    limit = MAXIMUM_BYTES + MAXIMUM_FILES * 2048
    engine = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        unpacked = engine.decompress(archive, limit)
    except zlib.error as error:
        raise PackageError(f"{where}: is no gzip-compressed archive: {error}") from None
    if not engine.eof:
        raise PackageError(f"{where}: is cut off, or unpacks to more than {limit} bytes")
    return unpacked


def pack(package: Package) -> bytes:
    """A gzip-compressed tar archive of the package; the same package gives the same bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as writer:
        for path, file in package.files.items():
            member = tarfile.TarInfo(f"package/{path}")
            member.size = len(file.content)
            member.mode = 0o755 if file.executable else 0o644
            member.mtime = 0
            writer.addfile(member, io.BytesIO(file.content))
    return gzip.compress(buffer.getvalue(), compresslevel=9, mtime=0)
