# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection failclosed.openclaw: not for use from outside it.

"""What ``openclaw.json`` shall say, and what its value is when it says it. Pure: no file is touched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Union

from ansible_collections.failclosed.openclaw.plugins.module_utils import (
    _config_path,
    _json5,
    _merge_patch,
    _redact,
)

Path = tuple[Union[str, int], ...]


class DesiredStateError(Exception):
    """What was asked for contradicts itself, the file, or the rules about secrets."""


_EMPTY: Mapping[str, Any] = MappingProxyType({})


class DesiredState(NamedTuple):
    """What the file must say. Paths are in OpenClaw's notation, ``a.b["c.d"][0]``.

    ``patch``: RFC 7396 merge patch. ``replace_paths``: paths inside ``patch`` whose object there is the
    whole object. ``absent_paths``: what must not exist. ``assert_paths``: what the file must say
    already (None: nothing there). ``members_present``, ``members_absent``: path of a list -> strings.
    ``optional_paths``: lists in ``members_present`` that are not created.
    ``secrets``: path -> text, for literals at sensitive paths. ``public_paths``: where a literal in
    ``patch`` only looks like a secret. ``reverse``: take away what ``patch``, ``secrets`` and
    ``members_present`` would add, as far as it still has the value given there.
    """

    patch: Mapping[str, Any] = _EMPTY
    replace_paths: Sequence[str] = ()
    absent_paths: Sequence[str] = ()
    assert_paths: Mapping[str, Any] = _EMPTY
    members_present: Mapping[str, Sequence[str]] = _EMPTY
    members_absent: Mapping[str, Sequence[str]] = _EMPTY
    optional_paths: Sequence[str] = ()
    secrets: Mapping[str, str] = _EMPTY
    public_paths: Sequence[str] = ()
    reverse: bool = False


_ABSENT = object()


def parse_path(text: str, *, option: str) -> Path:
    """A path in OpenClaw's notation; raises DesiredStateError, which names the option."""
    try:
        return _config_path.parse(text)
    except ValueError as error:
        raise DesiredStateError(f"{option}: {error}") from None


def format_path(path: Path) -> str:
    """A path in OpenClaw's notation, without what has the shape of a secret; ``<root>`` for the empty one."""
    return _redact.scrub(_config_path.format(path)) if path else "<root>"


def kind_of(value: Any) -> str:
    """A word for the JSON type of a value."""
    if value is _ABSENT:
        return "nothing"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, (int, float)):
        return "a number"
    return "a list" if isinstance(value, list) else "an object"


