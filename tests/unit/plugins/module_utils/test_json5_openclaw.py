# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON5 against the parser that OpenClaw itself uses: JSON.parse, then the npm package json5.

Needs FAILCLOSED_NODE (a node executable) and FAILCLOSED_OPENCLAW (the directory of an installed
openclaw package), and fails without them.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import struct
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.failclosed.openclaw.plugins.module_utils import _json5
from ansible_collections.failclosed.openclaw.tests.unit.plugins.module_utils import (
    json5_suites,
    node_process,
)

pytestmark = pytest.mark.openclaw

# Values come back exactly: doubles as bits, strings as UTF-16 code units, members unordered.
SOURCE = """
const JSON5 = require("json5");
function exact(value) {
  if (typeof value === "number") {
    const bits = Buffer.alloc(8);
    bits.writeDoubleBE(Number.isNaN(value) ? NaN : value);
    return "n" + bits.toString("hex");
  }
  if (typeof value === "string")
    return "s" + Array.from({ length: value.length }, (_, i) => value.charCodeAt(i).toString(16)).join(" ");
  if (Array.isArray(value)) return value.map(exact);
  if (value !== null && typeof value === "object")
    return { members: Object.keys(value).map((key) => [exact(key), exact(value[key])]) };
  return value;
}
function accepted(make, expected) {
  const ranges = [];
  for (let code = 0; code < 0x110000; code++) {
    const character = String.fromCodePoint(code);
    let yes = false;
    try { yes = expected(JSON5.parse(make(character)), character); } catch {}
    const last = ranges[ranges.length - 1];
    if (yes && last && last[1] === code - 1) last[1] = code;
    else if (yes) ranges.push([code, code]);
  }
  return ranges;
}
function answer(question) {
  if (question === "version") return require("json5/package.json").version;
  if (question === "first letters") return accepted((c) => `{${c}:1}`, (v, c) => Object.hasOwn(v, c));
  if (question === "later letters") return accepted((c) => `{a${c}:1}`, (v, c) => Object.hasOwn(v, "a" + c));
  if (question === "white space") return accepted((c) => `${c}[]`, (v) => Array.isArray(v));
  let value;
  try { value = JSON.parse(question); } catch { value = JSON5.parse(question); }
  return exact(value);
}
"""


@pytest.fixture(scope="module")
def javascript() -> Iterator[node_process.NodeProcess]:
    process = node_process.NodeProcess(SOURCE)
    yield process
    process.close()


