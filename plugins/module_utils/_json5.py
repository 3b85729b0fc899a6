# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lossless JSON5: parse to values and source spans. What edits by splicing the text is _json5_edit.

Private to the collection failclosed.openclaw. Standard library only; the file can be imported
on its own, outside Ansible.

Language: what the npm package ``json5`` 2.2.3 accepts, because OpenClaw reads ``openclaw.json``
with it (``JSON.parse`` first, whose language is a subset). Stricter on purpose: a duplicate key,
more than MAX_DEPTH levels, MAX_LENGTH characters or MAX_VALUES values, and integers of more than
MAX_INTEGER_LENGTH characters are errors.

Values: object -> dict (order kept), array -> list, string -> str (a surrogate pair becomes one
character, a lone surrogate stays one), true/false/null -> bool/None. A number without fraction
and exponent -> int of any size; any other -> float, the IEEE double that JavaScript has too;
``-0`` -> -0.0; ``NaN`` and ``Infinity`` -> float. `same` compares them: 1 and 1.0 are equal,
True and 1 are not, NaN equals NaN. Integers are compared exactly: two that JavaScript rounds to
one double still differ, so no digit that somebody wrote is taken for another.

Keys: ``__proto__``, ``constructor`` and ``prototype`` are plain members when read (as in OpenClaw's
parser; it ignores the first afterwards).

Errors carry line and column, and never text of the file other than key names: values may be
secrets.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any, NoReturn

MAX_DEPTH = 200
MAX_LENGTH = 8 * 1024 * 1024
MAX_VALUES = 500_000
# Hexadecimal digits become more decimal ones; below this, all survive Python's limit of 4300.
MAX_INTEGER_LENGTH = 3500

FORBIDDEN_KEYS = frozenset(("__proto__", "constructor", "prototype"))

# Keys (str) and indexes (int).
Path = tuple[Any, ...]


class Json5Error(ValueError):
    """The text is not acceptable JSON5, or an edit does not fit it.

    ``line`` and ``column`` are 1-based and count characters; a line ends with LF, CR or CR LF.
    ``reason`` is the message without the position.
    """

    def __init__(self, reason: str, line: int, column: int) -> None:
        super().__init__(f"line {line}, column {column}: {reason}")
        self.reason = reason
        self.line = line
        self.column = column


class Node:
    """One value in the text.

    ``text[start:end]`` is the value itself. A member of an object also has its key:
    ``text[key_start:key_end]``; elsewhere both equal ``start``. ``children`` is a dict
    (object), a list (array) or None (scalar) of nodes.
    """

    __slots__ = ("children", "end", "key_end", "key_start", "start", "value")

    def __init__(self, key_start: int, key_end: int, start: int, end: int, value: Any) -> None:
        self.key_start = key_start
        self.key_end = key_end
        self.start = start
        self.end = end
        self.value = value
        self.children: Any = None

    def members(self) -> Iterable[Node]:
        """The child nodes in the order of the text."""
        if self.children is None:
            return ()
        return self.children.values() if isinstance(self.children, dict) else self.children


class Document:
    """A parsed text: ``text``, ``root`` (Node) and ``value``."""

    def __init__(self, text: str, root: Node) -> None:
        self.text = text
        self.root = root

    @property
    def value(self) -> Any:
        return self.root.value

    def find(self, path: Path) -> Node | None:
        """The node at ``path`` (str for members, int for elements), or None."""
        node = self.root
        for segment in path:
            found = _child_node(node, segment)
            if found is None:
                return None
            node = found
        return node

    def position(self, node: Node) -> tuple[int, int]:
        """1-based line and column where the member (its key, if it has one) starts."""
        return _position(self.text, node.key_start)


def _child_node(node: Node, segment: Any) -> Node | None:
    children = node.children
    if isinstance(children, dict):
        return children.get(segment) if isinstance(segment, str) else None
    if isinstance(children, list) and isinstance(segment, int) and not isinstance(segment, bool):
        return children[segment] if 0 <= segment < len(children) else None
    return None


# --- positions and errors ---------------------------------------------------------------------

NEWLINE = re.compile(r"\r\n|\n|\r")


def _position(text: str, offset: int) -> tuple[int, int]:
    line = 1
    start = 0
    for match in NEWLINE.finditer(text, 0, offset):
        line += 1
        start = match.end()
    return line, offset - start + 1


def _fail(text: str, offset: int, reason: str) -> NoReturn:
    line, column = _position(text, offset)
    raise Json5Error(reason, line, column)


