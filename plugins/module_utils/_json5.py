# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lossless JSON5: parse to values and source spans, edit by splicing the text.

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
parser; it ignores the first afterwards). Writing one is refused, as OpenClaw's own ``config set``
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

Errors carry line and column, and never text of the file other than key names: values may be
secrets.
"""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_right
from collections.abc import Iterable
from typing import Any, NamedTuple, NoReturn

MAX_DEPTH = 200
MAX_LENGTH = 8 * 1024 * 1024
MAX_VALUES = 500_000
# Hexadecimal digits become more decimal ones; below this, all survive Python's limit of 4300.
MAX_INTEGER_LENGTH = 3500

FORBIDDEN_KEYS = frozenset(("__proto__", "constructor", "prototype"))

# Keys (str) and indexes (int).
Path = tuple[Any, ...]

_LINE_WIDTH = 100
_STYLE_SAMPLE = 5000


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


# --- values of an edit ------------------------------------------------------------------------


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
