# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths into ``openclaw.json`` in the notation of OpenClaw's own ``config get`` and ``config set``.

Private to the collection failclosed.openclaw.

``agents.entries["my.agent"].skills[0]``: segments are separated by dots; a bracket holds an array
index, or a key, quoted if it has characters of its own meaning; outside brackets a backslash
takes the next character literally. As in OpenClaw 2026.9.6 (its ``tokenizeConcreteConfigPath`` and
``appendConfigPathSegment``), white space around a segment does not count, a dotted number is a
key until an array is found there (see `resolve`), and the keys ``__proto__``, ``constructor`` and
``prototype`` are refused.
"""

from __future__ import annotations

import json
import re
from typing import Any

from ansible_collections.failclosed.openclaw.plugins.module_utils._json5 import FORBIDDEN_KEYS

MAX_INDEX = 100_000

# What String.prototype.trim removes; str.strip() without argument differs.
_WHITE = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
_INDEX = re.compile(r"0|[1-9][0-9]*")
_PLAIN = re.compile(r"[A-Za-z_$][A-Za-z0-9_$:-]*")
_HEXADECIMAL = re.compile(r"[0-9a-fA-F]{2}")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def _index(segment: str) -> int | None:
    """The array index that a segment spells, if it spells one that OpenClaw accepts."""
    if len(segment) > len(str(MAX_INDEX)) or not _INDEX.fullmatch(segment):
        return None
    index = int(segment)
    return index if index <= MAX_INDEX else None


def _quoted(raw: str, path: str) -> str:
    """The key inside a quoted bracket: a JSON string, or with JavaScript's other escapes."""
    quote = raw[0]
    if quote == '"':
        try:
            parsed = json.loads(raw)
        except ValueError:
            parsed = None
        if isinstance(parsed, str):
            return parsed
    fault = ValueError(f"invalid quoted key {raw} in the path {path}")
    if len(raw) < 2 or not raw.endswith(quote):
        raise fault
    normalized = ['"']
    at = 1
    while at < len(raw) - 1:
        character = raw[at]
        if character == quote:
            raise fault
        if character == '"':
            normalized.append('\\"')
        elif character == "\\":
            at += 1
            if at >= len(raw) - 1:
                raise fault
            escaped = raw[at]
            if escaped in "\n\u2028\u2029":
                pass
            elif escaped == "\r":
                if raw[at + 1] == "\n":
                    at += 1
            elif escaped == "x":
                match = _HEXADECIMAL.match(raw, at + 1)
                if match is None:
                    raise fault
                normalized.append("\\u00" + match.group())
                at += 2
            elif escaped == "0":
                if raw[at + 1] in "0123456789":
                    raise fault
                normalized.append("\\u0000")
            elif escaped == "v":
                normalized.append("\\u000b")
            elif escaped in "123456789":
                raise fault
            elif escaped in '"\\/bfnrtu':
                normalized.append("\\" + escaped)
            else:
                normalized.append(escaped)
        else:
            normalized.append(character)
        at += 1
    try:
        return str(json.loads("".join(normalized) + '"'))
    except ValueError:
        raise fault from None


def _bracket(inside: str, path: str) -> str | int:
    if inside[0] in "\"'":
        key = _quoted(inside, path)
        if not key.strip(_WHITE):
            raise ValueError(f"empty key {inside} in the path {path}")
        return key
    index = _index(inside)
    return inside if index is None else index


def _bracket_end(path: str, opening: int) -> int:
    quote = ""
    at = opening + 1
    while at < len(path):
        character = path[at]
        if quote:
            if character == "\\":
                at += 1
            elif character == quote:
                quote = ""
        elif character == "]":
            return at
        elif character in "\"'" and not path[opening + 1 : at].strip(_WHITE):
            quote = character
        at += 1
    raise ValueError(f'the path {path} has a "[" without "]"')


def parse(path: str) -> tuple[str | int, ...]:
    """The segments of a path: str for a key, int for an index in plain brackets.

    Raises ValueError for what OpenClaw refuses: an empty path or segment, an open bracket, a
    trailing backslash, something other than "." or "[" behind a bracket, a key of FORBIDDEN_KEYS.
    """
    trimmed = path.strip(_WHITE)
    if not trimmed:
        raise ValueError("the path is empty")
    empty = ValueError(f"the path {path} has an empty segment")
    segments: list[str | int] = []
    current = ""
    after_bracket = False
    at = 0
    while at < len(trimmed):
        character = trimmed[at]
        if character == "\\":
            if at + 1 == len(trimmed):
                raise ValueError(f"the path {path} ends with a backslash that takes nothing")
            current += trimmed[at + 1]
            at += 2
        elif character == ".":
            if (current or not after_bracket) and not current.strip(_WHITE):
                raise empty
            if current:
                segments.append(current.strip(_WHITE))
            current = ""
            after_bracket = False
            at += 1
        elif character == "[":
            blank = not current.strip(_WHITE)
            if blank and (current or (not after_bracket and segments)):
                raise empty
            if current:
                segments.append(current.strip(_WHITE))
            current = ""
            end = _bracket_end(trimmed, at)
            inside = trimmed[at + 1 : end].strip(_WHITE)
            if not inside:
                raise ValueError(f'the path {path} has an empty "[]"')
            segments.append(_bracket(inside, path))
            if trimmed[end + 1 : end + 2] not in ("", ".", "["):
                raise ValueError(f'the path {path} needs "." or "[" behind a "]"')
            after_bracket = True
            at = end + 1
        else:
            current += character
            at += 1
    if not after_bracket and not current.strip(_WHITE):
        raise empty
    if current:
        segments.append(current.strip(_WHITE))
    for segment in segments:
        if segment in FORBIDDEN_KEYS:
            raise ValueError(f"the path {path} has the key {segment}, which OpenClaw refuses")
    return tuple(segments)


def format(segments: tuple[str | int, ...]) -> str:  # noqa: A001 - always used as _config_path.format
    """The path of segments as OpenClaw writes it; the inverse of `parse`."""
    path = ""
    for segment in segments:
        if isinstance(segment, int):
            path += f"[{segment}]"
        elif _PLAIN.fullmatch(segment):
            path += f".{segment}" if path else segment
        else:
            quoted = json.dumps(segment, ensure_ascii=False)
            quoted = _LONE_SURROGATE.sub(lambda match: f"\\u{ord(match.group()):04x}", quoted)
            path += f"[{quoted}]"
    return path


def resolve(segments: tuple[str | int, ...], tree: Any) -> tuple[str | int, ...]:
    """The segments with the types that ``tree`` asks for, as OpenClaw reads them.

    In an array a number is an index however it is written, in an object it is a key. Behind the
    end of the tree, and where a segment fits neither, it stays as it is.
    """
    resolved: list[str | int] = []
    for segment in segments:
        concrete = segment
        if isinstance(tree, list) and isinstance(segment, str):
            index = _index(segment)
            concrete = segment if index is None else index
        elif isinstance(tree, dict) and isinstance(segment, int):
            concrete = str(segment)
        resolved.append(concrete)
        if isinstance(tree, dict) and isinstance(concrete, str):
            tree = tree.get(concrete)
        elif isinstance(tree, list) and isinstance(concrete, int) and concrete < len(tree):
            tree = tree[concrete]
        else:
            tree = None
    return tuple(resolved)
