# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edit JSON5 by splicing the text, so that untouched bytes stay. Values and errors are those of _json5.

Private to the collection failclosed.openclaw.

Writing the keys ``__proto__``, ``constructor`` and ``prototype`` is refused, as OpenClaw's own ``config set``
refuses it; removing one is possible.

The comments that belong to a member, and go when it goes:

* every comment inside it, from its key to the end of its value;
* behind it: comments that start on the line on which its value ends, before its comma, or after
  its comma if no other member follows on that line; and comments on the next lines that
  start in the same column as such a ``//`` comment, which they continue;
* before it: comments on the line on which its key (in an array its value) starts, behind the comma
  or bracket that stands there, if one does; and if none does, the lines directly above
  that hold comments and nothing else, up to the first blank line.

Every other comment belongs to the container and stays with it: behind the opening bracket at the
end of its line, set apart by a blank line, before the closing bracket on a line of its own.
"""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_right
from collections.abc import Iterable
from typing import Any, NamedTuple

from ansible_collections.failclosed.openclaw.plugins.module_utils._json5 import (
    BLANKS,
    FORBIDDEN_KEYS,
    LINE_BREAKS,
    MAX_DEPTH,
    MAX_INTEGER_LENGTH,
    MAX_VALUES,
    NEWLINE,
    Document,
    Json5Error,
    Node,
    Path,
    parse,
    same,
    skip,
)

_LINE_WIDTH = 100
_STYLE_SAMPLE = 5000


def _check_value(value: Any, where: str, is_patch: bool) -> None:
    """Refuse what cannot or must not be written into the text. Raises TypeError or ValueError."""
    pending = [(value, 1, is_patch)]
    count = 0
    while pending:
        item, depth, null_removes = pending.pop()
        count += 1
        if count > MAX_VALUES:
            raise ValueError(f"{where} has more than {MAX_VALUES} values")
        if isinstance(item, (dict, list)) and depth > MAX_DEPTH:
            raise ValueError(f"{where} is nested more than {MAX_DEPTH} levels deep")
        if isinstance(item, dict):
            for key, child in item.items():
                if not isinstance(key, str):
                    kind = type(key).__name__
                    raise TypeError(f"{where} has a key of type {kind}; keys are strings")
                if key in FORBIDDEN_KEYS and not (child is None and null_removes):
                    raise ValueError(f"{where} has the key {key}, which OpenClaw refuses")
                pending.append((child, depth + 1, null_removes))
        elif isinstance(item, list):
            pending.extend((child, depth + 1, False) for child in item)
        elif isinstance(item, float):
            if not math.isfinite(item):
                raise ValueError(f"{where} has a number that is not finite, which OpenClaw refuses")
        elif isinstance(item, int):
            if item.bit_length() > 3 * MAX_INTEGER_LENGTH:
                raise ValueError(f"{where} has an integer of more than {MAX_INTEGER_LENGTH} digits")
        elif item is not None and not isinstance(item, str):
            kind = type(item).__name__
            raise TypeError(f"{where} has a value of type {kind}, which JSON does not have")


def _without_nulls(patch: Any) -> Any:
    """RFC 7396: what a patch makes of an absent target."""
    if not isinstance(patch, dict):
        return patch
    return {key: _without_nulls(value) for key, value in patch.items() if value is not None}


def _settled(old: Any, new: Any) -> Any:
    """``new``, except that what is equal keeps its old spelling and its old place."""
    if isinstance(old, dict) and isinstance(new, dict):
        result = {key: _settled(value, new[key]) for key, value in old.items() if key in new}
        result.update((key, value) for key, value in new.items() if key not in old)
        return result
    return old if same(old, new) else new


def _merged(target: Any, patch: Any) -> Any:
    """RFC 7396 on values, sharing what did not change."""
    if not isinstance(patch, dict):
        return _settled(target, patch)
    if not isinstance(target, dict):
        return _without_nulls(patch)
    result = dict(target)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif key in result:
            result[key] = _merged(result[key], value)
        else:
            result[key] = _without_nulls(value)
    return result


# --- style ------------------------------------------------------------------------------------

_INDENT = re.compile(f"[{BLANKS}]*")
_ANY_BREAK = re.compile(f"\\r\\n|[{LINE_BREAKS}]")
_IDENTIFIER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_UNSAFE = re.compile("[\\x00-\\x1f\\x7f\\\\\\u2028\\u2029\\ufeff\\ud800-\\udfff]")
_SHORT_ESCAPES = {
    "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\",
}  # fmt: skip


class _Lines:
    """Where the lines of a text start."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = [0]
        self._starts.extend(match.end() for match in _ANY_BREAK.finditer(text))

    def column(self, offset: int) -> int:
        return offset - self._starts[bisect_right(self._starts, offset) - 1]

    def indent(self, offset: int) -> str:
        """The white space that starts the line of ``offset``."""
        start = offset - self.column(offset)
        match = _INDENT.match(self._text, start, offset)
        return match.group() if match is not None else ""

    def opened_by(self, offset: int) -> bool:
        """Whether only white space stands before ``offset`` on its line, and a line before it."""
        start = offset - self.column(offset)
        return start > 0 and not self._text[start:offset].strip()


