# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Properties that hold for any JSON5 text, any patch and any edit."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import re
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from ansible_collections.failclosed.openclaw.plugins.module_utils import _json5, _merge_patch

EXAMPLES = int(os.environ.get("FAILCLOSED_PROPERTY_EXAMPLES", "120"))
thorough = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))

KEYS = st.one_of(
    st.sampled_from(["a", "b", "c", "d", "port", "$x", "_", "é", "0", "a.b", "", "it's", 'say "x"', "\u2028", "null"]),
    st.text(max_size=4),
).filter(lambda key: key not in _json5.FORBIDDEN_KEYS)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=-3, max_value=3),
    st.integers(min_value=2**53, max_value=2**80),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(["//x", "/*", "*/", "\\", "'", '"', "\n", "\r\n", "\ud800", "\U0001f600", "\ufeff"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=5)
IDENTIFIER = re.compile(r"[A-Za-z_$é][A-Za-z0-9_$é]*")


@st.composite
def gaps(draw: Any) -> str:
    """Any white space and comments."""
    return "".join(
        draw(
            st.lists(
                st.sampled_from(
                    ["", "", "", " ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u2028", "\r",
                     "// c, } ]\n", "//\r\n", "/* c */", "/* a: 1,\n * b */", "/**/", "/***/"]
                ),
                max_size=3,
            )
        )
    )  # fmt: skip


def written_string(draw: Any, value: str) -> str:
    quote = draw(st.sampled_from("\"'"))
    parts = []
    for character in value:
        code = ord(character)
        forms = [f"\\u{code:04X}"] if code < 0x10000 else []
        if code < 0x100:
            forms.append(f"\\x{code:02x}")
        if character not in "\\\n\r" + quote:
            forms += [character] * 5
        if character in "\\'\"":
            forms.append("\\" + character)
        if character in "\n\r\t":
            forms.append({"\n": "\\n", "\r": "\\r", "\t": "\\t"}[character])
        parts.append(draw(st.sampled_from(forms)))
        if draw(st.integers(0, 30)) == 0:
            parts.append("\\\n")
    # A raw high surrogate would pair up with an escaped low one.
    return quote + "".join(parts) + quote


def written(draw: Any, value: Any) -> str:
    """``value`` written as JSON5 in any of its ways."""
    gap = gaps()
    if isinstance(value, dict):
        members = []
        for key, child in value.items():
            name = written_string(draw, key)
            if IDENTIFIER.fullmatch(key) and draw(st.booleans()):
                name = key
            members.append(f"{draw(gap)}{name}{draw(gap)}:{draw(gap)}{written(draw, child)}{draw(gap)}")
        end = "," + draw(gap) if members and draw(st.booleans()) else ""
        return "{" + (",".join(members) + end if members else draw(gap)) + "}"
    if isinstance(value, list):
        elements = [f"{draw(gap)}{written(draw, child)}{draw(gap)}" for child in value]
        end = "," + draw(gap) if elements and draw(st.booleans()) else ""
        return "[" + (",".join(elements) + end if elements else draw(gap)) + "]"
    if isinstance(value, str):
        return written_string(draw, value)
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int) and draw(st.booleans()):
        sign = "-" if value < 0 else draw(st.sampled_from(["", "+"]))
        return sign + draw(st.sampled_from([hex(abs(value)), hex(abs(value)).upper().replace("0X", "0X")]))
    return repr(value)


@st.composite
def texts(draw: Any, values: Any = VALUES) -> tuple[str, Any]:
    value = draw(values)
    assume("\ud800" not in json.dumps(value, ensure_ascii=False))
    text = draw(gaps()) + written(draw, value) + draw(gaps())
    return draw(st.sampled_from(["", "\ufeff"])) + text, value


@thorough
@given(texts())
def test_a_text_has_the_value_it_was_written_from(case: tuple[str, Any]) -> None:
    text, value = case
    assert _json5.same(_json5.loads(text), value)


@thorough
@given(texts(OBJECTS), VALUES)
def test_editing_commutes_with_parsing(case: tuple[str, Any], patch: Any) -> None:
    text, value = case
    result = _json5.merge_patch(text, patch)
    assert _json5.same(_json5.loads(result), _merge_patch.apply(value, patch))