def leaves(patch: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every path at which a merge patch says something, with what it says; null means removal.

    A SecretRef is one leaf, and so is an empty object.
    """
    if isinstance(patch, Mapping) and (patch or path == ()) and not _redact.is_secret_reference(patch):
        for key, value in patch.items():
            yield from leaves(value, (*path, key))
    else:
        yield path, patch


def lookup(tree: Any, path: Path) -> Any:
    """The value at a path, or the object that ``is_absent`` knows."""
    for part in _config_path.resolve(path, tree):
        if isinstance(tree, Mapping):
            if part not in tree:
                return _ABSENT
            tree = tree[part]
        elif isinstance(tree, list) and isinstance(part, int) and part < len(tree):
            tree = tree[part]
        else:
            return _ABSENT
    return tree


def is_absent(value: Any) -> bool:
    """Whether ``lookup`` found nothing."""
    return value is _ABSENT


def _with(tree: Any, path: Path, value: Any, *, whole: Path) -> Any:
    if not path:
        return value
    part, rest = path[0], path[1:]
    if isinstance(tree, list) and isinstance(part, int):
        if part >= len(tree):
            raise DesiredStateError(
                f"{format_path(whole)}: the list has {len(tree)} elements; name one of them, or set the whole list"
            )
        copied = list(tree)
        copied[part] = _with(tree[part], rest, value, whole=whole)
        return copied
    if tree is not _ABSENT and not isinstance(tree, Mapping):
        raise DesiredStateError(
            f"{format_path(whole)}: {format_path(whole[: len(whole) - len(path)])} is {kind_of(tree)},"
            " and has no members; remove or replace it first"
        )
    members = dict(tree) if isinstance(tree, Mapping) else {}
    if isinstance(part, int):
        raise DesiredStateError(f"{format_path(whole)}: there is no list at this place")
    members[part] = _with(members.get(part, _ABSENT), rest, value, whole=whole)
    return members


def set_value(tree: Any, path: Path, value: Any) -> Any:
    """A copy of the tree with the value at the path; objects on the way are made."""
    return _with(tree, _config_path.resolve(path, tree), value, whole=path)


def remove_value(tree: Any, path: Path) -> Any:
    """A copy of the tree without what is at the path; the tree itself when nothing is there."""
    if not path or is_absent(lookup(tree, path)):
        return tree
    part, rest = _config_path.resolve(path, tree)[0], path[1:]
    if isinstance(tree, list) and isinstance(part, int):
        elements = list(tree)
        if rest:
            elements[part] = remove_value(tree[part], rest)
        else:
            del elements[part]
        return elements
    members = dict(tree)
    if rest:
        members[part] = remove_value(tree[part], rest)
    else:
        del members[part]
    return members


def _starts_with(path: Path, prefix: Path) -> bool:
    return path[: len(prefix)] == prefix


class Declared(NamedTuple):
    """A checked DesiredState with its paths parsed."""

    desired: DesiredState
    replace_paths: tuple[Path, ...]
    absent_paths: tuple[Path, ...]
    assert_paths: tuple[tuple[Path, Any], ...]
    members_present: tuple[tuple[Path, tuple[str, ...]], ...]
    members_absent: tuple[tuple[Path, tuple[str, ...]], ...]
    optional_paths: tuple[Path, ...]
    secrets: tuple[tuple[Path, str], ...]
    public_paths: tuple[Path, ...]

    @property
    def secret_paths(self) -> tuple[Path, ...]:
        """Where a declared secret stands."""
        return tuple(path for path, _value in self.secrets)

    @property
    def touched_paths(self) -> tuple[Path, ...]:
        """Every path that is declared here, changed or not; ``meta`` is OpenClaw's and is left out."""
        paths = [path for path, _value in leaves(self.desired.patch) if path[:1] != ("meta",)]
        paths += self.replace_paths
        paths += self.absent_paths
        paths += self.secret_paths
        paths += (path for path, _members in (*self.members_present, *self.members_absent))
        return tuple(dict.fromkeys(paths))

    def is_public(self, path: Path, value: Any) -> bool:
        """Whether this literal at this path was declared not to be a secret.

        Only the declared literal is: what stood there before may well have been a secret.
        """
        if not any(_starts_with(path, prefix) for prefix in self.public_paths):
            return False
        declared = lookup(self.desired.patch, path)
        return not is_absent(declared) and _json5.same(declared, value)


def declare(desired: DesiredState) -> Declared:
    """Parse and check; raises DesiredStateError, which names the option and the path."""
    if not isinstance(desired.patch, Mapping):
        raise DesiredStateError("patch: must be a dictionary")
    declared = Declared(
        desired=desired,
        replace_paths=_paths("replace_paths", desired.replace_paths),
        absent_paths=_paths("absent_paths", desired.absent_paths),
        assert_paths=tuple(
            (parse_path(text, option="assert_paths"), value) for text, value in desired.assert_paths.items()
        ),
        members_present=_members("members_present", desired.members_present),
        members_absent=_members("members_absent", desired.members_absent),
        optional_paths=_paths("optional_paths", desired.optional_paths),
        secrets=tuple((parse_path(text, option="secrets"), value) for text, value in desired.secrets.items()),
        public_paths=_paths("public_paths", desired.public_paths),
    )
    _check_secrets(declared)
    _check_contradictions(declared)
    refuse_literals(declared, declared.secret_paths)
    return declared


def _paths(option: str, texts: Sequence[str]) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(parse_path(text, option=option) for text in texts))


def _members(option: str, given: Mapping[str, Sequence[str]]) -> tuple[tuple[Path, tuple[str, ...]], ...]:
    parsed = []
    for text, members in given.items():
        path = parse_path(text, option=option)
        if isinstance(members, str) or not isinstance(members, Sequence):
            raise DesiredStateError(
                f"{option}: {format_path(path)} must be a list of strings, and is {kind_of(members)}"
            )
        for member in members:
            if not isinstance(member, str):
                raise DesiredStateError(f"{option}: {format_path(path)} has {kind_of(member)}; only strings fit")
        parsed.append((path, tuple(dict.fromkeys(members))))
    return tuple(parsed)


def _check_secrets(declared: Declared) -> None:
    for path, value in declared.secrets:
        if not isinstance(value, str) or not value:
            raise DesiredStateError(
                f"secrets: {format_path(path)} must be a text that is not empty, and is {kind_of(value)};"
                " a SecretRef belongs into patch"
            )
        if not is_absent(lookup(declared.desired.patch, path)):
            raise DesiredStateError(f"secrets: {format_path(path)} is in patch too; leave it in one of the two")


