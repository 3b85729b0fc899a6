# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import pytest

from ansible_collections.failclosed.openclaw.plugins.module_utils import _json5
from ansible_collections.failclosed.openclaw.plugins.module_utils._json5 import Insert, Json5Error, Remove, Set

# --- reading ----------------------------------------------------------------------------------


def test_it_works_outside_ansible_with_the_standard_library_alone() -> None:
    code = (
        "import importlib.util, sys\n"
        "spec = importlib.util.spec_from_file_location('json5_alone', sys.argv[1])\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
        "assert module.loads('{a: [1, 0x10,],}') == {'a': [1, 16]}\n"
        "assert module.merge_patch('{a: 0x1, b: 2,}', {'b': 3}) == '{a: 0x1, b: 3,}'\n"
        "assert not [name for name in sys.modules if name.startswith('ansible')]\n"
    )
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, _json5.__file__], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("9007199254740993", 9007199254740993),
        ("1" + "0" * 400, 10**400),
        ("0x" + "f" * 40, 16**40 - 1),
        ("-0x10", -16),
        ("1.0", 1.0),
        ("1e3", 1000.0),
        ("1e400", math.inf),
        (".5", 0.5),
        ("5.", 5.0),
        ("'\\ud83d\\ude00'", "\U0001f600"),
        ("'\\ud83d'", "\ud83d"),
        ("{__proto__: {x: 1}}", {"__proto__": {"x": 1}}),
        ("\ufeff {}", {}),
    ],
)
def test_values(text: str, value: Any) -> None:
    result = _json5.loads(text)
    assert result == value
    assert type(result) is type(value)


def test_negative_zero_and_nan() -> None:
    assert math.copysign(1, _json5.loads("-0")) == -1
    assert math.isnan(_json5.loads("NaN"))
    assert _json5.same(_json5.loads("[-0, NaN]"), [0, math.nan])


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (0, None, False),
        ("1", 1, False),
        (math.nan, math.nan, True),
        (math.nan, 1, False),
        (0.0, -0.0, True),
        (2**53, 2**53 + 1, False),
        (float(2**53), 2**53, True),
        ([1, 2], [2, 1], False),
        ({"a": 1, "b": 2}, {"b": 2.0, "a": 1}, True),
        ({"a": 1}, {"a": 1, "b": None}, False),
        ({"a": None}, {"b": None}, False),
        ([], {}, False),
        ([None], [None], True),
    ],
)
def test_same(left: Any, right: Any, equal: bool) -> None:
    for pair in ((left, right), (right, left)):
        assert _json5.same(*pair) is equal


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("", 1, 1, "ends where a value is expected"),
        ("{\n  a: 1\n  b: 2\n}", 3, 3, "expected , or } after this member"),
        ("{\r\n  a: 1\r\n  b: 2\r\n}", 3, 3, "expected , or }"),
        ("[1\r2]", 2, 1, "expected , or ]"),
        ("{\n\n a: [1,\n", 4, 1, "ends where a value is expected"),
        ("{\n a: {b: 1", 2, 10, "container that starts on line 2"),
        ("{a: 1} x", 1, 8, "expected the end of the text"),
        ("{a 1}", 1, 4, "expected : after the key"),
        ("{a: 1, -: 2}", 1, 8, "expected a key or }"),
        ("{a: 'x\ny'}", 1, 7, "line break inside a string"),
        ("{a: 'xy}", 1, 5, "string has no end"),
        ("{a: 1 /* }", 1, 7, "comment has no end"),
        ("{a: '\\u12'}", 1, 8, "4 hexadecimal digits"),
        ("{a: '\\01'}", 1, 6, "must not be followed by a digit"),
        ("{a: '\\7'}", 1, 6, "octal"),
        ("{a\\n: 1}", 1, 3, "only \\uXXXX escapes"),
        ("{a: ]", 1, 5, "expected a value"),
        ("[" + "9" * 3501 + "]", 1, 2, "integer of more than 3500 characters"),
        ("[" * 201, 1, 201, "nested more than 200 levels deep"),
    ],
)
def test_errors_say_where_and_what(text: str, line: int, column: int, words: str) -> None:
    with pytest.raises(Json5Error) as caught:
        _json5.loads(text)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert words in caught.value.reason
    assert str(caught.value) == f"line {line}, column {column}: {caught.value.reason}"
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("second", ["port", '"port"', "'po\\x72t'", "p\\u006frt"])
def test_a_duplicate_key_names_both_lines(second: str) -> None:
    with pytest.raises(Json5Error) as caught:
        _json5.loads("{\n  port: 1,\n  other: {port: 2},\n\n  " + second + ": 3,\n}")
    assert '"port"' in str(caught.value)
    assert "on line 2 and on line 5" in str(caught.value)
    assert (caught.value.line, caught.value.column) == (5, 3)


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = "[" * _json5.MAX_DEPTH + "]" * _json5.MAX_DEPTH
    assert _json5.edit(deep, []) == deep
    with pytest.raises(Json5Error, match="at most"):
        _json5.loads(" " * (_json5.MAX_LENGTH + 1))
    with pytest.raises(Json5Error, match="bytes"):
        _json5.decode(b" " * (4 * _json5.MAX_LENGTH + 1))
    monkeypatch.setattr(_json5, "MAX_VALUES", 3)
    assert _json5.loads("[1, 2]") == [1, 2]
    with pytest.raises(Json5Error, match="more than 3 values"):
        _json5.loads("[1, 2, 3]")