# --- lexical level ----------------------------------------------------------------------------

BLANKS = "\\t\\v\\f \\u00a0\\ufeff\\u1680\\u2000-\\u200a\\u202f\\u205f\\u3000"
LINE_BREAKS = "\\n\\r\\u2028\\u2029"
_SPACE = f"[{BLANKS}{LINE_BREAKS}]*"
_PLAIN_DOUBLE = r'"([^"\\\n\r]*)"'
_PLAIN_SINGLE = r"'([^'\\\n\r]*)'"

# These three read all of ordinary text in one match for each key, value and separator. Comments,
# escapes, non-ASCII unquoted keys and errors do not match and are left to the functions below:
# patterns without nested repeats stay linear whatever the text is.
_KEY = re.compile(f"{_SPACE}(?:(?:{_PLAIN_DOUBLE}|{_PLAIN_SINGLE}|([A-Za-z_$][A-Za-z0-9_$]*)){_SPACE}:|(}}))")
_VALUE = re.compile(
    f"{_SPACE}(?:{_PLAIN_DOUBLE}|{_PLAIN_SINGLE}|([\\[{{])|(true|false|null)"
    r"|([+-]?(?:(?:0[xX][0-9a-fA-F]+|(?:0|[1-9][0-9]*)(\.[0-9]*)?([eE][+-]?[0-9]+)?)"
    r"|(\.[0-9]+(?:[eE][+-]?[0-9]+)?|Infinity|NaN)))"
    r"|(\]))"
)
_AFTER = re.compile(f"{_SPACE}([,}}\\]])")

_SKIP = re.compile(_SPACE)
_LINE_END = re.compile(f"[{LINE_BREAKS}]")
_PLAIN = {'"': re.compile(r'[^"\\\n\r]*'), "'": re.compile(r"[^'\\\n\r]*")}
_HEX = {2: re.compile("[0-9a-fA-F]{2}"), 4: re.compile("[0-9a-fA-F]{4}")}
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_SURROGATES = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_WORDS = {"true": True, "false": False, "null": None}