def exact(value: Any) -> Any:
    """The same encoding as in SOURCE."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, float)):
        try:
            double = float(value)
        except OverflowError:
            double = float("inf") if value > 0 else float("-inf")
        if math.isnan(double):
            double = float("nan")
        return "n" + struct.pack(">d", double).hex()
    if isinstance(value, str):
        units = value.encode("utf-16-be", "surrogatepass")
        return "s" + " ".join(f"{high * 256 + low:x}" for high, low in zip(units[::2], units[1::2]))
    if isinstance(value, list):
        return [exact(item) for item in value]
    return {"members": [[exact(key), exact(item)] for key, item in value.items()]}


def unordered(value: Any) -> Any:
    """JavaScript moves keys that look like integers to the front."""
    if isinstance(value, dict):
        return {key: unordered(item) for key, item in value["members"]}
    if isinstance(value, list):
        return [unordered(item) for item in value]
    return value


# What we refuse on purpose and JavaScript takes.
STRICTER = re.compile("^duplicate key|^nested more than|^integer of more than")


def compare(javascript: node_process.NodeProcess, text: str) -> bool | None:
    """Assert the same answer on both sides: accepted or not; None where we refuse on purpose."""
    ok, theirs = javascript.ask(text)
    try:
        ours = _json5.loads(text)
    except _json5.Json5Error as error:
        if ok and STRICTER.search(error.reason):
            return None
        assert not ok, f"json5 accepts {text!r}, we say: {error}"
        return False
    assert ok, f"we accept {text!r}, json5 says: {theirs}"
    assert unordered(exact(ours)) == unordered(theirs), text
    return True


def test_the_comparison_sees_differences() -> None:
    assert unordered(exact({"a": -0.0})) != unordered(exact({"a": 0}))
    assert unordered(exact({"a": "\U0001f600"})) == {"s61": "sd83d de00"}
    assert unordered(exact([True])) != unordered(exact([1]))


def test_the_parser_is_the_one_we_follow(javascript: node_process.NodeProcess) -> None:
    assert javascript.ask("version") == (True, "2.2.3")


@pytest.mark.long
@pytest.mark.parametrize(
    ("question", "ours"),
    [
        ("first letters", lambda c: _json5._is_letter(c, False)),
        ("later letters", lambda c: _json5._is_letter(c, True)),
        ("white space", lambda c: _json5._SKIP.match(c).end() == 1),  # type: ignore[union-attr]
    ],
)
def test_every_character_of_unicode(javascript: node_process.NodeProcess, question: str, ours: Any) -> None:
    ok, ranges = javascript.ask(question)
    assert ok
    theirs = {code for first, last in ranges for code in range(first, last + 1)}
    differing = [code for code in range(sys.maxunicode + 1) if ours(chr(code)) != (code in theirs)]
    assert differing == []
    assert len(theirs) > 20


def test_external_suites(javascript: node_process.NodeProcess) -> None:
    answers: dict[bool | None, set[str]] = {True: set(), False: set(), None: set()}
    for name, content in [*json5_suites.json_test_suite().items(), *json5_suites.json5_tests().items()]:
        with contextlib.suppress(UnicodeDecodeError):
            answers[compare(javascript, content.decode("utf-8"))].add(name)
    assert answers[None] == {
        "y_object_duplicated_key.json",
        "y_object_duplicated_key_and_value.json",
        "n_object_repeated_null_null.json",
        "objects/duplicate-keys.json",
        "i_structure_500_nested_arrays.json",
    }
    assert len(answers[True]) > 200
    assert len(answers[False]) > 150


CASES = [
    "", " ", "//", "/**/", "/*", "/* *", "1 2", "{} {}", "[1,,2]", "[,]", "{,}", "{a:1,,}", "[01]", "[0x]",
    "[0xg]", "[1.]", "[.]", "[.e1]", "[1e]", "[1e+]", "[+ 1]", "[--1]", "[-0]", "[-0.0]", "[+0]", "[0]",
    "[-0x0]", "[-NaN]", "[+Infinity]", "[Infinit]", "[nul]", "[nulll]", "[truefalse]", "[1true]", '["a"b]',
    "{a b:1}", "{1:1}", "{a-b:1}", "{'a':1}", "{null:1,true:2,NaN:3,Infinity:4}", "{\\u0061:1}",
    "{\\u0031:1}", "{a\\u0031:1}", "{\\x61:1}", "{a\\:1}", "{\u200c:1}", "{a\u200c:1}", "{\xe9:1}",
    "{\U00010400:1}", "{\\ud801\\udc00:1}", "['\\\n']", "['\\\r\n']", "['\\\r']", "['\\\u2028']",
    "['\u2028']", "['\n']", "['\r']", "['\t']", "['\\0']", "['\\01']", "['\\1']", "['\\9']", "['\\x4']",
    "['\\u004']", "['\\ud83d\\ude00']", "['\\ud83d\\\n\\ude00']", "['\\ude00\\ud83d']",
    '[\'\\a\\\'\\"\\/\\v\\z\']', '[\'it"s\']', '["it\'s"]', "[1,]", "[1,\n// c\n]", "{a:1,}", "\ufeff{}",
    "{}\ufeff", "[1//c\r]", "[1//c\u2028]", "[1//c\x85]", "\x85[]", "\u180e[]",
    "[9007199254740993, 18446744073709551617, 1e21, 1e400, -1e400, 5e-324, 1e-400]", "[0xFFFFFFFFFFFFFFFFF]",
    "[123456789012345678901234567890.5]", "[" + "9" * 400 + "]", "[0.1, 1.7976931348623159e308]",
    '{"__proto__": {"a": 1}}', "{__proto__: 1, constructor: 2, prototype: 3}", '{"a": {"__proto__": []}}',
    '{"": 1}', "{a:1}}", "[1]]", "{a:1", "[1", '"', "'", '"\\', '"\\u', "-", "+", "{a", "{a:", "{a:1,", "]",
    "}", ":", ",", "a", "a:1", "/", "[1/2]", "[/]", "[1]/", "[1]/*", "[1]//", "{a/**/:/**/1/**/,/**/}",
    "null", "true", "undefined", "[undefined]", "{a:undefined}", "{a:1;}", "{a=1}", "`a`", "[\\u0031]",
    "\x00", "[\x00]", '["\x00\x1f\x7f"]', "\u3000[\u2003]\u205f",
]  # fmt: skip


@pytest.mark.parametrize("text", CASES)
def test_cases(javascript: node_process.NodeProcess, text: str) -> None:
    compare(javascript, text)


FRAGMENTS = [
    "{", "}", "[", "]", ":", ",", '"', "'", "\\", "/", "*", "//", "/*", "*/", "\n", "\r", " ", "a", "b", "$", "0", "1",
    "9", "-", "+", ".", "e", "x", "\\u", "\\x", "0041", "d83d", "null", "true", "Infinity", "NaN", "\ufeff", "\u2028",
    "é", "\u200c", "\ud83d", "\ude00", "{a:", "'s'", '"t"', "[1,", "1.5e3", "0x1F", "\t", "\u00a0", "\x0b",
    "\U00010400",
]  # fmt: skip


@settings(max_examples=1200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=14), st.sampled_from(["", "[", "{", "{a:", "['"]))
def test_random_fragments(javascript: node_process.NodeProcess, fragments: list[str], start: str) -> None:
    text = start + "".join(fragments)
    closing = {"": "", "[": "]", "{": "}", "{a:": "}", "['": "']"}[start]
    # A decoded file has no split surrogate pairs.
    for candidate in (text, text + closing):
        whole = candidate.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        compare(javascript, whole)


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_mutated_documents(javascript: node_process.NodeProcess, data: Any) -> None:
    text = data.draw(
        st.sampled_from(
            [
                "// top\n{ a: 1, 'b': [0x1F, .5, +2e3, -Infinity], \"c\": { d: null, /* e */ e: 'x\\\ny', }, }\n",
                '{"gateway": {"mode": "local", "port": 18789}, "list": [true, false, "\\u00e9\\n"]}',
            ]
        )
    )
    for _mutation in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(text)))
        dropped = data.draw(st.integers(0, 2))
        text = text[:position] + data.draw(st.sampled_from(["", *FRAGMENTS])) + text[position + dropped :]
    compare(javascript, text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass"))


def documentation_examples() -> list[tuple[str, str]]:
    """Every fenced json and json5 block of OpenClaw's documentation: place and text."""
    found = []
    fence = re.compile(r"^([ \t]*)```(?:json5?|jsonc)\b[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
    folder = node_process.openclaw() / "docs"
    for path in sorted([*folder.rglob("*.md"), *folder.rglob("*.mdx")]):
        content = path.read_text(encoding="utf-8")
        for match in fence.finditer(content):
            line = content.count("\n", 0, match.start()) + 1
            found.append((f"{path.relative_to(folder)}:{line}", match.group(2)))
    return found


def test_documentation_examples(javascript: node_process.NodeProcess) -> None:
    examples = documentation_examples()
    accepted = 0
    for place, text in examples:
        if not compare(javascript, text):
            continue
        accepted += 1
        value = _json5.loads(text)
        assert _json5.edit(text, []) == text, place
        assert _json5.edit(text, [_json5.Set((), value)]) == text, place
        if not isinstance(value, dict):
            continue
        assert _json5.merge_patch(text, value) == text or None in flat(value), place
        added = _json5.merge_patch(text, {"added": {"list": ["x", {"y": 1}]}})
        assert _json5.same(_json5.loads(added), {**value, "added": {"list": ["x", {"y": 1}]}}), place
        if "added" not in value and value:
            assert _json5.edit(added, [_json5.Remove(("added",))]) == text, place
        for key, child in value.items():
            rest = {name: item for name, item in value.items() if name != key}
            removed = _json5.merge_patch(text, {key: None})
            assert _json5.same(_json5.loads(removed), rest), place
            assert compare(javascript, removed) is True, place
            if isinstance(child, dict):
                for name in child:
                    inner = _json5.edit(text, [_json5.Set((key, name), "changed")])
                    node = _json5.parse(text).find((key, name))
                    assert node is not None
                    assert inner[: node.start] == text[: node.start], place
                    assert inner.endswith(text[node.end :]), place
    # Most blocks are whole documents; the others are fragments that JavaScript refuses as well.
    assert accepted > 300, f"{accepted} of {len(examples)}"


def flat(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for child in value.values() for leaf in flat(child)]
    return [value]


def test_what_we_write_is_what_javascript_reads(javascript: node_process.NodeProcess) -> None:
    value = {
        "text": "\u2028 \ufeff \ud800 \U0001f600 \x00 \x7f ' \" \\ \n",
        "numbers": [0, -1, 1.5, 1e300, 5e-324, 2**53, 10**25, -0.0],
        "keys": {"a b": 1, "": 2, "\u2029": 3, "0": 4},
    }
    for text in ("{}", "{x: 1}", "{ 'x': 'y' }", '{"x":1}', "{\r\n\tx: 1,\r\n}"):
        written = _json5.merge_patch(text, value)
        assert compare(javascript, written) is True
        ok, theirs = javascript.ask(written)
        assert ok
        merged = {**_json5.loads(text), **value}
        assert unordered(theirs) == unordered(exact(merged))
        if text.startswith('{"') or text == "{}":
            assert _json5.same(json.loads(written), merged)