def test_decode_keeps_everything_and_says_where_it_cannot() -> None:
    assert _json5.decode("\ufeff{\r\n}\r".encode()) == "\ufeff{\r\n}\r"
    with pytest.raises(Json5Error) as caught:
        _json5.decode(b"{\n  a: '\xc3\xa9\xff'}")
    assert (caught.value.line, caught.value.column) == (2, 8)
    assert caught.value.__cause__ is None
    assert "xff" not in str(caught.value)


def test_the_document_knows_where_things_are() -> None:
    text = "// c\n{ 'a': [1, {b: 'x'}],\n  c: null }"
    document = _json5.parse(text)
    node = document.find(("a", 1, "b"))
    assert node is not None
    assert text[node.start : node.end] == "'x'"
    assert text[node.key_start : node.key_end] == "b"
    assert document.position(node) == (2, 13)
    assert document.position(document.root) == (2, 1)
    missing: list[tuple[Any, ...]] = [("x",), ("a", 2), ("a", -1), ("a", "1"), ("a", 0, "x"), ("c", 0), ("a", True)]
    for path in missing:
        assert document.find(path) is None


# --- merge patch: text, patch, result ---------------------------------------------------------

COMMENTED = """\
// head
{
  // about a
  a: 1, // behind a
        // still behind a

  // a section, set apart

  /* about b */
  "b": { x: [1,2, 3], y: "s" }, // behind b
  c: +0x1F /* behind c */, /* about d */ d: 1.50, // behind d

  // last words
}
// tail
"""