# The letters that json5 2.2.3 accepts in an unquoted key outside ASCII (its ID_Start, and what its
# ID_Continue adds: Unicode 10). Python's own tables are newer, and differ between versions.
# Ranges as base-36 differences: gap since the range before, "-", length less one.
_LETTERS = (
    "16 a 4 5-m 1-u 1-cp 4-b e-4 7 1 3l-4 1-1 2-3 1 6 1-2 1 1-j 1-2a 1-3u 8-4l 1-11 2 7-12 20-q "
    "5-2 19-16 z-1 1-2q 1 f-1 7-1 a-2 2 g 1-t t-2g b o-w 9-1 4 5-l 4 9 3 n-o 7-a 1h-k 1-7 1y-1h 3 "
    "i 7-9 f-f 4-7 2-1 2-l 1-6 1 3-3 3 g d-1 1-2 e-1 a 8-5 4-1 2-l 1-6 1-1 1-1 1-1 v-3 1 j-2 g-8 "
    "1-2 1-l 1-6 1-1 1-4 3 i f-1 n b-7 2-1 2-l 1-6 1-1 1-4 3 u-1 1-2 f h 1-5 3-2 1-3 3-1 1 1-1 "
    "3-1 3-2 3-b m 1g-7 1-2 1-m 1-f 3 q-2 5-1 u 4-7 1-2 1-m 1-9 1-4 3 w 1-1 f-1 i-7 1-2 1-14 2 g "
    "5-2 8-2 o-5 5-h 3-n 1-8 1 2-6 1m-1b 1-1 c-6 1m-1 1 2-1 1 2 6-3 1-6 1-2 1 1 2-1 1-3 1-1 9 2-4 "
    "1 l-3 w 1r-7 1-z r-4 37-16 k g-5 4-3 3 3-1 7-2 4-c c h-11 1 5 2-16 1-98 1-3 2-6 1 1-3 2-14 "
    "1-3 2-w 1-3 2-6 1 1-3 2-e 1-1k 1-3 2-1u 11-f g-2d 2-5 3-h7 2-g 1-p 5-22 3-a 7-c 1-3 e-h e-h "
    "e-c 1-2 f-1f z 4 1v-2f 8-4 2-x 1 5-1x a-u 1d-t 2-4 b-17 4-p 1i-m 9-1g 2a 2l-1a h-6 1j-t d-1 "
    "a-17 q-z 15-2 a-z 2-8 2o-3 1-3 3-1 9-5b 1s-7p 2-5 2-11 2-5 2-7 1 1 1 1-u 2-1g 1-6 1 3-2 1-6 "
    "3-3 2-5 4-c 5-2 1-6 38 d g-c 2t 4 2-9 1 3-4 6 1 1 1-3 1-a 2-3 5-4 4 h-14 22f-1a 1-1a 1-3o "
    "6-3 3-1 c-11 1 5 2-1j 7 g-m 9-6 1-6 1-6 1-6 1-6 1-6 1-6 1-6 28 d1-2 p-8 7-4 2-4 4-2d 6-2 "
    "1-2h 1-3 5-15 2-2l h-q 1h-f e8-52t 22-g6i l-wc 1v-19 2-7g 3-f a-1 k-1a g-u 2-27 13-8 2-2u "
    "2-z 1-7 1r-a 1-2 1-3 1-m t-1f e-1d 1q-5 3 1 c-r a-m p-s 7-1a s g-4 1-9 a-4 1-14 n-2 1-7 k-m "
    "3 3-1d 1 3-1 2-4 2 1 o-2 2-a 7-2 c-5 2-5 2-5 9-6 1-6 1-16 1-9 a-36 t-8mb c-m 4-1c 6is-a5 "
    "2-2x 12-6 c-4 5 1-9 1-c 1-4 1 1-1 1-1 1-2z x-a2 i-1r 2-1h 14-b 38-4 1-3q 10-p 6-p b-2g 3-5 "
    "2-5 2-5 2-2 z-b 1-p 1-i 1-1 1-e 2-d y-3e 1x-1g 7f-s 3-1c 1b-v d-t 5-11 a-t 2-z 4-7 1-4 16-4d "
    "i-z 4-z 4-13 8-1f 4c-8m 9-l a-7 48-5 2 1-17 1-1 3 2-m a-m 9-u 1t-i 1-1 a-l a-p 1y-1j 6-1 1s "
    "f-3 1-2 1-q 18-s 3-s z-7 1-r r-1h a-l a-i d-h 32-20 1j-1e d-1e ls-1g 23-18 w-o q-z 15-y 3 "
    "c-1b e-3 l 1 z-h 1-o 2c-6 1 1-3 1-e 1-9 7-1a 12-7 2-1 2-l 1-6 1-1 1-4 3 i c-4 4e-1g i-3 "
    "1h-1b k-1 1 54-1a 15-3 10-1b k 1n-16 2d-p au-1r v 74 a-13 7 l b-13 2-3 1i-1k 7b-8 1-10 h "
    "1d-t 34-6 1-1 1-11 l jd-pl 2u-32 h-5f 24c-tq 34h-g6 6nt-fs 7-u 35-t i-1b g-3 v-k 5-i og-1w b "
    "1u-c 1s-1 u-4q4 j-ky 7bh-7y 29-az 1s4-2y 5-c 3-8 7-9 4me-2c 1-1y 1-1 2 2-1 2-3 1-b 1 1-6 "
    "1-1s 1-3 2-7 1-6 1-r 1-3 1-4 1 3-6 1-9f 2-o 1-o 1-u 1-o 1-u 1-o 1-u 1-o 1-u 1-o 1-7 378-5g "
    "1n-1v xo-3 1-q 1-1 1 2 1-9 1-3 1 1 6 4 1 1 1-2 1-1 1 2 1 1 1 1 1-1 1 2-3 1-6 1-3 1-3 1 1-9 "
    "1-g 5-2 1-4 1-g 3es-wye 15-378 b-65 2-4g1 e-5rk 2e7-f1 "
)
_LETTERS_INSIDE = (
    "hs-33 7n-4 7d-18 1 1-1 1-1 1 20-a 1c-u 6 2t-6 2-5 2-1 1-3 2-9 n u-q 2j-a f-9 x-8 y-3 1-8 1-2 "
    "1-4 17-2 3c-d 1-w 1i-2 1-h 1-6 a-1 2-9 h-2 1k 1-6 2-1 2-2 9 a-1 2-9 h-2 1k 1-4 4-1 2-2 3 k-b "
    "3 b-2 1k 1-7 1-2 1-2 k-1 2-9 a-5 1-2 1k 1-6 2-1 2-2 8-1 a-1 2-9 i 1n-4 3-2 1-3 9 e-9 g-3 "
    "1m-6 1-2 1-3 7-1 b-1 2-9 h-2 1k 1-6 1-2 1-3 7-1 b-1 2-9 g-3 1j-1 1-6 1-2 1-3 9 a-1 2-9 i-1 "
    "1y 4-5 1 1-7 6-9 2-1 1p 2-6 c-7 1-9 2f 2-5 1-1 b-5 2-9 1q-1 6-9 b 1 1 4-1 1d-j 1-1 5-a 1-z 9 "
    "2s-j 1-9 c-3 4-2 1-2 2-6 3-3 d-b 1-e jj-2 qa-2 t-2 t-1 u-1 1s-v 9 2-9 x-2 2-9 2z-1 y 3a-b "
    "4-b a-9 3k-9 1p-4 1l-9 1-s 2-a 6-9 m-d 1u-4 1b-g b-9 h-8 c-2 u-c 2-9 18-d 1c-j 8-9 6-9 3a-2 "
    "1-k 4 4-2 2-2 5i-1l 1-4 fz-1 j 3f-c 4 3-b 2da-2 3x 2o-v fe-5 2x-1 n7p-9 1x 4-9 w-1 28-1 7k 3 "
    "4 n-4 2g-1 1e-h a-9 6-h e-9 s-7 p-c 18-3 1b-d f-9 b a-9 1b-d c 8-1 2-9 x-2 1e 1-2 2-1 5-1 1 "
    "15-4 5-1 6k-7 1-1 2-9 fms kh-f g-f 3-1 o-2 5c-9 11 jh 6a 45-4 85-9 11z-2 1-1 5-3 14-2 4 4l-1 "
    "109-2 1h-e v-9 f-3 19-a 1h-9 6-2 10-d 1-9 1f c-2 1c-d 9-2 3-9 2a-b 6 4g-b 5-9 6-3 1k 1-6 2-1 "
    "2-2 9 a-1 2-6 3-4 5c-h 9-9 2e-j c-9 5x-6 2-8 r-1 2a-g f-9 29-c 8-9 2b-e 4-9 bq-9 7r-9 14-6 "
    "1-3 8 9-a 1a-f b9-7 1-7 g-9 1k-l 1-d 3e-5 3 1-1 1-6 1 8-9 f7q-9 3q-4 1n-6 p-9 s7-19 g-3 "
    "f7u-1 43q-4 3-5 8-7 2-6 u-3 44-2 13d-1d e8-1i 4-1d 8 e m-4 1-e 11s-6 1-g 2-6 1-1 1-4 1ph-6 "
    "31-6 5-9 gzhi-6n "
)
_letter_patterns: dict[str, Any] = {}


