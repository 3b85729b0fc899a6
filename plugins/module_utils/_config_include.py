# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection failclosed.openclaw: not for use from outside it.

"""``$include`` in ``openclaw.json``: what it resolves to, and which file owns a path.

As OpenClaw 2026.9.6 does it (src/config/includes.ts): a text or a list of texts, relative to the file
that includes, below the directory of ``openclaw.json``; files merge in order, lists concatenate, and the
keys beside ``$include`` come last. Stricter here: no symlink is followed.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Union

from ansible_collections.failclosed.openclaw.plugins.module_utils import _config_path

Path = tuple[Union[str, int], ...]

INCLUDE_KEY = "$include"
MAXIMUM_DEPTH = 10


class IncludeError(Exception):
    """An include that cannot be resolved; the text names the file and the path."""


class IncludedFile(NamedTuple):
    """One file that takes part: its name relative to the configuration's directory, and its value."""

    name: str
    value: Any


class IncludeSite(NamedTuple):
    """One ``$include``: where its object stands in the whole, in which file, and what it brings in."""

    path: Path
    within: str
    files: tuple[IncludedFile, ...]
    beside: frozenset[str]


class Resolved(NamedTuple):
    """A configuration with its includes merged in."""

    value: Any
    sites: tuple[IncludeSite, ...]


def merge(target: Any, source: Any) -> Any:
    """OpenClaw's deep merge: lists concatenate, objects merge, anything else is the source's."""
    if isinstance(target, list) and isinstance(source, list):
        return [*target, *source]
    if isinstance(target, Mapping) and isinstance(source, Mapping):
        merged = dict(target)
        for key, value in source.items():
            merged[key] = merge(merged[key], value) if key in merged else value
        return merged
    return source


def contains_include(tree: Any) -> bool:
    """Whether ``$include`` stands anywhere in the tree."""
    if isinstance(tree, Mapping):
        return INCLUDE_KEY in tree or any(contains_include(member) for member in tree.values())
    return isinstance(tree, list) and any(contains_include(member) for member in tree)


def resolve(name: str, value: Any, load: Callable[[str], Any]) -> Resolved:
    """Merge the includes of the file ``name`` (relative to its directory) into its value.

    ``load(name)`` reads and parses another file of the directory. Raises IncludeError.
    """
    sites: list[IncludeSite] = []

    def process(node: Any, path: Path, within: str, chain: tuple[str, ...]) -> Any:
        if isinstance(node, list):
            return [process(member, (*path, index), within, chain) for index, member in enumerate(node)]
        if not isinstance(node, Mapping):
            return node
        if INCLUDE_KEY not in node:
            return {key: process(member, (*path, key), within, chain) for key, member in node.items()}
        files = tuple(included(target, path, within, chain) for target in targets(node[INCLUDE_KEY], path, within))
        beside = {key: member for key, member in node.items() if key != INCLUDE_KEY}
        content = files[0].value if isinstance(node[INCLUDE_KEY], str) else {}
        if not isinstance(node[INCLUDE_KEY], str):
            for file in files:
                content = merge(content, file.value)
        sites.append(IncludeSite(path, within, files, frozenset(beside)))
        if not beside:
            return content
        if not isinstance(content, Mapping):
            raise IncludeError(f"{within}: {INCLUDE_KEY} at {shown(path)} has keys beside it, but is no object")
        return merge(content, {key: process(member, (*path, key), within, chain) for key, member in beside.items()})

    def targets(value: Any, path: Path, within: str) -> list[str]:
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list) or not all(isinstance(each, str) and each for each in names):
            raise IncludeError(f"{within}: {INCLUDE_KEY} at {shown(path)} must be a text or a list of texts")
        return names

    def included(target: str, path: Path, within: str, chain: tuple[str, ...]) -> IncludedFile:
        joined = posixpath.normpath(posixpath.join(posixpath.dirname(within), target))
        if "\0" in target or target.startswith("/") or joined.startswith("../") or joined == "..":
            raise IncludeError(
                f"{within}: {INCLUDE_KEY} at {shown(path)} leads out of the configuration's directory;"
                " this module reads only includes below it"
            )
        if joined in chain:
            raise IncludeError(f"{within}: {INCLUDE_KEY} at {shown(path)} includes {joined} in a circle")
        if len(chain) > MAXIMUM_DEPTH:
            raise IncludeError(f"{within}: includes are nested more than {MAXIMUM_DEPTH} deep")
        return IncludedFile(joined, process(load(joined), path, joined, (*chain, joined)))

    resolved = process(value, (), name, (name,))
    return Resolved(resolved, tuple(sites))


def shown(path: Path) -> str:
    """A path in OpenClaw's notation."""
    return _config_path.format(path) if path else "the top"


def _reaches(value: Any, path: Path) -> bool:
    """Whether a value says something about a path: it has the member, or is no object on the way to it."""
    for part in path:
        if not isinstance(value, Mapping):
            return True
        if part not in value:
            return False
        value = value[part]
    return True


def owner_of(path: Path, main: str, resolved: Resolved) -> tuple[str, Path]:
    """Which file an edit of a path belongs into, and where that file's top stands in the whole.

    The main file is the owner unless an include says something about the path, or the path is a new
    member of an object that consists of an include. Raises IncludeError when no single file is the owner.
    """
    for site in sorted(resolved.sites, key=lambda each: -len(each.path)):
        if path[: len(site.path)] != site.path:
            # Whoever sets an object whole would set what is included below it.
            if site.path[: len(path)] == path:
                raise IncludeError(
                    f"{shown(path)} cannot be set whole, because {site.within} includes"
                    f" {', '.join(file.name for file in site.files)} at {shown(site.path)}; edit that file"
                )
            continue
        relative = path[len(site.path) :]
        owners = [file.name for file in site.files if _reaches(file.value, relative)]
        if len(owners) > 1:
            raise IncludeError(f"{shown(path)} is set in several included files: {', '.join(owners)}")
        if owners:
            if relative and str(relative[0]) in site.beside and relative[0] in site.beside:
                raise IncludeError(
                    f"{shown(path)} is set in {owners[0]} and beside {INCLUDE_KEY} in {site.within};"
                    " leave it in one of them"
                )
            return owners[0], site.path
        if site.path and relative and relative[0] not in site.beside:
            if len(site.files) != 1:
                raise IncludeError(
                    f"{shown(path)} could go into any of {', '.join(file.name for file in site.files)};"
                    " put it into one of them by hand first"
                )
            return site.files[0].name, site.path
        return site.within, _base_of(site, resolved)
    return main, ()


def _base_of(site: IncludeSite, resolved: Resolved) -> Path:
    bases = [other.path for other in resolved.sites for file in other.files if file.name == site.within]
    return bases[0] if bases else ()