class _Style:
    """How inserted text is written."""

    __slots__ = (
        "colon", "gap", "inline_arrays", "inline_objects", "key_quote", "minified", "newline",
        "padding", "string_quote", "trailing_comma", "unit",
    )  # fmt: skip

    def __init__(self) -> None:
        self.newline = "\n"
        self.unit = "  "
        self.key_quote = '"'
        self.string_quote = '"'
        self.colon = ": "
        self.gap = " "
        self.padding = " "
        self.trailing_comma = False
        self.inline_arrays = False
        self.inline_objects = False
        self.minified = False

    def within(self, text: str, node: Node) -> _Style:
        """This style with what the members of the container ``node`` show differently."""
        result = _Style()
        for name in _Style.__slots__:
            setattr(result, name, getattr(self, name))
        result._look_at(text, node)
        return result

    def _look_at(self, text: str, node: Node) -> None:
        """Take over quotes and spacing from the last members of one object that show them."""
        key_quote = string_quote = colon = None
        children = list(node.members())[-_STYLE_SAMPLE:]
        for child in reversed(children):
            if key_quote is None and child.key_start != child.start:
                first = text[child.key_start]
                key = text[child.key_start : child.key_end].strip("\"'")
                if first not in "\"'":
                    key_quote = ""
                elif _IDENTIFIER.fullmatch(key):
                    key_quote = first
            if colon is None and child.key_start != child.start:
                between = text[child.key_end : child.start]
                if not between.replace(":", "", 1).strip(" \t"):
                    colon = between
            if string_quote is None and isinstance(child.value, str):
                string_quote = text[child.start]
        if key_quote is not None:
            self.key_quote = key_quote
        if string_quote is not None:
            self.string_quote = string_quote
        if colon is not None:
            self.colon = colon

    @staticmethod
    def of(document: Document, lines: _Lines) -> _Style:
        """The style of a whole text, from its first few thousand values."""
        text = document.text
        style = _Style()
        found = NEWLINE.search(text)
        if found is not None:
            style.newline = found.group()
        elif document.root.children:
            style.minified = True
        votes = {"object": 0, "array": 0}
        pending = [document.root]
        seen = 0
        unset = {"unit", "key_quote", "string_quote", "colon", "gap", "padding", "trailing_comma"}
        while pending and seen < _STYLE_SAMPLE:
            following: list[Node] = []
            for node in pending:
                seen += 1
                if isinstance(node.value, str) and "string_quote" in unset:
                    unset.discard("string_quote")
                    style.string_quote = text[node.start]
                if not node.children:
                    continue
                children = list(node.members())[:_STYLE_SAMPLE]
                following.extend(children)
                _sample_container(style, unset, text, lines, node, children)
                if node is not document.root and not any(child.children for child in children):
                    inline = "\n" not in text[node.start : node.end]
                    votes["object" if isinstance(node.value, dict) else "array"] += 1 if inline else -1
            pending = following
        style.inline_objects = votes["object"] > 0
        style.inline_arrays = votes["array"] > 0
        if "string_quote" in unset and style.key_quote:
            style.string_quote = style.key_quote
        if "gap" in unset and not style.colon.endswith((" ", "\t")):
            style.gap = ""
        if "padding" in unset:
            style.padding = style.gap
        return style


def _sample_container(
    style: _Style, unset: set[str], text: str, lines: _Lines, node: Node, children: list[Node]
) -> None:
    """Let one non-empty container settle those style points that are still in ``unset``."""
    first, last = children[0], children[-1]
    if isinstance(node.value, dict):
        if "key_quote" in unset:
            for child in children:
                token = text[child.key_start : child.key_end]
                if token[0] not in "\"'" or _IDENTIFIER.fullmatch(token[1:-1]):
                    style.key_quote = token[0] if token[0] in "\"'" else ""
                    unset.discard("key_quote")
                    break
        between = text[first.key_end : first.start]
        if "colon" in unset and not between.replace(":", "", 1).strip(" \t"):
            style.colon = between
            unset.discard("colon")
        opening = text[node.start + 1 : first.key_start]
        if "padding" in unset and not opening.strip(" "):
            style.padding = opening
            unset.discard("padding")
    if "gap" in unset and len(children) > 1:
        between = text[first.end : children[1].key_start]
        if between.startswith(",") and not between[1:].strip(" "):
            style.gap = between[1:]
            unset.discard("gap")
    if lines.opened_by(first.key_start):
        if "unit" in unset:
            outer = lines.indent(node.start)
            inner = lines.indent(first.key_start)
            if inner.startswith(outer) and len(inner) > len(outer):
                style.unit = inner[len(outer) :]
                unset.discard("unit")
        if "trailing_comma" in unset and lines.opened_by(last.key_start):
            style.trailing_comma = text[skip(text, last.end)] == ","
            unset.discard("trailing_comma")