PATCHES: list[tuple[str, str, Any, str]] = [
    ("scalar", "{a: 1, b: 2}", {"a": True}, "{a: true, b: 2}"),
    ("number spelling stays", "{a: 0x10, b: 1.50}", {"a": 16.0, "b": 1.5}, "{a: 0x10, b: 1.50}"),
    ("key order stays", "{b: 1, a: 2}", {"a": 3, "b": 4}, "{b: 4, a: 3}"),
    ("add inline", "{ a: 1 }", {"b": "x"}, "{ a: 1, b: \"x\" }"),
    ("add inline, trailing comma", "{ a: 1, }", {"b": 2}, "{ a: 1, b: 2, }"),
    ("add minified", '{"a":1,"b":[1,2]}', {"c": {"d": [1, 2]}}, '{"a":1,"b":[1,2],"c":{"d":[1,2]}}'),
    ("add to empty root", "{}", {"a": 1}, '{\n  "a": 1\n}'),
    ("add to empty root behind a comment", "/* c */ {}\n", {"a": 1}, '/* c */ {\n  "a": 1\n}\n'),
    ("add to empty inline", "{ a: {} }", {"a": {"b": 1}}, "{ a: { b: 1 } }"),
    ("add to empty own line", "{\n    a: {},\n}", {"a": {"b": 1}}, "{\n    a: {\n        b: 1,\n    },\n}"),
    ("add to empty with comment", "{\n  // none yet\n}", {"a": 1}, '{\n  // none yet\n  "a": 1\n}'),
    ("add behind line comment", "{ a: 1 // one\n}", {"b": 2}, "{ a: 1, // one\nb: 2\n}"),
    ("add at end", "{\n  a: 1\n}", {"b": 2}, "{\n  a: 1,\n  b: 2\n}"),
    ("add behind trailing comment", "{\n  a: 1, // c\n}", {"b": 2}, "{\n  a: 1, // c\n  b: 2,\n}"),
    ("add behind comment without comma", "{\n  a: 1 // c\n}", {"b": 2}, "{\n  a: 1, // c\n  b: 2\n}"),
    ("add before last words", "{\n  a: 1\n\n  // end\n}", {"b": 2}, "{\n  a: 1,\n  b: 2\n\n  // end\n}"),
    ("add tabs and CRLF", "{\r\n\ta: 1\r\n}", {"b": {"c": 1}}, "{\r\n\ta: 1,\r\n\tb: {\r\n\t\tc: 1\r\n\t}\r\n}"),
    ("add with BOM", '\ufeff{\n "a": 1\n}', {"b": 2}, '\ufeff{\n "a": 1,\n "b": 2\n}'),
    ("add single quoted", "{\n  'a': 'x',\n}", {"b": "it's"}, "{\n  'a': 'x',\n  'b': \"it's\",\n}"),
    ("add unquoted", "{\n  a: 'x',\n}", {"b.c": "y"}, "{\n  a: 'x',\n  'b.c': 'y',\n}"),
    ("add colon style", '{"a" : 1}', {"b": 2}, '{"a" : 1, "b" : 2}'),
    ("replace by null value inside array", "{a: [1]}", {"a": [None]}, "{a: [null]}"),
    ("remove first inline", "{ a: 1, b: 2 }", {"a": None}, "{ b: 2 }"),
    ("remove last inline", "{ a: 1, b: 2 }", {"b": None}, "{ a: 1 }"),
    ("remove last inline, trailing comma", "{ a: 1, b: 2, }", {"b": None}, "{ a: 1, }"),
    ("remove middle inline", "{a: 1, b: 2, c: 3}", {"b": None}, "{a: 1, c: 3}"),
    ("remove only", "{ a: 1 }", {"a": None}, "{}"),
    ("remove only, own line", "{\n  a: 1,\n}", {"a": None}, "{}"),
    ("remove last line", "{\n  a: 1,\n  b: 2\n}", {"b": None}, "{\n  a: 1\n}"),
    ("remove last line, trailing comma", "{\n  a: 1,\n  b: 2,\n}", {"b": None}, "{\n  a: 1,\n}"),
    ("remove keeps neighbour's comment", "{\n  a: 1, // one\n  b: 2\n}", {"b": None}, "{\n  a: 1 // one\n}"),
    ("remove leading comma style", "{ a: 1\n, b: 2\n, c: 3\n}", {"b": None}, "{ a: 1\n, c: 3\n}"),
    ("remove first, leading comma style", "{ a: 1\n, b: 2\n, c: 3\n}", {"a": None}, "{\nb: 2\n, c: 3\n}"),
    ("remove two, leading comma style", "{ a: 1\n, b: 2\n, c: 3\n}", {"a": None, "b": None}, "{\nc: 3\n}"),
    ("swap, leading comma style", "{ a: 1\n, b: 2\n, c: 3\n}", {"b": None, "d": 4}, "{ a: 1\n, c: 3, d: 4\n}"),
    ("remove last, leading comma style", "{ a: 1\n, b: 2\n, c: 3\n}", {"c": None}, "{ a: 1\n, b: 2\n}"),
    ("remove under a heading", "{ // head\n  a: 1,\n  b: 2,\n}", {"a": None}, "{ // head\n  b: 2,\n}"),
    ("remove behind a comment of nobody", "{ a: 1\n, // free\n  b: 2\n}", {"b": None}, "{ a: 1\n// free\n}"),
    ("remove beside a comment", "{ /* a */ a: 1, /* b */ b: 2 }", {"a": None}, "{ /* b */ b: 2 }"),
    ("remove above a last word", "[\n  1, 2, // one or two\n  // end\n]", [1], "[\n  1,\n  // end\n]"),
    ("remove all, keep comment", "{\n  // k\n\n  a: 1\n}", {"a": None}, "{\n  // k\n\n}"),
    ("remove absent", "{ a: 1 }", {"b": None, "c": {"d": None}}, "{ a: 1, c: {} }"),
    ("swap", "{\n  a: 1\n}", {"a": None, "b": 2}, "{\n  b: 2\n}"),
    ("object over scalar", "{\n  a: 1,\n}", {"a": {"b": [1]}}, "{\n  a: {\n    b: [\n      1,\n    ],\n  },\n}"),
    ("scalar over object", "{\n  a: {\n    b: 1, // c\n  },\n}", {"a": 1}, "{\n  a: 1,\n}"),
    ("root replaced", "// h\n{a: 1} // t\n", [1], "// h\n[\n  1\n] // t\n"),
    ("array grows", "{a: [1, /* two */ 2]}", {"a": [1, 2, 3]}, "{a: [1, /* two */ 2, 3]}"),
    ("array shrinks", "{a: [1, /* two */ 2, 3]}", {"a": [1, 3]}, "{a: [1, 3]}"),
    ("array head", "{a: [\n  2, // two\n]}", {"a": [1, 2]}, "{a: [\n  1,\n  2, // two\n]}"),
    ("array of objects", "{a: [{id: 1, /* k */ n: 2}]}", {"a": [{"id": 1, "n": 3}]}, "{a: [{id: 1, /* k */ n: 3}]}"),
    ("comment between", "{a /* 1 */ : /* 2 */ 1 /* 3 */, b: 2}", {"a": 2}, "{a /* 1 */ : /* 2 */ 2 /* 3 */, b: 2}"),
    (
        "a",
        COMMENTED,
        {"a": None},
        COMMENTED.replace("  // about a\n  a: 1, // behind a\n        // still behind a\n", ""),
    ),
    (
        "b",
        COMMENTED,
        {"b": None},
        COMMENTED.replace('  /* about b */\n  "b": { x: [1,2, 3], y: "s" }, // behind b\n', ""),
    ),
    ("c", COMMENTED, {"c": None}, COMMENTED.replace("c: +0x1F /* behind c */, ", "")),
    ("d", COMMENTED, {"d": None}, COMMENTED.replace(" /* about d */ d: 1.50, // behind d", "")),
    ("inside b", COMMENTED, {"b": {"x": [1, 2, 3, 4], "y": None}}, COMMENTED.replace('3], y: "s" ', "3, 4] ")),
    ("new", COMMENTED, {"e": 1}, COMMENTED.replace("// behind d\n", "// behind d\n  e: 1,\n")),
]  # fmt: skip