def _check_contradictions(declared: Declared) -> None:
    patch = declared.desired.patch
    for path in declared.replace_paths:
        value = lookup(patch, path)
        if not isinstance(value, Mapping):
            raise DesiredStateError(
                f"replace_paths: patch has {kind_of(value)} at {format_path(path)}; put the whole object there"
            )
    wanted = [(path, "patch") for path, value in leaves(patch) if value is not None]
    wanted += [(path, "secrets") for path in declared.secret_paths]
    wanted += [(path, "members_present") for path, _members in declared.members_present]
    # To take back what was written does not contradict that the whole of it goes.
    for path, option in () if declared.desired.reverse else wanted:
        for absent in declared.absent_paths:
            if _starts_with(path, absent):
                raise DesiredStateError(
                    f"absent_paths: {format_path(absent)} shall go, and {option} sets {format_path(path)};"
                    " leave one of them out"
                )
    for path in declared.optional_paths:
        if path not in [listed for listed, _members in declared.members_present]:
            raise DesiredStateError(
                f"optional_paths: members_present has no {format_path(path)}; name it there too, or leave it out here"
            )
    if ("meta",) in declared.absent_paths:
        raise DesiredStateError(
            "absent_paths: meta must stay, because OpenClaw puts an older file in the place of one without it"
        )
    for path, present in declared.members_present:
        for other, absent_members in declared.members_absent:
            both = sorted(set(present) & set(absent_members)) if path == other else []
            if both:
                raise DesiredStateError(
                    f"members_absent: {format_path(path)} names {', '.join(both)}, which members_present names too"
                )


_INSTEAD = {
    "patch": "move it to the option secrets, which is never shown, or give a SecretRef {source, provider, id} or"
    " ${NAME}",
    "assert_paths": "a secret cannot be compared here",
    "members_present": "give the element in the option secrets, which is never shown, for example as path[0]",
    "members_absent": "a secret cannot be named here; remove it by hand, or set the whole list with secrets",
}


def refuse_literals(declared: Declared, sensitive_paths: Sequence[Path]) -> None:
    """Raise DesiredStateError for a literal where a secret stands, in an option that Ansible shows.

    ``sensitive_paths``: what is sensitive besides what `_redact` knows by itself.
    """
    for option, tree, base in _literal_trees(declared):
        inherited = _redact.is_sensitive_path(base, sensitive_paths=sensitive_paths)
        for path, _value in _literals(tree, base, sensitive_paths, inherited=inherited):
            if any(_starts_with(path, prefix) for prefix in declared.public_paths):
                continue
            raise DesiredStateError(
                f"{option}: {format_path(path)} holds a literal where a secret stands, and Ansible shows this"
                f" option's value; {_INSTEAD[option]}. If the value is no secret, add the path to public_paths."
            )


def _literal_trees(declared: Declared) -> Iterator[tuple[str, Any, Path]]:
    yield "patch", declared.desired.patch, ()
    for path, value in declared.assert_paths:
        yield "assert_paths", value, path
    for path, members in declared.members_present:
        yield "members_present", members, path
    for path, members in declared.members_absent:
        yield "members_absent", members, path


def _literals(node: Any, path: Path, sensitive_paths: Sequence[Path], *, inherited: bool) -> Iterator[tuple[Path, Any]]:
    if node is None or isinstance(node, bool) or _redact.is_secret_reference(node):
        return
    if isinstance(node, Mapping):
        for key, member in node.items():
            below = (*path, key)
            sensitive = inherited or _redact.is_sensitive_path(below, sensitive_paths=sensitive_paths)
            yield from _literals(member, below, sensitive_paths, inherited=sensitive)
    elif isinstance(node, (list, tuple)):
        for index, member in enumerate(node):
            yield from _literals(member, (*path, index), sensitive_paths, inherited=inherited)
    elif node != "" and not _redact.is_variable_reference(node) and (inherited or _redact.has_secret_shape(node)):
        yield path, node


class Outcome(NamedTuple):
    """The value that the file shall have, and what somebody should know about it."""

    value: Any
    notes: tuple[tuple[Path, str, str], ...]


def check_assertions(declared: Declared, before: Any) -> None:
    """Raise DesiredStateError when the file does not say what ``assert_paths`` expects."""
    for path, expected in declared.assert_paths:
        found = lookup(before, path)
        if expected is None and (is_absent(found) or found is None):
            continue
        if is_absent(found) or not _json5.same(found, expected):
            difference = "another value" if kind_of(found) == kind_of(expected) else kind_of(found)
            raise DesiredStateError(
                f"assert_paths: {format_path(path)} has {difference} where {kind_of(expected)} was expected;"
                " look at the file, then correct it or the expectation"
            )


