# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection failclosed.openclaw: not for use from outside it.

"""What is remembered between runs about ``openclaw.json``, in a directory that only its owner may write.

A file that was right and has not changed since is still right. So the commonest run reads the file, finds its
digest here, and needs neither a parser nor a schema: this module imports little on purpose.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.failclosed.openclaw.plugins.module_utils import _files

SYSTEM_CACHE = "/var/cache/failclosed-openclaw"

# Whose text decides what "right" means: another text, and nothing is remembered any more.
_ENGINE = (
    "_config_desired",
    "_config_edit",
    "_config_read",
    "_config_include",
    "_config_memory",
    "_config_path",
    "_config_validation",
    "_files",
    "_json5",
    "_managed_schema",
    "_merge_patch",
    "_redact",
    "_schema",
)
_MAXIMUM_SCHEMA_BYTES = 16 * 1024 * 1024
_MAXIMUM_RECORD_BYTES = 1024 * 1024
_KEPT_SCHEMAS = 4
_KEPT_RECORDS = 16


def default_directory() -> str:
    """Where memory is kept: a system directory for root, else one of the user's own."""
    if os.geteuid() == 0:
        return SYSTEM_CACHE
    return os.path.join(os.path.expanduser("~"), ".cache", "failclosed-openclaw")


class Memory:
    """Schemas, verdicts and the key of the fingerprints in one private directory.

    With ``write`` off (check mode) it is only read. A directory that others may write is not believed:
    reading it raises FileError.
    """

    def __init__(self, directory: str, *, write: bool) -> None:
        self.directory = directory
        self._write = write

    def _read(self, *path: str, limit: int) -> bytes | None:
        directory = "/".join((self.directory, *path[:-1]))
        try:
            with _files.private_directory(directory, create=False) as descriptor:
                state = _files.read_file(descriptor, path[-1], limit=limit)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return None
        return None if state is None else state.content

    def _store(self, content: bytes, *path: str) -> None:
        if not self._write:
            return
        with _files.private_directory(self.directory):
            pass
        with _files.private_directory("/".join((self.directory, *path[:-1]))) as descriptor:
            _files.write_private(descriptor, path[-1], content)

    def fingerprint_key(self) -> bytes:
        """The key for fingerprints of secrets; one of its own for this run when none can be kept."""
        key = self._read("fingerprint.key", limit=64)
        if key is not None and len(key) == 32:
            return key
        key = os.urandom(32)
        self._store(key, "fingerprint.key")
        return key

    def records(self, path: str) -> list[dict[str, Any]]:
        """Everything that is remembered about a configuration file, the oldest first."""
        content = self._read("verdicts", _files.key_for(path) + ".json", limit=_MAXIMUM_RECORD_BYTES)
        try:
            records = [] if content is None else json.loads(content)
        except ValueError:
            return []
        return [each for each in records if isinstance(each, dict)] if isinstance(records, list) else []

    def remember(self, path: str, record: Mapping[str, Any]) -> None:
        """Keep a record under its "key"; the oldest of too many goes."""
        if not self._write:
            return
        others = [each for each in self.records(path) if each.get("key") != record["key"]]
        kept = [*others, dict(record)][-_KEPT_RECORDS:]
        self._store(json.dumps(kept).encode(), "verdicts", _files.key_for(path) + ".json")

    def recall(self, path: str, key: str) -> dict[str, Any] | None:
        """The record of this key about this file, if it is whole."""
        for record in self.records(path):
            if record.get("key") == key and _is_whole(record):
                return record
        return None

    def schema(self, key: str) -> dict[str, Any] | None:
        """A remembered exported schema, or None."""
        content = self._read("schemas", f"{key}.json", limit=_MAXIMUM_SCHEMA_BYTES)
        try:
            schema = None if content is None else json.loads(content)
        except ValueError:
            return None
        return schema if isinstance(schema, dict) else None

    def remember_schema(self, key: str, schema: Mapping[str, Any]) -> None:
        """Keep an exported schema; only a few stay."""
        if not self._write:
            return
        self._store(json.dumps(schema, separators=(",", ":")).encode(), "schemas", f"{key}.json")
        with _files.private_directory(f"{self.directory}/schemas") as descriptor:
            names = [name for name in os.listdir(descriptor) if name.endswith(".json")]
            names.sort(key=lambda name: os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mtime_ns)
            for name in names[:-_KEPT_SCHEMAS]:
                _files.remove_quietly(descriptor, name)


def _is_whole(record: Mapping[str, Any]) -> bool:
    findings, validated, version = (record.get(name) for name in ("findings", "validated", "openclaw_version"))
    return (
        isinstance(findings, list)
        and all(isinstance(each, dict) for each in findings)
        and isinstance(validated, list)
        and all(isinstance(each, str) for each in validated)
        and (version is None or isinstance(version, str))
    )


def program_identity(command: Sequence[str]) -> str:
    """A text that changes when the program that a command prefix starts is replaced."""
    lines = []
    for argument in command:
        if not argument.startswith("/"):
            lines.append(argument)
            continue
        real = os.path.realpath(argument)
        for path in (real, os.path.join(os.path.dirname(real), "package.json")):
            try:
                status = os.stat(path)
                lines.append(f"{path} {status.st_size} {status.st_mtime_ns} {status.st_ino}")
            except OSError:
                lines.append(f"{path} missing")
    return "\n".join(lines)


def _engine_digest() -> str:
    folder = os.path.dirname(__file__)
    digest = hashlib.sha256()
    # A loader also reads from the archive in which Ansible sends modules. One that cannot give sources (Mitogen has
    # its own) leaves nothing to compare with, and then nothing is taken for remembered.
    read = getattr(__spec__.loader if __spec__ else None, "get_data", None)
    try:
        for name in _ENGINE:
            digest.update(os.urandom(32) if read is None else read(os.path.join(folder, f"{name}.py")))
            digest.update(b"\0")
    except OSError:
        return os.urandom(32).hex()
    return digest.hexdigest()


def record_key(digest: str, desired: Mapping[str, Any], command: Sequence[str]) -> str:
    """What a verdict depends on: the file's content, what was declared, the program, and this code."""
    document = json.dumps(
        [digest, dict(desired), list(command), program_identity(command), _engine_digest()],
        sort_keys=True,
        default=dict,
    )
    return hashlib.sha256(document.encode("utf-8", "surrogatepass")).hexdigest()


def recall_unchanged(
    path: str,
    *,
    owner: str | None,
    group: str | None,
    mode: int,
    desired: Mapping[str, Any],
    command: Sequence[str],
    directory: str | None,
) -> dict[str, Any] | None:
    """The return values of a run that changes nothing, if exactly this is remembered; None otherwise.

    Whatever is unusual about the file or the memory gives None too: the engine then says what it is.
    ``desired``: the fields of a DesiredState.
    """
    folder, name = os.path.split(path)
    try:
        with _files.open_directory(folder) as descriptor:
            state = _files.read_file(descriptor, name)
        if state is None or state.links != 1 or state.mode != mode:
            return None
        if owner is not None and state.uid != _files.user_id(owner):
            return None
        if group is not None and state.gid != _files.group_id(group):
            return None
        memory = Memory(directory or default_directory(), write=False)
        record = memory.recall(path, record_key(state.digest, desired, command))
    except (OSError, _files.FileError):
        return None
    if record is None:
        return None
    return {
        "changed": False,
        "changed_paths": [],
        "edited_file": path,
        "backup_file": None,
        "digest": state.digest,
        "findings": record["findings"],
        "openclaw_version": record["openclaw_version"],
        "validated": record["validated"],
        "diff": [],
    }