def _ranges(table: str) -> str:
    characters = []
    position = 0x80
    for item in table.split():
        gap, _dash, length = item.partition("-")
        first = position + int(gap, 36)
        last = first + (int(length, 36) if length else 0)
        characters.append(f"\\U{first:08x}-\\U{last:08x}")
        position = last + 1
    return "".join(characters)


def _is_letter(character: str, inside: bool) -> bool:
    if character < "\x80":
        return character.isalpha() or character in "$_" or (inside and character.isdigit())
    if not _letter_patterns:
        letters = _ranges(_LETTERS)
        _letter_patterns["start"] = re.compile(f"[{letters}]")
        _letter_patterns["inside"] = re.compile(f"[{letters}{_ranges(_LETTERS_INSIDE)}\u200c\u200d]")
    return bool(_letter_patterns["inside" if inside else "start"].match(character))


def skip(text: str, at: int) -> int:
    """The offset behind white space and comments."""
    while True:
        at = _SKIP.match(text, at).end()  # type: ignore[union-attr]
        if text.startswith("//", at):
            found = _LINE_END.search(text, at)
            if found is None:
                return len(text)
            at = found.end()
        elif text.startswith("/*", at):
            end = text.find("*/", at + 2)
            if end < 0:
                _fail(text, at, "this comment has no end; expected */")
            at = end + 2
        else:
            return at


def _escaped_code_unit(text: str, at: int, digits: int) -> str:
    match = _HEX[digits].match(text, at)
    if match is None:
        _fail(text, at, f"expected {digits} hexadecimal digits after this escape")
    return chr(int(match.group(), 16))


