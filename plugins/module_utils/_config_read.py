# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read ``openclaw.json`` and what it includes, without following a link that its owner could have planted.

Private to the collection failclosed.openclaw. ``read`` gives the parsed file (``Snapshot.value``, includes resolved).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from ansible_collections.failclosed.openclaw.plugins.module_utils import _config_include, _files, _json5, _redact


class ConfigFileError(Exception):
    """The file cannot be read, or must not be edited; nothing was changed unless the text says otherwise.

    ``findings``: list of {"path", "rule", "message", "remedy", "source", "severity"}, never with a value.
    """

    def __init__(self, message: str, *, findings: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(_redact.printable(message))
        self.findings = [dict(each) for each in findings]


@contextmanager
def _as_file_error(path: str) -> Iterator[None]:
    try:
        yield
    except (_config_include.IncludeError, _files.FileError) as error:
        raise ConfigFileError(f"{path}: {error}. Nothing was changed.") from None
    except OSError as error:
        raise ConfigFileError(cannot_use(path, error)) from None


def cannot_use(path: str, error: OSError) -> str:
    """What to say about ``error`` at ``path``."""
    where = error.filename if isinstance(error.filename, str) else path
    return (
        f"{path}: {error.strerror or error} ({where}); nothing was changed. Check the space, the mount and the"
        " permissions there."
    )


class Snapshot(NamedTuple):
    """The file as it was read. ``value`` is None and ``digest`` empty when it does not exist."""

    value: Any
    text: str
    digest: str


class Tree(NamedTuple):
    """One reading of the configuration: the main file, and every file that takes part by an include."""

    states: Mapping[str, _files.FileState]
    values: Mapping[str, Any]
    resolved: _config_include.Resolved
    exists: bool


def split_path(path: str) -> tuple[str, str]:
    if not path.startswith("/") or path.endswith("/") or "\0" in path:
        raise ConfigFileError(f"path: {path!r} must be the absolute path of a file")
    directory, name = posixpath.split(posixpath.normpath(path))
    if ".." in path.split("/"):
        raise ConfigFileError(f"path: {path!r} contains '..'; give the path without it")
    return directory, name


def _parse(where: str, state: _files.FileState) -> Any:
    if not state.content.strip():
        raise ConfigFileError(
            f"{where}: is empty ({len(state.content)} bytes), which OpenClaw does not read either. Restore a copy, or"
            " remove the file so that a new one is made. Nothing was changed."
        )
    try:
        return _json5.loads(_json5.decode(state.content))
    except _json5.Json5Error as error:
        raise ConfigFileError(
            f"{where}: {_redact.scrub(str(error))}. The file cannot be read as JSON5, so nothing was changed: correct"
            " that line, or restore a copy."
        ) from None


def read_tree(directory: int | None, directory_path: str, name: str, *, allow_hard_link: bool = False) -> Tree:
    """Read the file ``name`` in the open ``directory`` (None: it does not exist), and what it includes.

    Raises ConfigFileError, _config_include.IncludeError, _files.FileError and OSError.
    """
    states: dict[str, _files.FileState] = {}
    values: dict[str, Any] = {}
    if directory is None:
        return Tree(states, values, _config_include.Resolved({}, ()), exists=False)

    def load(relative: str) -> Any:
        if relative in values:
            return values[relative]
        folder, base = posixpath.split(relative)
        try:
            with _files.open_beneath(directory, folder) as below:
                state = _files.read_file(below, base)
                if state is not None:
                    _refuse_hard_link(allow_hard_link, below, posixpath.join(directory_path, relative), state)
        except FileNotFoundError:
            state = None
        if state is None:
            raise _config_include.IncludeError(f"the included file {relative} does not exist")
        states[relative] = state
        values[relative] = _parse(posixpath.join(directory_path, relative), state)
        return values[relative]

    state = _files.read_file(directory, name)
    if state is None:
        return Tree(states, values, _config_include.Resolved({}, ()), exists=False)
    _refuse_hard_link(allow_hard_link, directory, posixpath.join(directory_path, name), state)
    states[name] = state
    values[name] = _parse(posixpath.join(directory_path, name), state)
    if not isinstance(values[name], dict):
        raise ConfigFileError(f"{posixpath.join(directory_path, name)}: holds no object at its top; correct it by hand")
    if not _config_include.contains_include(values[name]):
        return Tree(states, values, _config_include.Resolved(values[name], ()), exists=True)
    resolved = _config_include.resolve(name, values[name], load)
    return Tree(states, values, resolved, exists=True)


def _refuse_hard_link(allow_hard_link: bool, directory: int, where: str, state: _files.FileState) -> None:
    if not allow_hard_link and _files.foreign_links(directory, posixpath.basename(where), state):
        raise ConfigFileError(
            f"{where}: has {state.links} names (hard links), and an edit would part them; remove the others,"
            " or set allow_hard_link. Nothing was changed."
        )


def read(path: str, *, allow_hard_link: bool = False) -> Snapshot:
    """Read and parse the file at the absolute ``path``; raises ConfigFileError."""
    with _as_file_error(path):
        directory_path, name = split_path(path)
        try:
            with _files.open_directory(directory_path) as directory:
                tree = read_tree(directory, directory_path, name, allow_hard_link=allow_hard_link)
        except FileNotFoundError:
            return Snapshot(None, "", "")
        if not tree.exists:
            return Snapshot(None, "", "")
        state = tree.states[name]
        return Snapshot(tree.resolved.value, _json5.decode(state.content), state.digest)
