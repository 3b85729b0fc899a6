# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON5 against suites that nobody here wrote. Needs the package index once; see json5_suites.py."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest

from ansible_collections.failclosed.openclaw.plugins.module_utils import _json5
from ansible_collections.failclosed.openclaw.tests.unit.plugins.module_utils import json5_suites

pytestmark = pytest.mark.registry

DUPLICATE_KEYS = {
    "y_object_duplicated_key.json",
    "y_object_duplicated_key_and_value.json",
    "objects/duplicate-keys.json",
}
# What JSON forbids and JSON5 allows.
VALID_JSON5 = {
    "n_array_extra_comma.json": [""],
    "n_array_number_and_comma.json": [1],
    "n_number_+1.json": [1],
    "n_number_-2..json": [-2.0],
    "n_number_-NaN.json": [float("nan")],
    "n_number_.2e-3.json": [0.0002],
    "n_number_0.e1.json": [0.0],
    "n_number_2.e+3.json": [2000.0],
    "n_number_2.e-3.json": [0.002],
    "n_number_2.e3.json": [2000.0],
    "n_number_NaN.json": [float("nan")],
    "n_number_hex_1_digit.json": [1],
    "n_number_hex_2_digits.json": [66],
    "n_number_infinity.json": [float("inf")],
    "n_number_minus_infinity.json": [float("-inf")],
    "n_number_neg_real_without_int_part.json": [-0.123],
    "n_number_real_without_fractional_part.json": [1.0],
    "n_number_starting_with_dot.json": [0.123],
    "n_object_key_with_single_quotes.json": {"key": "value"},
    "n_object_single_quote.json": {"a": 0},
    "n_object_trailing_comma.json": {"id": 0},
    "n_object_trailing_comment.json": {"a": "b"},
    "n_object_trailing_comment_slash_open.json": {"a": "b"},
    "n_object_unquoted_key.json": {"a": "b"},
    "n_string_backslash_00.json": ["\0"],
    "n_string_escape_x.json": ["\0"],
    "n_string_escaped_ctrl_char_tab.json": ["\t"],
    "n_string_escaped_emoji.json": ["\U0001f300"],
    "n_string_invalid_backslash_esc.json": ["a"],
    "n_string_single_quote.json": ["single quote"],
    "n_string_unescaped_ctrl_char.json": ["a\0a"],
    "n_string_unescaped_tab.json": ["\t"],
    "n_string_unicode_CapitalU.json": "UA66D",
    "n_structure_object_with_comment.json": {"a": "b"},
    "n_structure_whitespace_formfeed.json": [],
}
# The cases that JSON leaves open. No value: refused, because it is not UTF-8 or nested too deeply.
CHOICES: dict[str, Any] = {
    "i_number_double_huge_neg_exp.json": [0.0],
    "i_number_huge_exp.json": [float("inf")],
    "i_number_neg_int_huge_exp.json": [float("-inf")],
    "i_number_pos_double_huge_exp.json": [float("inf")],
    "i_number_real_neg_overflow.json": [float("-inf")],
    "i_number_real_pos_overflow.json": [float("inf")],
    "i_number_real_underflow.json": [0.0],
    "i_number_too_big_neg_int.json": [-123123123123123123123123123123],
    "i_number_too_big_pos_int.json": [100000000000000000000],
    "i_number_very_big_negative_int.json": [-237462374673276894279832749832423479823246327846],
    "i_object_key_lone_2nd_surrogate.json": {"\udfaa": 0},
    "i_string_1st_surrogate_but_2nd_missing.json": ["\udada"],
    "i_string_1st_valid_surrogate_2nd_invalid.json": ["\ud888\u1234"],
    "i_string_incomplete_surrogate_and_escape_valid.json": ["\ud800\n"],
    "i_string_incomplete_surrogate_pair.json": ["\udd1ea"],
    "i_string_incomplete_surrogates_escape_valid.json": ["\ud800\ud800\n"],
    "i_string_invalid_lonely_surrogate.json": ["\ud800"],
    "i_string_invalid_surrogate.json": ["\ud800abc"],
    "i_string_inverted_surrogates_U+1D11E.json": ["\udd1e\ud834"],
    "i_string_lone_second_surrogate.json": ["\udfaa"],
    "i_structure_UTF-8_BOM_empty_object.json": {},
}
REFUSED_CHOICES = {
    "i_string_UTF-16LE_with_BOM.json",
    "i_string_UTF-8_invalid_sequence.json",
    "i_string_UTF8_surrogate_U+D800.json",
    "i_string_invalid_utf-8.json",
    "i_string_iso_latin_1.json",
    "i_string_lone_utf8_continuation_byte.json",
    "i_string_not_in_unicode_range.json",
    "i_string_overlong_sequence_2_bytes.json",
    "i_string_overlong_sequence_6_bytes.json",
    "i_string_overlong_sequence_6_bytes_null.json",
    "i_string_truncated-utf-8.json",
    "i_string_utf16BE_no_BOM.json",
    "i_string_utf16LE_no_BOM.json",
    "i_structure_500_nested_arrays.json",
}