def _scan_string(text: str, start: int) -> tuple[str, int]:
    """Value and end of the string that starts at the quote ``text[start]``."""
    quote = text[start]
    plain = _PLAIN[quote]
    length = len(text)
    chunks: list[str] = []
    at = start + 1
    while True:
        match = plain.match(text, at)
        chunks.append(match.group())  # type: ignore[union-attr]
        at = match.end()  # type: ignore[union-attr]
        if at >= length:
            _fail(text, start, "this string has no end")
        if text[at] == quote:
            break
        if text[at] != "\\":
            _fail(text, at, "a line break inside a string must be escaped with \\")
        at += 1
        character = text[at : at + 1]
        at += 1
        if character in _ESCAPES:
            chunks.append(_ESCAPES[character])
        elif character == "u":
            chunks.append(_escaped_code_unit(text, at, 4))
            at += 4
        elif character == "x":
            chunks.append(_escaped_code_unit(text, at, 2))
            at += 2
        elif character == "\r":
            if text.startswith("\n", at):
                at += 1
        elif character in ("\n", "\u2028", "\u2029"):
            pass
        elif character == "0":
            if "0" <= text[at : at + 1] <= "9":
                _fail(text, at - 2, "\\0 must not be followed by a digit")
            chunks.append("\0")
        elif character == "":
            _fail(text, start, "this string has no end")
        elif "1" <= character <= "9":
            _fail(text, at - 2, "octal escapes do not exist in JSON5")
        else:
            chunks.append(character)
    value = "".join(chunks)
    # JavaScript strings are UTF-16: two escaped halves are one character.
    value = _SURROGATES.sub(lambda pair: pair.group().encode("utf-16-le", "surrogatepass").decode("utf-16-le"), value)
    return value, at + 1


def _scan_identifier(text: str, start: int) -> tuple[str, int]:
    characters: list[str] = []
    at = start
    while True:
        character = text[at : at + 1]
        width = 1
        if character == "\\":
            if text[at + 1 : at + 2] != "u":
                _fail(text, at, "only \\uXXXX escapes are possible in an unquoted key")
            character = _escaped_code_unit(text, at + 2, 4)
            width = 6
            if not _is_letter(character, bool(characters)):
                _fail(text, at, "this escape is no letter that an unquoted key can have")
        elif not character or not _is_letter(character, bool(characters)):
            return "".join(characters), at
        characters.append(character)
        at += width


def _scan_key(text: str, start: int) -> tuple[str, int]:
    """Value and end of the key at ``start``."""
    character = text[start : start + 1]
    if character in ('"', "'"):
        return _scan_string(text, start)
    key, end = _scan_identifier(text, start)
    if end == start:
        if not character:
            _fail(text, start, "the text ends inside an object; expected a key or }")
        _fail(text, start, "expected a key or }")
    return key, end


# --- parser -----------------------------------------------------------------------------------


def _number(text: str, match: re.Match[str]) -> Any:
    token = match.group(5)
    if match.group(6) is None and match.group(7) is None and match.group(8) is None:
        if len(token) > MAX_INTEGER_LENGTH:
            _fail(text, match.start(5), f"integer of more than {MAX_INTEGER_LENGTH} characters")
        try:
            integer = int(token, 16 if "x" in token.lower() else 10)
        except ValueError:
            # A Python with a lower limit of its own; its message would quote the digits.
            integer = None
        if integer is None:
            _fail(text, match.start(5), "integer with more digits than this Python converts")
        return -0.0 if not integer and token[0] == "-" else integer
    return float(token)