@st.composite
def overlapping(draw: Any, value: Any) -> Any:
    """A patch that meets what is there: keeps, changes and removes members at any depth."""
    if not isinstance(value, dict) or draw(st.integers(0, 4)) == 0:
        return draw(st.one_of(st.just(value), VALUES))
    patch = {}
    for key, child in value.items():
        action = draw(st.sampled_from(["leave", "remove", "same", "inside", "inside", "other"]))
        if action == "remove":
            patch[key] = None
        elif action == "same":
            patch[key] = child
        elif action == "inside":
            patch[key] = draw(overlapping(child))
        elif action == "other":
            patch[key] = draw(VALUES)
    patch.update(draw(st.dictionaries(KEYS, VALUES, max_size=2)))
    return patch


@thorough
@given(st.data(), texts(OBJECTS))
def test_editing_what_is_there_commutes_with_parsing(data: Any, case: tuple[str, Any]) -> None:
    text, value = case
    patch = data.draw(overlapping(value))
    result = _json5.merge_patch(text, patch)
    assert _json5.same(_json5.loads(result), _merge_patch.apply(value, patch))
    assert _json5.merge_patch(result, patch) == result
    try:
        result.encode("utf-8")
    except UnicodeEncodeError:
        text.encode("utf-8")
        raise


@thorough
@given(texts(OBJECTS))
def test_the_empty_patch_is_the_identity(case: tuple[str, Any]) -> None:
    text, value = case
    assert _json5.merge_patch(text, {}) == text
    assert _json5.edit(text, []) == text
    assert _json5.edit(text, [_json5.Set((), value)]) == text


def reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(value)}
    if isinstance(value, list):
        return [reordered(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and float(value if abs(value) < 2**53 else 0) == value:
        return float(value)
    return value


@thorough
@given(texts(OBJECTS))
def test_an_equal_value_in_other_words_changes_nothing(case: tuple[str, Any]) -> None:
    text, value = case
    assert _json5.edit(text, [_json5.Set((), reordered(value))]) == text


@thorough
@given(st.data(), texts())
def test_set_makes_equal(data: Any, case: tuple[str, Any]) -> None:
    text, value = case
    wanted = data.draw(st.one_of(VALUES, overlapping(value)))
    result = _json5.edit(text, [_json5.Set((), wanted)])
    assert _json5.same(_json5.loads(result), wanted)
    assert _json5.edit(result, [_json5.Set((), wanted)]) == result


def paths(value: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [prefix]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        found.extend(paths(child, (*prefix, key)))
    return found


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for segment in path:
        value = value[segment]
    return value


@thorough
@given(st.data(), texts(st.one_of(OBJECTS, st.lists(VALUES, max_size=5))))
def test_any_sequence_of_edits_does_what_it_says(data: Any, case: tuple[str, Any]) -> None:
    text, value = case
    value = copy.deepcopy(value)
    edits: list[Any] = []
    for _step in range(data.draw(st.integers(1, 4))):
        path = data.draw(st.sampled_from(paths(value)))
        new = data.draw(VALUES)
        holder = at(value, path)
        action = data.draw(st.sampled_from(["set", "insert", "remove"]))
        if action == "remove" and path:
            edits.append(_json5.Remove(path))
            del at(value, path[:-1])[path[-1]]
        elif action == "insert" and isinstance(holder, list):
            index = data.draw(st.integers(0, len(holder)))
            edits.append(_json5.Insert((*path, index), copy.deepcopy(new)))
            holder.insert(index, new)
        elif action == "insert" and isinstance(holder, dict):
            key = data.draw(KEYS)
            if key not in holder:
                edits.append(_json5.Insert((*path, key), copy.deepcopy(new)))
                holder[key] = new
        elif path:
            edits.append(_json5.Set(path, copy.deepcopy(new)))
            at(value, path[:-1])[path[-1]] = new
    assert _json5.same(_json5.loads(_json5.edit(text, edits)), value)


@thorough
@given(
    OBJECTS,
    st.data(),
    st.sampled_from([None, 0, 2, 4, "\t"]),
    st.sampled_from([(",", ":"), (", ", ": "), None]),
)
def test_a_json_file_stays_a_json_file(value: Any, data: Any, indent: Any, separators: Any) -> None:
    text = json.dumps(value, indent=indent, separators=separators)
    patch = data.draw(overlapping(value))
    result = _json5.merge_patch(text, patch)
    assert json.loads(result) == _merge_patch.apply(value, patch)


@thorough
@given(OBJECTS, st.data(), st.sampled_from([2, 4, "\t"]))
def test_a_file_of_a_json_writer_looks_as_if_that_writer_had_made_the_change(
    value: Any, data: Any, indent: Any
) -> None:
    """JSON.stringify(value, null, indent) is what OpenClaw itself writes."""
    assume(any(isinstance(child, (dict, list)) and child for child in value.values()))
    patch = data.draw(overlapping(value))
    result = _json5.merge_patch(json.dumps(value, indent=indent, ensure_ascii=False), patch)
    after = json.loads(result)

    def layout(content: str) -> list[str]:
        # Escapes may differ: ours also writes the line separators of JavaScript as escapes.
        return [line[: len(line) - len(line.lstrip(" \t"))] for line in content.split("\n")]

    assert layout(result) == layout(json.dumps(after, indent=indent))


# --- what stays, byte for byte ----------------------------------------------------------------

TOKEN = re.compile(
    r"""(?P<comment>//[^\n\r\u2028\u2029]*|/\*[\s\S]*?\*/)"""
    r"""|(?P<string>"(?:[^"\\]|\\[\s\S])*"|'(?:[^'\\]|\\[\s\S])*')"""
    r"""|(?P<punctuation>[{}\[\]:,])|(?P<word>[^\s{}\[\]:,"'/\ufeff]+)"""
)


def outside(text: str, touched: list[tuple[Any, ...]]) -> list[str]:
    """All tokens of the text but commas and what lies in the members at the touched paths.

    A token that starts a line comes with the indentation of the line, except brackets: those of
    a container that becomes empty move together.
    """
    document = _json5.parse(text)
    spans = []
    for path in touched:
        node = document.find(path)
        if node is not None:
            spans.append((node.key_start, node.end))
    found = []
    for match in TOKEN.finditer(text):
        token = match.group()
        if token == "," or any(start <= match.start() < end for start, end in spans):
            continue
        line = text[max(text.rfind("\n", 0, match.start()), 0) : match.start()]
        found.append(token if token in "{}[]" or line.strip() else line + token)
    return found


@st.composite
def laid_out(draw: Any) -> tuple[str, Any, dict[str, tuple[str, ...] | None]]:
    """A hand-written file: text, value, and the path of the member each comment belongs to."""
    owners: dict[str, tuple[str, ...] | None] = {}
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    unit = draw(st.sampled_from(["  ", "    ", "\t"]))
    trailing = draw(st.booleans())
    quote = draw(st.sampled_from(["", '"', "'"]))

    def comment(owner: tuple[str, ...] | None, line_allowed: bool = True) -> str:
        name = f"c{len(owners)}."
        owners[name] = owner
        if line_allowed and draw(st.booleans()):
            return f"// {name}"
        return f"/* {name} */"

    def block(value: dict[str, Any], path: tuple[str, ...], indent: str) -> str:
        lines = [""]
        inner = indent + unit
        if draw(st.integers(0, 5)) == 0:
            lines[0] += " " + comment(None)
        for number, (key, child) in enumerate(value.items()):
            here = (*path, key)
            if draw(st.integers(0, 5)) == 0:
                lines += [inner + comment(None), ""]
            for _line in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
                lines.append(inner + comment(here))
            last = number + 1 == len(value)
            body = block(child, here, inner) if isinstance(child, dict) and child else json.dumps(child)
            line = f"{inner}{quote}{key}{quote}: "
            if draw(st.integers(0, 8)) == 0:
                line += comment(here, False) + " "
            line += body
            if draw(st.integers(0, 8)) == 0:
                line += " " + comment(here, False)
            line += "," if not last or trailing else ""
            if draw(st.integers(0, 3)) == 0:
                line += "  " + comment(here)
            lines.append(line)
        if draw(st.integers(0, 5)) == 0:
            lines += ["", inner + comment(None)]
        return "{" + newline.join(lines) + newline + indent + "}"

    names = st.text("abcdefgh", min_size=1, max_size=2)
    tree = st.recursive(
        st.one_of(st.integers(0, 9), st.text("xyz", max_size=3), st.booleans(), st.just([1, 2])),
        lambda inner: st.dictionaries(names, inner, max_size=4),
        max_leaves=10,
    )
    value = draw(st.dictionaries(names, tree, min_size=1, max_size=5))
    head = comment(None) + newline if draw(st.booleans()) else ""
    return head + block(value, (), "") + newline, value, owners


@thorough
@given(st.data(), laid_out())
def test_bytes_outside_the_touched_members_stay(data: Any, case: Any) -> None:
    text, value, owners = case
    patch = data.draw(overlapping(value))
    assume(isinstance(patch, dict))
    result = _json5.merge_patch(text, patch)
    after = _merge_patch.apply(value, patch)
    touched = _merge_patch.changed_paths(value, after)

    def is_gone(owner: tuple[str, ...] | None) -> bool:
        return owner is not None and any(
            owner[: depth + 1] == path and not has(after, path) for path in touched for depth in range(len(owner))
        )

    def has(tree: Any, path: tuple[str, ...]) -> bool:
        for segment in path:
            if not isinstance(tree, dict) or segment not in tree:
                return False
            tree = tree[segment]
        return True

    gone = {name for name, owner in owners.items() if is_gone(owner)}
    expected = [
        token
        for token in outside(text, touched)
        if not (token.lstrip().startswith("/") and any(f" {name}" in token for name in gone))
    ]
    assert outside(result, touched) == expected
    assert not any(f" {name}" in result for name in gone)
    if "\r\n" in text:
        assert "\n" not in result.replace("\r\n", "")
    else:
        assert "\r" not in result


@thorough
@given(st.data(), laid_out())
def test_replacing_a_scalar_replaces_exactly_its_characters(data: Any, case: Any) -> None:
    text, value, _owners = case
    scalars = [path for path in paths(value) if path and not isinstance(at(value, path), (dict, list))]
    assume(scalars)
    path = data.draw(st.sampled_from(scalars))
    assume(not any(isinstance(segment, int) for segment in path))
    node = _json5.parse(text).find(path)
    assert node is not None
    result = _json5.edit(text, [_json5.Set(path, 12345)])
    assert result == text[: node.start] + "12345" + text[node.end :]


@thorough
@given(st.data(), laid_out())
def test_adding_and_removing_a_member_is_the_identity(data: Any, case: Any) -> None:
    text, value, _owners = case
    holders = [path for path in paths(value) if isinstance(at(value, path), dict) and at(value, path)]
    path = data.draw(st.sampled_from(holders))
    added = _json5.edit(text, [_json5.Insert((*path, "zzz"), data.draw(VALUES))])
    assert added != text
    assert _json5.edit(added, [_json5.Remove((*path, "zzz"))]) == text


# --- hostile text -----------------------------------------------------------------------------

FRAGMENTS = st.lists(
    st.sampled_from(
        ["{", "}", "[", "]", ":", ",", '"', "'", "\\", "/", "*", "//", "/*", "*/", "\n", "\r", " ",
         "a", "0", "1", "-", "+", ".", "e", "x", "\\u", "\\x", "0041", "null", "true", "Infinity",
         "NaN", "\ufeff", "\u2028", "é", "\ud800", "\udc00", "__proto__", "key:", "'s'", "1e9"]
    ),
    max_size=25,
)  # fmt: skip


@thorough
@given(FRAGMENTS)
@example(["{", "a", ":"])
def test_any_text_is_read_or_refused_with_a_position_inside_it(fragments: list[str]) -> None:
    text = "".join(fragments)
    try:
        _json5.loads(text)
    except _json5.Json5Error as error:
        lines = re.split("\r\n|\n|\r", text)
        assert 1 <= error.line <= len(lines)
        assert 1 <= error.column <= len(lines[error.line - 1]) + 2


@thorough
@given(st.text(max_size=30))
def test_any_characters_are_read_or_refused(text: str) -> None:
    with contextlib.suppress(_json5.Json5Error):
        _json5.loads(text)


@thorough
@given(st.data())
def test_an_error_never_shows_a_value(data: Any) -> None:
    canary = "Xq7canary9"
    text = json.dumps({"token": canary, "list": [canary], "number": 7319507731950}, indent=1)
    at = data.draw(st.integers(0, len(text)))
    drop = data.draw(st.integers(0, 3))
    broken = text[:at] + data.draw(st.sampled_from(["", "'", '"', "\\", "{", "[", "\n", ":", "#"])) + text[at + drop :]
    try:
        _json5.merge_patch(broken, {})
    except _json5.Json5Error as error:
        seen = str(error) + repr(error) + repr(error.__cause__) + repr(error.args)
        for size in range(4, len(canary)):
            assert canary[:size] not in seen
        assert "73195" not in seen


@pytest.mark.parametrize("size", [20_000])
@pytest.mark.parametrize(
    "unit", ["/**/", "//\n", "/*", " ", "\\", '"', "'", "[", "{", "{a:", "[[],", "\\u0041", "0", "-", "a", ","]
)
def test_repetition_does_not_take_more_than_linear_time(unit: str, size: int) -> None:
    def cost(count: int) -> float:
        worst = 0.0
        for text in ('["' + unit * count, "[" + unit * count, "{a:" + unit * count + "}"):
            start = time.process_time()
            with contextlib.suppress(_json5.Json5Error):
                _json5.loads(text)
            worst = max(worst, time.process_time() - start)
        return worst

    assert cost(size * 8) < 0.1 + 30 * cost(size)