def _write_string(value: str, quote: str) -> str:
    if quote == "'" and "'" in value and '"' not in value:
        quote = '"'
    escaped = _UNSAFE.sub(lambda match: _SHORT_ESCAPES.get(match.group()) or f"\\u{ord(match.group()):04x}", value)
    return quote + escaped.replace(quote, "\\" + quote) + quote


def _write_key(key: str, style: _Style) -> str:
    if not style.key_quote and _IDENTIFIER.fullmatch(key):
        return key
    return _write_string(key, style.key_quote or style.string_quote)


def _write_scalar(value: Any, style: _Style) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _write_string(value, style.string_quote)
    if isinstance(value, int):
        return int.__repr__(value)
    return float.__repr__(value)


def _write_inline(value: Any, style: _Style) -> str:
    if isinstance(value, dict):
        if not value:
            return "{}"
        parts = [_write_key(key, style) + style.colon + _write_inline(child, style) for key, child in value.items()]
        return "{" + style.padding + ("," + style.gap).join(parts) + style.padding + "}"
    if isinstance(value, list):
        return "[" + ("," + style.gap).join(_write_inline(child, style) for child in value) + "]"
    return _write_scalar(value, style)


def _write(value: Any, style: _Style, indent: str, inline: bool) -> str:
    """``value`` as text whose first line starts behind ``indent``; ``inline`` prefers one line."""
    if not isinstance(value, (dict, list)) or not value or style.minified:
        return _write_inline(value, style)
    if inline or (style.inline_objects if isinstance(value, dict) else style.inline_arrays):
        text = _write_inline(value, style)
        if len(indent) + len(text) <= _LINE_WIDTH:
            return text
    inner = indent + style.unit
    if isinstance(value, dict):
        lines = [
            _write_key(key, style) + style.colon + _write(child, style, inner, False) for key, child in value.items()
        ]
    else:
        lines = [_write(child, style, inner, False) for child in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    separator = "," + style.newline + inner
    end = ("," if style.trailing_comma else "") + style.newline + indent
    return opening + style.newline + inner + separator.join(lines) + end + closing


# --- plan: what becomes of each value ---------------------------------------------------------


class _Entry:
    """A value of the edited tree.

    Unchanged: ``node`` alone. Changed inside: ``entries`` as well, the members or elements that
    the container shall have. Replaced: ``node`` and ``new``. Inserted: ``new`` without ``node``.
    """

    __slots__ = ("entries", "key", "new", "node", "replaced")

    def __init__(self, key: str | None, node: Node | None) -> None:
        self.key = key
        self.node = node
        self.entries: list[_Entry] | None = None
        self.new: Any = None
        self.replaced = node is None

    def value(self) -> Any:
        if self.replaced:
            return self.new
        if self.node is None:
            raise AssertionError
        if self.entries is None:
            return self.node.value
        if isinstance(self.node.value, dict):
            return {entry.key: entry.value() for entry in self.entries}
        return [entry.value() for entry in self.entries]

    def open(self) -> list[_Entry]:
        """The entries of this container, which is in the text already."""
        if self.node is None or self.replaced:
            raise AssertionError
        if self.entries is None:
            children = self.node.children
            if isinstance(children, dict):
                self.entries = [_Entry(key, child) for key, child in children.items()]
            else:
                self.entries = [_Entry(None, child) for child in children]
        return self.entries

    def has_container(self, kind: type) -> bool:
        """Whether this is a container of that kind in the text, to be edited inside."""
        return not self.replaced and self.node is not None and isinstance(self.node.value, kind)

    def keeps_children(self) -> bool:
        """Whether the entries are exactly the members or elements that were there before."""
        if self.node is None or self.entries is None:
            raise AssertionError
        before = list(self.node.members())
        return len(before) == len(self.entries) and all(
            child.node is original for child, original in zip(self.entries, before)
        )

    def is_changed(self) -> bool:
        if self.replaced or self.entries is None:
            return self.replaced
        return not self.keeps_children() or any(child.is_changed() for child in self.entries)

    def replace(self, value: Any) -> None:
        self.entries = None
        self.replaced = True
        self.new = value


def _inserted(key: str | None, value: Any) -> _Entry:
    entry = _Entry(key, None)
    entry.new = value
    return entry


def _plan_value(entry: _Entry, value: Any) -> None:
    """Make ``entry`` equal ``value`` with as little new text as possible."""
    if entry.replaced:
        entry.new = value
    elif isinstance(value, dict) and entry.has_container(dict):
        if entry.entries is None and same(entry.value(), value):
            return
        kept = [child for child in entry.open() if child.key in value]
        known = set()
        for child in kept:
            known.add(child.key)
            _plan_value(child, value[child.key])
        kept.extend(_inserted(key, item) for key, item in value.items() if key not in known)
        entry.entries = kept
    elif isinstance(value, list) and entry.has_container(list):
        entry.entries = _plan_elements(entry.open(), value)
    elif not same(entry.value(), value):
        entry.replace(value)


def _plan_elements(entries: list[_Entry], value: list[Any]) -> list[_Entry]:
    """Keep equal elements at both ends; between them, change in place, then remove or insert."""
    shorter = min(len(entries), len(value))
    head = 0
    while head < shorter and same(entries[head].value(), value[head]):
        head += 1
    tail = 0
    while tail < shorter - head and same(entries[-1 - tail].value(), value[-1 - tail]):
        tail += 1
    changed = entries[head : len(entries) - tail]
    wanted = value[head : len(value) - tail]
    for child, item in zip(changed, wanted):
        _plan_value(child, item)
    added = [_inserted(None, item) for item in wanted[len(changed) :]]
    return entries[:head] + changed[: len(wanted)] + added + entries[len(entries) - tail :]


def _plan_merge(entry: _Entry, patch: Any) -> None:
    """RFC 7396 on an entry."""
    if not isinstance(patch, dict):
        _plan_value(entry, patch)
    elif not entry.has_container(dict):
        _plan_value(entry, _without_nulls(patch))
    else:
        entries = entry.open()
        index = {child.key: child for child in entries}
        removed = set()
        for key, value in patch.items():
            child = index.get(key)
            if value is None:
                if child is not None:
                    removed.add(key)
            elif child is not None:
                _plan_merge(child, value)
            else:
                entries.append(_inserted(key, _without_nulls(value)))
        if removed:
            entry.entries = [child for child in entries if child.key not in removed]


# --- rendering a plan -------------------------------------------------------------------------


class _Piece:
    """A stretch of a container's text between its brackets."""

    __slots__ = ("at", "dead", "kind", "owner", "text")

    def __init__(self, kind: str, text: str, at: int = -1) -> None:
        self.kind = kind
        self.text = text
        self.at = at
        self.dead = False
        self.owner = -1


_BREAKS, _BLANKS, _LINE, _BLOCK, _COMMA, _MEMBER = (
    "break",
    "blank",
    "line",
    "block",
    "comma",
    "member",
)
_GAP = re.compile(
    f"(?P<{_BREAKS}>\\r\\n|[{LINE_BREAKS}])|(?P<{_BLANKS}>[{BLANKS}]+)|(?P<{_LINE}>//[^{LINE_BREAKS}]*)"
    f"|(?P<{_BLOCK}>/\\*[\\s\\S]*?\\*/)|(?P<{_COMMA}>,)"
)


def _pieces(text: str, node: Node) -> list[_Piece]:
    pieces: list[_Piece] = []
    at = node.start + 1
    for child in node.members():
        for match in _GAP.finditer(text, at, child.key_start):
            pieces.append(_Piece(match.lastgroup or "", match.group(), match.start()))
        pieces.append(_Piece(_MEMBER, "", child.key_start))
        at = child.end
    for match in _GAP.finditer(text, at, node.end - 1):
        pieces.append(_Piece(match.lastgroup or "", match.group(), match.start()))
    return pieces


def _assign_comments(lines: _Lines, pieces: list[_Piece]) -> None:
    """Set ``owner`` of each comment that belongs to a member (rules: top of this file)."""
    members = [index for index, piece in enumerate(pieces) if piece.kind == _MEMBER]
    for member in members:
        _assign_behind(lines, pieces, member)
    for member in members:
        _assign_before(pieces, member)


def _assign_behind(lines: _Lines, pieces: list[_Piece], member: int) -> None:
    before_comma: list[_Piece] = []
    after_comma: list[_Piece] = []
    comments = before_comma
    at = member + 1
    while at < len(pieces) and pieces[at].kind not in (_BREAKS, _MEMBER):
        if pieces[at].kind == _COMMA:
            comments = after_comma
        elif pieces[at].kind != _BLANKS:
            comments.append(pieces[at])
        at += 1
    if at < len(pieces) and pieces[at].kind == _MEMBER:
        after_comma = []
    owned = before_comma + after_comma
    for piece in owned:
        piece.owner = member
    if not owned or owned[-1].kind != _LINE:
        return
    column = lines.column(owned[-1].at)
    while at + 2 < len(pieces) and pieces[at].kind == _BREAKS:
        comment = pieces[at + 2] if pieces[at + 1].kind == _BLANKS else pieces[at + 1]
        if comment.kind != _LINE or lines.column(comment.at) != column:
            return
        comment.owner = member
        at = pieces.index(comment, at) + 1


def _assign_before(pieces: list[_Piece], member: int) -> None:
    at = member
    above = False
    while True:
        comments: list[_Piece] = []
        at -= 1
        while at >= 0 and pieces[at].kind in (_BLANKS, _LINE, _BLOCK) and pieces[at].owner < 0:
            if pieces[at].kind != _BLANKS:
                comments.append(pieces[at])
            at -= 1
        alone = at >= 0 and pieces[at].kind == _BREAKS
        if above and not (comments and alone):
            return
        for piece in comments:
            piece.owner = member
        if not alone:
            return
        above = True


def _starts_with_comma(pieces: list[_Piece], comma: int, member: int) -> bool:
    """Whether the comma before a member is the first thing on the member's line."""
    before = comma - 1
    while before >= 0 and pieces[before].kind == _BLANKS:
        before -= 1
    return (
        before >= 0
        and pieces[before].kind == _BREAKS
        and all(piece.kind == _BLANKS for piece in pieces[comma + 1 : member])
    )


class _Renderer:
    def __init__(self, document: Document) -> None:
        self.text = document.text
        self.root = document.root
        self.lines = _Lines(document.text)
        self.style = _Style.of(document, self.lines)

    def entry(self, entry: _Entry, style: _Style, inline: bool) -> str:
        """The text of a value that is in the document."""
        node = entry.node
        if node is None:
            raise AssertionError
        if entry.replaced:
            return _write(entry.new, style, self.lines.indent(node.key_start), inline)
        if entry.entries is None:
            return self.text[node.start : node.end]
        if entry.keeps_children():
            return self._in_place(entry)
        return self._restructured(entry)

    def _in_place(self, entry: _Entry) -> str:
        node = entry.node
        if node is None or entry.entries is None:
            raise AssertionError
        touched = [child for child in entry.entries if child.is_changed()]
        if not touched:
            return self.text[node.start : node.end]
        style = self.style.within(self.text, node)
        parts: list[str] = []
        at = node.start
        for child in touched:
            if child.node is None:
                raise AssertionError
            parts.append(self.text[at : child.node.start])
            parts.append(self.entry(child, style, not self.lines.opened_by(child.node.key_start)))
            at = child.node.end
        parts.append(self.text[at : node.end])
        return "".join(parts)

    def _restructured(self, entry: _Entry) -> str:
        """The text of a container whose members or elements are not the same as before."""
        text = self.text
        node = entry.node
        if node is None or entry.entries is None:
            raise AssertionError
        style = self.style.within(text, node)
        opening, closing = text[node.start], text[node.end - 1]
        pieces = _pieces(text, node)
        _assign_comments(self.lines, pieces)
        places = {piece.at: index for index, piece in enumerate(pieces) if piece.kind == _MEMBER}
        survivors = [child for child in entry.entries if child.node is not None]
        index_of = {id(child): places[child.node.key_start] for child in survivors if child.node}
        trailing_comma = self._mark(pieces, set(index_of.values()), entry.entries, index_of)
        for child in survivors:
            if child.node is None:
                raise AssertionError
            piece = pieces[index_of[id(child)]]
            inline = not self.lines.opened_by(child.node.key_start)
            piece.text = text[child.node.key_start : child.node.start]
            piece.text += self.entry(child, style, inline)

        if not survivors:
            return opening + self._refilled(entry, pieces, style) + closing

        final = entry.entries[-1]
        additions: dict[int, list[_Piece]] = {}
        fresh: list[_Entry] = []
        anchor: _Entry | None = None
        upcoming: list[_Entry | None] = [*entry.entries, None]
        for follower in upcoming:
            if follower is not None and follower.node is None:
                fresh.append(follower)
                continue
            if fresh and anchor is not None:
                place, added = self._behind(pieces, anchor, index_of[id(anchor)], fresh, style)
                additions.setdefault(place, []).extend(added)
            elif fresh and follower is not None:
                place, added = self._ahead(pieces, follower, index_of[id(follower)], fresh, style)
                additions.setdefault(place, []).extend(added)
            fresh = []
            anchor = follower
        merged: list[_Piece] = list(additions.get(-1, ()))
        for index, piece in enumerate(pieces):
            merged.append(piece)
            merged.extend(additions.get(index, ()))
        if final.node is None and not trailing_comma:
            commas = [piece for piece in merged if piece.kind == _COMMA and piece.at < 0]
            commas[-1].text = ""
        return opening + _tidy(merged) + closing

    def _mark(self, pieces: list[_Piece], kept: set[int], entries: list[_Entry], index_of: dict[int, int]) -> bool:
        """Mark dead what goes with removed members; say whether there was a trailing comma."""
        members: list[int] = []
        comma_of: dict[int, int] = {}
        for index, piece in enumerate(pieces):
            if piece.kind == _MEMBER:
                members.append(index)
            elif piece.kind == _COMMA:
                comma_of[members[-1]] = index
        trailing_comma = bool(members) and members[-1] in comma_of
        for previous, member in zip(members, members[1:]):
            # Where lines start with their comma, a member goes with the comma before it.
            if member in comma_of and member not in kept and _starts_with_comma(pieces, comma_of[previous], member):
                comma_of[previous], comma_of[member] = comma_of[member], comma_of[previous]
        for index, piece in enumerate(pieces):
            if piece.kind == _MEMBER and index not in kept:
                piece.dead = True
                if index in comma_of:
                    pieces[comma_of[index]].dead = True
            elif piece.owner >= 0 and piece.owner not in kept:
                piece.dead = True
        last = entries[-1] if entries else None
        if last is not None and last.node is not None and not trailing_comma:
            final = index_of[id(last)]
            if final in comma_of:
                pieces[comma_of[final]].dead = True
        return trailing_comma

    def _fresh(self, entry: _Entry, style: _Style, indent: str, inline: bool) -> list[_Piece]:
        key = "" if entry.key is None else _write_key(entry.key, style) + style.colon
        text = key + _write(entry.new, style, indent, inline)
        return [_Piece(_MEMBER, text), _Piece(_COMMA, ",")]

    def _behind(
        self, pieces: list[_Piece], anchor: _Entry, place: int, fresh: list[_Entry], style: _Style
    ) -> tuple[int, list[_Piece]]:
        """New members behind the kept one at ``place``: index to insert after, and pieces."""
        if anchor.node is None:
            raise AssertionError
        last = place
        has_comma = False
        for index in range(place + 1, len(pieces)):
            piece = pieces[index]
            if piece.dead:
                continue
            if piece.kind == _MEMBER:
                break
            if piece.kind == _COMMA:
                has_comma = True
                last = index
            elif piece.owner == place:
                last = index
        if not has_comma:
            pieces[place].text += ","
        indent = self.lines.indent(anchor.node.key_start)
        own_lines = self.lines.opened_by(anchor.node.key_start)
        added: list[_Piece] = []
        for entry in fresh:
            if own_lines or (not added and pieces[last].kind == _LINE):
                added.append(_Piece(_BREAKS, style.newline))
                added.append(_Piece(_BLANKS, indent))
            else:
                added.append(_Piece(_BLANKS, style.gap))
            added.extend(self._fresh(entry, style, indent, not own_lines))
        return last, added

    def _ahead(
        self, pieces: list[_Piece], follower: _Entry, place: int, fresh: list[_Entry], style: _Style
    ) -> tuple[int, list[_Piece]]:
        """New members ahead of the first kept one, which is at ``place``."""
        if follower.node is None:
            raise AssertionError
        first = place
        for index in range(place):
            if pieces[index].owner == place:
                first = index
                break
        indent = self.lines.indent(follower.node.key_start)
        own_lines = self.lines.opened_by(follower.node.key_start)
        added: list[_Piece] = []
        for entry in fresh:
            added.extend(self._fresh(entry, style, indent, not own_lines))
            if own_lines:
                added.append(_Piece(_BREAKS, style.newline))
                added.append(_Piece(_BLANKS, indent))
            else:
                added.append(_Piece(_BLANKS, style.gap))
        return first - 1, added

    def _refilled(self, entry: _Entry, pieces: list[_Piece], style: _Style) -> str:
        """The inside of a container that keeps none of its members."""
        node = entry.node
        if node is None or entry.entries is None:
            raise AssertionError
        rest = _tidy(pieces)
        has_comments = any(piece.kind in (_LINE, _BLOCK) and not piece.dead for piece in pieces)
        if not entry.entries:
            return rest if has_comments else ""
        outer = self.lines.indent(node.key_start)
        firsts = list(node.members())[:1]
        if firsts:
            own_lines = self.lines.opened_by(firsts[0].key_start)
            inner = self.lines.indent(firsts[0].key_start) if own_lines else outer
        else:
            breaks = any(piece.kind == _BREAKS for piece in pieces)
            is_root = node is self.root
            own_lines = not style.minified and (breaks or is_root or self.lines.opened_by(node.key_start))
            inner = outer + style.unit
        kept = rest.rstrip() if has_comments else ""
        ends_in_line_comment = (
            bool(kept)
            and [piece for piece in pieces if piece.kind in (_LINE, _BLOCK) and not piece.dead][-1].kind == _LINE
        )
        parts = [
            "".join(piece.text for piece in self._fresh(child, style, inner, not own_lines)[:1])
            for child in entry.entries
        ]
        if own_lines or ends_in_line_comment:
            inner = inner if own_lines else outer + style.unit
            separator = style.newline + inner
            end = "," if style.trailing_comma else ""
            return kept + separator + ("," + separator).join(parts) + end + style.newline + outer
        padding = style.padding if isinstance(node.value, dict) else ""
        joined = ("," + style.gap).join(parts)
        return (kept + (style.gap or " ") if kept else padding) + joined + padding


def _tidy(pieces: list[_Piece]) -> str:
    """The text without the dead pieces, and without the lines and blanks they leave behind."""
    lines: list[list[_Piece]] = [[]]
    for piece in pieces:
        lines[-1].append(piece)
        if piece.kind == _BREAKS:
            lines.append([])
    result: list[str] = []
    for number, line in enumerate(lines):
        if not any(piece.dead for piece in line):
            result.extend(piece.text for piece in line)
            continue
        is_first, is_last = number == 0, number == len(lines) - 1
        alive = [piece for piece in line if not piece.dead and piece.kind not in (_BLANKS, _BREAKS)]
        if not alive and not is_first and not is_last:
            continue
        blanks: list[str] = [""]
        has_dead = False
        started = False
        for piece in line:
            if piece.dead:
                has_dead = True
                blanks.append("")
            elif piece.kind == _BLANKS:
                blanks[-1] += piece.text
            else:
                at_end = piece.kind == _BREAKS
                result.append(_joined_blanks(blanks, has_dead, not started, at_end, is_first))
                result.append(piece.text)
                started = True
                blanks = [""]
                has_dead = False
        if is_last:
            result.append(_joined_blanks(blanks, has_dead, not started, True, is_first))
    return "".join(result)


def _joined_blanks(blanks: list[str], has_dead: bool, at_start: bool, at_end: bool, is_first: bool) -> str:
    """What remains of the white space around removed pieces."""
    if not has_dead:
        return "".join(blanks)
    if at_start and at_end and is_first:
        return ""
    if at_start and not is_first:
        return blanks[0]
    if at_end:
        return blanks[-1]
    if at_start:
        return blanks[0]
    return next((blank for blank in blanks if blank), "")


# --- editing ----------------------------------------------------------------------------------


class Set(NamedTuple):
    """Make the value at ``path`` equal ``value``, with as little new text as possible.

    A missing last member is appended, and so is the element at index len(array). Missing objects
    on the way are created. What is equal already stays as it is written. The empty path is the
    whole document.
    """

    path: Path
    value: Any


class Insert(NamedTuple):
    """Put ``value`` before the element at the index that ends ``path``, or as a new last member
    of an object, which must not have it yet."""

    path: Path
    value: Any


class Remove(NamedTuple):
    """Remove the member or element at ``path``, which must exist, and the comments of it."""

    path: Path


class _MisfitError(Exception):
    """An edit does not fit the value: how deep on its path, and why."""

    def __init__(self, depth: int, reason: str) -> None:
        super().__init__(reason)
        self.depth = depth
        self.reason = reason


def _edited(value: Any, edit: Set | Insert | Remove, depth: int) -> Any:
    """``value`` after an edit at ``edit.path[depth:]``, sharing what did not change."""
    if depth == len(edit.path):
        if not isinstance(edit, Set):
            raise _MisfitError(depth, "only Set is possible for the whole document")
        return _settled(value, edit.value)
    new = None if isinstance(edit, Remove) else edit.value
    segment = edit.path[depth]
    last = depth + 1 == len(edit.path)
    if isinstance(value, dict) and isinstance(segment, str):
        present = segment in value
        if not present and not (isinstance(edit, Set) or (last and isinstance(edit, Insert))):
            raise _MisfitError(depth, f"there is no member {json.dumps(segment)}")
        if present and last and isinstance(edit, Insert):
            raise _MisfitError(depth, f"there is a member {json.dumps(segment)} already")
        result = dict(value)
        if last and isinstance(edit, Remove):
            del result[segment]
        elif not last:
            result[segment] = _edited(value[segment] if present else {}, edit, depth + 1)
        elif present:
            result[segment] = _settled(value[segment], new)
        else:
            result[segment] = new
        return result
    if isinstance(value, list) and isinstance(segment, int) and not isinstance(segment, bool):
        limit = len(value) if last and not isinstance(edit, Remove) else len(value) - 1
        if not 0 <= segment <= limit:
            raise _MisfitError(depth, f"there is no element {segment}, the array has {len(value)}")
        elements = list(value)
        if last and isinstance(edit, Remove):
            del elements[segment]
        elif not last:
            elements[segment] = _edited(value[segment], edit, depth + 1)
        elif isinstance(edit, Insert) or segment == len(value):
            elements.insert(segment, new)
        else:
            elements[segment] = _settled(value[segment], new)
        return elements
    kind = "neither object nor array"
    if isinstance(value, (dict, list)):
        kind = "an object" if isinstance(value, dict) else "an array"
    wanted = "a key" if isinstance(segment, str) else "an index"
    raise _MisfitError(depth, f"the path goes on with {wanted}, but the value here is {kind}")


def _plan_edit(root: _Entry, edit: Set | Insert | Remove) -> None:
    """The same as `_edited`, which has accepted the edit before, on entries."""
    entry = root
    for depth, segment in enumerate(edit.path):
        if entry.replaced:
            entry.new = _edited(entry.new, edit, depth)
            return
        entries = entry.open()
        last = depth + 1 == len(edit.path)
        if isinstance(segment, str):
            place = next((i for i, child in enumerate(entries) if child.key == segment), len(entries))
        else:
            place = segment
        key = segment if isinstance(segment, str) else None
        if last and isinstance(edit, Remove):
            del entries[place]
            return
        if last and not isinstance(edit, Remove) and (isinstance(edit, Insert) or place == len(entries)):
            entries.insert(place, _inserted(key, edit.value))
            return
        if place == len(entries):
            entries.append(_inserted(key, {}))
        entry = entries[place]
    if not isinstance(edit, Set):
        raise AssertionError
    _plan_value(entry, edit.value)


def _finish(document: Document, root: _Entry, expected: Any) -> str:
    """The text of a plan, checked: nobody's file is replaced by text that says something else."""
    text = document.text
    if not root.is_changed():
        return text
    renderer = _Renderer(document)
    node = document.root
    body = renderer.entry(root, renderer.style, False)
    result = text[: node.start] + body + text[node.end :]
    actual = parse(result).value
    # The C encoder tells 1 from 1.0 and the order of members, so it may only confirm.
    if json.dumps(actual) != json.dumps(expected) and not same(actual, expected):
        raise AssertionError("the edited text does not have the intended value; nothing was changed")
    return result


def merge_patch(text: str, patch: Any) -> str:
    """``text`` after an RFC 7396 merge patch: objects merge, null removes, all else replaces.

    Everything outside the members that change stays as it is, byte for byte; a patch that changes
    no value returns ``text`` itself. Inside arrays and objects that the patch replaces, equal
    parts stay as well. New members adopt the style around them.

    Raises Json5Error if ``text`` is not acceptable, or the result would not be; TypeError or
    ValueError if ``patch`` holds what JSON does not have (numbers that are not finite, other types)
    or a key of FORBIDDEN_KEYS with a value.
    """
    _check_value(patch, "the patch", True)
    document = parse(text)
    root = _Entry(None, document.root)
    _plan_merge(root, patch)
    return _finish(document, root, _merged(document.value, patch))


def edit(text: str, edits: Iterable[Set | Insert | Remove]) -> str:
    """``text`` after `Set`, `Insert` and `Remove` edits, each applied to the result of the one before.

    Raises Json5Error if ``text`` is not acceptable or an edit does not fit (position of the
    deepest value on its path that exists in ``text``); TypeError or ValueError as `merge_patch`.
    """
    steps = list(edits)
    for step in steps:
        if not isinstance(step, Remove):
            _check_value(step.value, "the value to write", False)
            for segment in step.path:
                if segment in FORBIDDEN_KEYS:
                    raise ValueError(f"the path has the key {segment}, which OpenClaw refuses")
    document = parse(text)
    root = _Entry(None, document.root)
    value = document.value
    for step in steps:
        try:
            value = _edited(value, step, 0)
        except _MisfitError as misfit:
            depth, reason = misfit.depth, misfit.reason
        else:
            _plan_edit(root, step)
            continue
        while depth and document.find(step.path[:depth]) is None:
            depth -= 1
        found = document.find(step.path[:depth])
        if found is None:
            raise AssertionError
        line, column = document.position(found)
        raise Json5Error(reason, line, column)
    return _finish(document, root, value)