def read(content: bytes) -> Any:
    return _json5.loads(_json5.decode(content))


def test_the_suites_are_complete() -> None:
    names = json5_suites.json_test_suite()
    assert [sum(name.startswith(f"{letter}_") for name in names) for letter in "yni"] == [95, 188, 35]
    others = json5_suites.json5_tests()
    endings = [sum(name.endswith(end) for name in others) for end in (".json", ".json5", ".js", ".txt")]
    assert endings == [26, 57, 6, 25]


def test_every_valid_json_is_accepted_with_its_value() -> None:
    for name, content in json5_suites.json_test_suite().items():
        if not name.startswith("y_"):
            continue
        if name in DUPLICATE_KEYS:
            with pytest.raises(_json5.Json5Error, match="duplicate key"):
                read(content)
        else:
            assert _json5.same(read(content), json.loads(content.decode("utf-8"))), name


def test_every_invalid_json_is_refused_unless_it_is_json5() -> None:
    accepted = {}
    for name, content in json5_suites.json_test_suite().items():
        if name.startswith("n_"):
            with contextlib.suppress(_json5.Json5Error):
                accepted[name] = read(content)
    assert set(accepted) == set(VALID_JSON5)
    for name, value in VALID_JSON5.items():
        assert _json5.same(accepted[name], value), name


def test_open_cases_have_the_stated_answer() -> None:
    answers = {}
    refused = set()
    for name, content in json5_suites.json_test_suite().items():
        if name.startswith("i_"):
            try:
                answers[name] = read(content)
            except _json5.Json5Error:
                refused.add(name)
    assert refused == REFUSED_CHOICES
    assert set(answers) == set(CHOICES)
    for name, value in CHOICES.items():
        assert _json5.same(answers[name], value), name


def test_json5_tests() -> None:
    for name, content in json5_suites.json5_tests().items():
        if name.endswith((".json", ".json5")) and name not in DUPLICATE_KEYS:
            read(content)
        else:
            with pytest.raises(_json5.Json5Error):
                read(content)


def test_valid_files_survive_the_empty_patch_and_a_round_trip() -> None:
    files = {**json5_suites.json_test_suite(), **json5_suites.json5_tests()}
    count = 0
    for name, content in files.items():
        try:
            text = _json5.decode(content)
            value = _json5.loads(text)
        except _json5.Json5Error:
            continue
        count += 1
        assert _json5.edit(text, []) == text, name
        if isinstance(value, dict):
            assert _json5.merge_patch(text, {}) == text, name
            added = _json5.edit(text, [_json5.Insert(("added key",), [{"a": 1}])])
            assert _json5.same(_json5.loads(added), {**value, "added key": [{"a": 1}]}), name
            for key in value:
                rest = _json5.loads(_json5.edit(text, [_json5.Remove((key,))]))
                assert _json5.same(rest, {k: v for k, v in value.items() if k != key}), name
    assert count > 200
