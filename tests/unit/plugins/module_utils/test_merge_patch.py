# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.failclosed.openclaw.plugins.module_utils import _json5, _merge_patch

# RFC 7396, appendix A: original, patch, result.
APPENDIX_A: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]
# RFC 7396, section 3.
EXAMPLE = (
    {
        "title": "Goodbye!",
        "author": {"givenName": "John", "familyName": "Doe"},
        "tags": ["example", "sample"],
        "content": "This will be unchanged",
    },
    {
        "title": "Hello!",
        "phoneNumber": "+01-123-456-7890",
        "author": {"familyName": None},
        "tags": ["example"],
    },
    {
        "title": "Hello!",
        "author": {"givenName": "John"},
        "tags": ["example"],
        "content": "This will be unchanged",
        "phoneNumber": "+01-123-456-7890",
    },
)
CASES = [*APPENDIX_A, EXAMPLE]


@pytest.mark.parametrize(("target", "patch", "result"), CASES)
def test_rfc_7396_on_values(target: Any, patch: Any, result: Any) -> None:
    before = copy.deepcopy((target, patch))
    assert _merge_patch.apply(target, patch) == result
    assert (target, patch) == before


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(("target", "patch", "result"), CASES)
def test_rfc_7396_on_text(target: Any, patch: Any, result: Any, indent: int | None) -> None:
    text = json.dumps(target, indent=indent)
    assert json.loads(_json5.merge_patch(text, patch)) == result


@pytest.mark.parametrize(("target", "patch", "result"), CASES)
def test_a_computed_patch_reaches_the_result(target: Any, patch: Any, result: Any) -> None:
    try:
        computed = _merge_patch.diff(target, result)
    except ValueError:
        pytest.fail("RFC 7396 can express this change")
    assert _merge_patch.apply(target, computed) == result


def test_diff_is_the_smallest_patch() -> None:
    before = {"a": {"b": 1, "c": [1], "d": {"e": True}}, "x": 1.0, "y": None}
    after = {"a": {"b": 1, "c": [1, 2], "d": {"e": 1}, "n": {"m": {}}}, "x": 1, "y": None}
    assert _merge_patch.diff(before, after) == {"a": {"c": [1, 2], "d": {"e": 1}, "n": {"m": {}}}}
    assert _merge_patch.diff(after, after) == {}
    assert _merge_patch.diff({"a": 1}, {}) == {"a": None}
    assert _merge_patch.diff({"a": 1}, {"a": {}}) == {"a": {}}
    assert _merge_patch.diff([1], [1]) == {}
    assert _merge_patch.diff([1], [2]) == [2]


def test_diff_refuses_a_new_null_and_names_its_path() -> None:
    with pytest.raises(ValueError, match=r"\['a', 'b'\]"):
        _merge_patch.diff({"a": {"b": 1}}, {"a": {"b": None}})
    with pytest.raises(ValueError, match=r"\['a', 'b'\]"):
        _merge_patch.diff({}, {"a": {"b": None}})
    assert _merge_patch.diff({}, {"a": [None]}) == {"a": [None]}


@pytest.mark.parametrize(
    ("before", "after", "paths"),
    [
        ({}, {}, []),
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": 1}, {"a": True}, [("a",)]),
        ({"a": 0}, {"a": False}, [("a",)]),
        ({"a": 0}, {"a": None}, [("a",)]),
        ({"a": ""}, {"a": None}, [("a",)]),
        ({"a": float("nan")}, {"a": float("nan")}, []),
        ({"a": {}}, {"a": []}, [("a",)]),
        ({"a": {"b": 1, "c": 2}, "d": 3}, {"d": 3, "a": {"c": 2, "b": 1}}, []),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 2}, "n": {"m": 1}}, [("a", "b"), ("a", "c"), ("n",)]),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, [("a",)]),
        ({"a": [1, 2]}, {"a": [2, 1]}, [("a",)]),
        ([1], [1], []),
        ([1], [2], [()]),
        ({}, [], [()]),
        ({"a": 2**53}, {"a": 2**53 + 1}, [("a",)]),
    ],
)
def test_changed_paths(before: Any, after: Any, paths: list[tuple[str, ...]]) -> None:
    assert _merge_patch.changed_paths(before, after) == paths


SCALARS = st.one_of(st.booleans(), st.integers(-2, 2), st.floats(-1, 1), st.text("ab", max_size=2))
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text("abc", max_size=1), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(TREES, TREES)
def test_apply_undoes_diff(before: Any, after: Any) -> None:
    patch = _merge_patch.diff(before, after)
    if _merge_patch.changed_paths(before, after):
        assert _json5.same(_merge_patch.apply(before, patch), after)
    else:
        assert patch == {}


@given(TREES, TREES)
def test_no_changed_path_means_equal(before: Any, after: Any) -> None:
    paths = _merge_patch.changed_paths(before, after)
    assert (paths == []) == _json5.same(before, after)
    assert paths == [] or len(set(paths)) == len(paths)


@given(TREES, TREES)
def test_apply_is_idempotent(target: Any, patch: Any) -> None:
    once = _merge_patch.apply(target, patch)
    assert _json5.same(_merge_patch.apply(once, patch), once)