def parse(text: str) -> Document:
    """Parse JSON5 text.

    Raises Json5Error. ``text`` is a decoded str with its line ends as in the file (see `decode`).
    """
    if len(text) > MAX_LENGTH:
        raise Json5Error(f"the text has {len(text)} characters; at most {MAX_LENGTH} are read", 1, 1)
    match_key, match_value, match_after = _KEY.match, _VALUE.match, _AFTER.match
    stack: list[Node] = []
    container: Node | None = None
    values: Any = None
    children: Any = None
    in_object = False
    key = ""
    key_start = key_end = -1
    at = 0
    count = 0
    root: Node | None = None

    while True:
        node: Node | None = None
        if in_object:
            match = match_key(text, at)
            if match is None:
                key_start = skip(text, at)
                match = match_key(text, key_start)
            if match is not None:
                group = match.lastindex or 0
                at = match.end()
                if group == 4:
                    node = container
                elif group == 3:
                    key = match.group(3)
                    key_start, key_end = match.span(3)
                else:
                    key = match.group(group)
                    key_start = match.start(group) - 1
                    key_end = match.end(group) + 1
            else:
                key, key_end = _scan_key(text, key_start)
                at = skip(text, key_end)
                if text[at : at + 1] != ":":
                    _fail(text, at, "expected : after the key")
                at += 1
            if node is None and key in values:
                first = _position(text, children[key].key_start)[0]
                second = _position(text, key_start)[0]
                _fail(
                    text,
                    key_start,
                    f"duplicate key {json.dumps(key)} in one object, on line {first} and on line"
                    f" {second}; only one of them can count, remove the other",
                )

        if node is None:
            match = match_value(text, at)
            if match is None:
                at = skip(text, at)
                match = match_value(text, at)
            if match is not None:
                group = match.lastindex or 0
                end = match.end()
                if group == 1 or group == 2:
                    start = match.start(group) - 1
                    value: Any = match.group(group)
                elif group == 3:
                    start = end - 1
                    value = {} if text[start] == "{" else []
                elif group == 4:
                    start = match.start(4)
                    value = _WORDS[match.group(4)]
                elif group == 9:
                    if in_object or container is None:
                        _fail(text, end - 1, "expected a value")
                    node = container
                else:
                    start = match.start(5)
                    value = _number(text, match)
            else:
                start = at
                character = text[at : at + 1]
                if character == '"' or character == "'":
                    value, end = _scan_string(text, at)
                elif not character:
                    _fail(text, at, "the text ends where a value is expected")
                else:
                    _fail(text, at, "expected a value")
            at = end
            if node is None:
                count += 1
                if count > MAX_VALUES:
                    _fail(text, start, f"more than {MAX_VALUES} values")
                if in_object:
                    node = Node(key_start, key_end, start, end, value)
                    values[key] = value
                    children[key] = node
                else:
                    node = Node(start, start, start, end, value)
                    if container is None:
                        root = node
                    else:
                        values.append(value)
                        children.append(node)
                if value.__class__ is dict or value.__class__ is list:
                    if len(stack) >= MAX_DEPTH:
                        _fail(text, start, f"nested more than {MAX_DEPTH} levels deep")
                    stack.append(node)
                    container = node
                    values = value
                    in_object = value.__class__ is dict
                    children = node.children = {} if in_object else []
                    continue
                node = None

        while True:
            if node is not None:
                # The bracket at text[at - 1] closes this container.
                node.end = at
                stack.pop()
                container = stack[-1] if stack else None
                if container is not None:
                    values = container.value
                    children = container.children
                    in_object = values.__class__ is dict
                node = None
            if container is None:
                at = skip(text, at)
                if at < len(text):
                    _fail(text, at, "expected the end of the text after the value")
                if root is None:
                    raise AssertionError
                return Document(text, root)
            match = match_after(text, at)
            if match is None:
                at = skip(text, at)
                match = match_after(text, at)
            separator = match.group(1) if match is not None else ""
            if match is not None and separator == ",":
                at = match.end()
                break
            if match is not None and separator == ("}" if in_object else "]"):
                at = match.end()
                node = container
                continue
            at = match.start(1) if match is not None else at
            where = "member" if in_object else "element"
            closing = "}" if in_object else "]"
            if at >= len(text):
                line = _position(text, container.start)[0]
                _fail(
                    text,
                    at,
                    f"the text ends inside the container that starts on line {line}; expected , or {closing}",
                )
            _fail(text, at, f"expected , or {closing} after this {where}")


def loads(text: str) -> Any:
    """The value of JSON5 ``text``; see the top of this file for its types. Raises Json5Error."""
    return parse(text).value


def decode(data: bytes) -> str:
    """UTF-8 ``data`` as text, BOM and line ends kept. Raises Json5Error.

    The size is checked first, so that a huge file costs nothing but its reading.
    """
    if len(data) > 4 * MAX_LENGTH:
        raise Json5Error(f"{len(data)} bytes; at most {MAX_LENGTH} characters are read", 1, 1)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        valid = data[: error.start].decode("utf-8")
    line, column = _position(valid, len(valid))
    raise Json5Error("this byte is not UTF-8", line, column)


# --- values -----------------------------------------------------------------------------------


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal as JSON values (see the top of this file).

    The order of members does not count, the order of elements does.
    """
    if isinstance(left, bool) or isinstance(right, bool):
        return isinstance(left, bool) and isinstance(right, bool) and left == right
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        return left == right or (_is_nan(left) and _is_nan(right))
    if isinstance(left, str) and isinstance(right, str):
        return left == right
    if isinstance(left, dict) and isinstance(right, dict):
        return len(left) == len(right) and all(key in right and same(value, right[key]) for key, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return left is None and right is None