def desired_value(declared: Declared, before: Any) -> Outcome:
    """The value of the file once it says what is declared; raises DesiredStateError.

    ``before``: its value now, with includes resolved; ``{}`` for a file that does not exist.
    """
    check_assertions(declared, before)
    notes: list[tuple[Path, str, str]] = []
    if not declared.desired.reverse:
        after = _without_members(declared, _forward(declared, before, notes))
        return Outcome(_without_absent(declared, after), tuple(notes))
    after = _without_members(declared, _reversed(declared, _without_absent(declared, before), notes))
    for path in declared.absent_paths:
        after = _without_empty_parents(after, before, path[:-1])
    return Outcome(after, tuple(notes))


def _without_absent(declared: Declared, value: Any) -> Any:
    for path in declared.absent_paths:
        if isinstance(lookup(value, path[:-1]), list):
            raise DesiredStateError(
                f"absent_paths: {format_path(path)} is an element of a list; the next one would take its place, and the"
                " next run would remove that one too. Use members_absent, or set the whole list in patch."
            )
        value = remove_value(value, path)
    return value


def _forward(declared: Declared, before: Any, notes: list[tuple[Path, str, str]]) -> Any:
    patch = dict(declared.desired.patch)
    # OpenClaw keeps its own marks in meta; only its presence is ours to see to.
    if isinstance(before, Mapping) and isinstance(before.get("meta"), Mapping) and "meta" in patch:
        del patch["meta"]
    after = _merge_patch.apply(before, patch)
    for path in declared.replace_paths:
        if path[:1] == ("meta",):
            continue
        after = set_value(after, path, _merge_patch.apply(None, lookup(patch, path)))
    for path, secret in declared.secrets:
        after = set_value(after, path, secret)
    for path, present in declared.members_present:
        if path in declared.optional_paths and is_absent(lookup(after, path)):
            continue
        current = _list_at(after, path, "members_present")
        if is_absent(lookup(before, path)) and path == ("plugins", "allow"):
            notes.append(
                (
                    path,
                    "this list is new: from now on OpenClaw loads only what it names, of the bundled plugins too",
                    "add every plugin that shall stay, or leave plugins.allow alone",
                )
            )
        missing = [member for member in present if member not in current]
        if missing or is_absent(lookup(after, path)):
            after = set_value(after, path, [*current, *missing])
    return after


def _without_members(declared: Declared, after: Any) -> Any:
    for path, absent in declared.members_absent:
        current = _list_at(after, path, "members_absent")
        if any(member in absent for member in current if isinstance(member, str)):
            kept = [member for member in current if not (isinstance(member, str) and member in absent)]
            after = set_value(after, path, kept)
    return after


def _list_at(tree: Any, path: Path, option: str) -> list[Any]:
    found = lookup(tree, path)
    if is_absent(found) or found is None:
        return []
    if not isinstance(found, list):
        raise DesiredStateError(
            f"{option}: {format_path(path)} is {kind_of(found)} in the file, and must be a list; correct the file"
        )
    return found


def _reversed(declared: Declared, before: Any, notes: list[tuple[Path, str, str]]) -> Any:
    after = before
    ours: list[tuple[Path, Any]] = [
        (path, value)
        for path, value in leaves(declared.desired.patch)
        if value is not None and path[:1] != ("meta",) and path
    ]
    ours += declared.secrets
    for path, value in ours:
        found = lookup(before, path)
        if is_absent(found):
            continue
        if _json5.same(found, value):
            after = remove_value(after, path)
        else:
            notes.append(
                (
                    path,
                    "has another value than the one to take back, and was kept",
                    "look at it; name it in absent_paths to remove it whatever its value is",
                )
            )
    for path, _value in sorted(ours, key=lambda each: -len(each[0])):
        after = _without_empty_parents(after, before, path[:-1])
    for path, present in declared.members_present:
        current = lookup(after, path)
        if isinstance(current, list) and any(member in present for member in current if isinstance(member, str)):
            kept = [member for member in current if not (isinstance(member, str) and member in present)]
            after = set_value(after, path, kept)
    return after


def _without_empty_parents(after: Any, before: Any, path: Path) -> Any:
    # An object that was empty before was not emptied by us.
    while path and lookup(after, path) == {} and lookup(before, path) != {}:
        after = remove_value(after, path)
        path = path[:-1]
    return after


def touches(finding: Path, touched: Sequence[Path]) -> bool:
    """Whether a finding concerns what was declared: it lies at, below or above a declared path."""
    return any(_starts_with(finding, path) or _starts_with(path, finding) for path in touched)