@pytest.mark.parametrize(("text", "patch", "result"), [case[1:] for case in PATCHES], ids=[case[0] for case in PATCHES])
def test_merge_patch(text: str, patch: Any, result: str) -> None:
    assert _json5.merge_patch(text, patch) == result
    assert _json5.merge_patch(result, patch) == result


def test_an_equal_patch_returns_the_very_text() -> None:
    assert _json5.merge_patch(COMMENTED, {}) is COMMENTED
    assert _json5.merge_patch(COMMENTED, {"a": 1.0, "c": 31, "b": {"x": [1, 2.0, 3]}, "z": None}) is COMMENTED


def test_new_text_follows_the_layout_of_the_file() -> None:
    compact = "{\n  list: ['a', 'b'],\n  deep: { x: 1 },\n}\n"
    assert _json5.merge_patch(compact, {"more": ["c", "d"], "obj": {"y": 1}}) == (
        "{\n  list: ['a', 'b'],\n  deep: { x: 1 },\n  more: ['c', 'd'],\n  obj: { y: 1 },\n}\n"
    )
    spread = '{\n  "list": [\n    "a"\n  ]\n}\n'
    expected = json.dumps({"list": ["a"], "more": ["c"], "obj": {"y": []}}, indent=2) + "\n"
    assert _json5.merge_patch(spread, {"more": ["c"], "obj": {"y": []}}) == expected


def test_a_long_value_does_not_become_a_long_line() -> None:
    result = _json5.merge_patch("{\n  a: [1],\n}", {"b": ["x" * 40, "y" * 40, "z" * 40]})
    assert max(map(len, result.splitlines())) < 60


@pytest.mark.parametrize(
    ("patch", "error", "words"),
    [
        ({"a": {"__proto__": {"x": 1}}}, ValueError, "__proto__"),
        ({"constructor": 1}, ValueError, "constructor"),
        ({"a": [{"prototype": None}]}, ValueError, "prototype"),
        ({"a": math.inf}, ValueError, "not finite"),
        ({"a": [math.nan]}, ValueError, "not finite"),
        ({"a": 10**5000}, ValueError, "3500 digits"),
        ({"a": (1, 2)}, TypeError, "type tuple"),
        ({"a": b"secret"}, TypeError, "type bytes"),
        ({1: 2}, TypeError, "keys are strings"),
    ],
)
def test_what_must_not_be_written_is_refused(patch: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        _json5.merge_patch("{a: 1}", patch)
    assert "secret" not in str(caught.value)


def test_a_patch_that_is_too_deep_or_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    deep: Any = 1
    for _level in range(_json5.MAX_DEPTH + 1):
        deep = [deep]
    with pytest.raises(ValueError, match="200 levels"):
        _json5.merge_patch("{}", {"a": deep})
    cyclic: dict[str, Any] = {}
    cyclic["a"] = cyclic
    with pytest.raises(ValueError, match="200 levels"):
        _json5.merge_patch("{}", cyclic)
    inner = deep[0][0]
    with pytest.raises(Json5Error, match="200 levels"):
        _json5.edit("[[[]]]", [Insert((0, 0, 0), inner)])
    monkeypatch.setattr(_json5, "MAX_VALUES", 10)
    with pytest.raises(ValueError, match="more than 10 values"):
        _json5.merge_patch("{}", {"a": list(range(20))})


def test_prototype_keys_that_are_there_stay_or_go() -> None:
    text = "{ __proto__: { a: 1 }, constructor: 2, b: 3 }"
    assert _json5.merge_patch(text, {"b": 4}) == text.replace("3", "4")
    assert _json5.merge_patch(text, {"__proto__": None, "constructor": None}) == "{ b: 3 }"
    with pytest.raises(ValueError, match="constructor"):
        _json5.edit(text, [Set(("constructor",), 1)])
    assert _json5.edit(text, [Remove(("constructor",))]) == "{ __proto__: { a: 1 }, b: 3 }"


# --- edits ------------------------------------------------------------------------------------

EDITS: list[tuple[str, list[Any], str]] = [
    ("{a: 1}", [Set(("a",), None)], "{a: null}"),
    ("{a: 1}", [Set(("b", "c", "d"), 1)], "{a: 1, b: {c: {d: 1}}}"),
    ("{a: [1]}", [Set(("a", 1), 2)], "{a: [1, 2]}"),
    ("{a: [1]}", [Set(("a", 0), 2)], "{a: [2]}"),
    ("[]", [Insert((0,), 1)], "[\n  1\n]"),
    ("[1, 3]", [Insert((1,), 2), Insert((0,), 0), Insert((4,), 4)], "[0, 1, 2, 3, 4]"),
    ("[1, 2, 3]", [Remove((1,)), Remove((1,))], "[1]"),
    ("{a: {b: 1}}", [Remove(("a", "b")), Set(("a", "c"), 2)], "{a: {c: 2}}"),
    ("{a: 1}", [Set(("b",), {}), Set(("b", "c"), []), Insert(("b", "c", 0), 5), Remove(("a",))], "{b: {c: [5]}}"),
    ("{a: 1, b: 2}", [Remove(("a",)), Set(("a",), 1)], "{b: 2, a: 1}"),
    ("{a: {b: 1, c: 2}, d: 3}", [Set(("a",), {"c": 2, "e": 4})], "{a: {c: 2, e: 4}, d: 3}"),
    ("{a: 1, b: [{c: 1}]}", [Set((), {"b": [{"c": 2}]})], "{b: [{c: 2}]}"),
    (
        "[\n  // one\n  1, // 1\n  // two\n  2, // 2\n]",
        [Remove((0,)), Insert((1,), 3)],
        "[\n  // two\n  2, // 2\n  3,\n]",
    ),
]


@pytest.mark.parametrize(("text", "edits", "result"), EDITS)
def test_edit(text: str, edits: list[Any], result: str) -> None:
    assert _json5.edit(text, edits) == result


@pytest.mark.parametrize(
    ("edits", "line", "words"),
    [
        ([Remove(("x",))], 1, 'no member "x"'),
        ([Remove(("a", "x"))], 2, 'no member "x"'),
        ([Remove(("a", "b", 2))], 3, "no element 2, the array has 2"),
        ([Set(("a", "b", 3), 1)], 3, "no element 3"),
        ([Insert(("a", "b", -1), 1)], 3, "no element -1"),
        ([Insert(("a",), 1)], 1, 'a member "a" already'),
        ([Insert(("x", "y"), 1)], 1, 'no member "x"'),
        ([Set(("a", 0), 1)], 2, "goes on with an index, but the value here is an object"),
        ([Set(("a", "b", "x"), 1)], 3, "goes on with a key, but the value here is an array"),
        ([Set(("a", "s", "x"), 1)], 4, "neither object nor array"),
        ([Remove(())], 1, "only Set"),
        ([Set(("new",), 1), Remove(("new", "x"))], 1, "neither object nor array"),
    ],
)
def test_an_edit_that_does_not_fit_is_refused(edits: list[Any], line: int, words: str) -> None:
    text = "{\n  a: {\n    b: [1, 2],\n    s: 'hidden',\n  },\n}"
    with pytest.raises(Json5Error) as caught:
        _json5.edit(text, edits)
    assert words in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert caught.value.line == line


def test_arguments_are_not_changed() -> None:
    value = {"b": {"c": [1]}}
    _json5.edit("{a: 1}", [Set(("a",), value), Set(("a", "b", "c", 0), 2), Remove(("a", "b", "c"))])
    assert value == {"b": {"c": [1]}}


def test_a_wrong_result_is_never_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_json5, "_write_scalar", lambda _value, _style: "7")
    with pytest.raises(AssertionError, match="nothing was changed"):
        _json5.merge_patch("{a: 1}", {"a": 2})
