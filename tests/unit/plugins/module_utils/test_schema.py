# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import sys
import time
from typing import Any

import pytest

from ansible_collections.failclosed.openclaw.plugins.module_utils import _schema

CANARY = "CANARY-7f3a-do-not-show"


def only(instance: Any, schema: dict[str, Any]) -> _schema.Finding:
    found = _schema.validate(instance, schema)
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize(
    ("instance", "rule", "path", "message"),
    [
        ({"a": CANARY}, "type", ("a",), "is a string, and must be of type integer"),
        ({"b": CANARY}, "enum", ("b",), "must be one of 'x', 'y'"),
        ({"c": CANARY}, "pattern", ("c",), "does not match ^z"),
        ({"d": [CANARY]}, "minItems", ("d",), "must have at least this many elements: 2"),
        ({"e": 99}, "maximum", ("e",), "must be at most 9"),
        ({"f": CANARY}, "const", ("f",), "must be 'only'"),
        ({"g": CANARY}, "enum", ("g",), "must be one of 'on', 'off'"),
        ({"h": {"deep": {CANARY: 1}}}, "additionalProperties", ("h", "deep", CANARY), "this key is not known here"),
        ({"h": {}}, "required", ("h", "deep"), "this key is required"),
        ({"i": CANARY}, "anyOf", ("i",), "is a string, which fits none of the allowed forms"),
        ({"i": {"n": CANARY}}, "type", ("i", "n"), "is a string, and must be of type integer"),
        ({"d": [CANARY, CANARY]}, "uniqueItems", ("d",), "has an element twice"),
    ],
)
def test_findings_name_path_and_rule_and_no_value(
    instance: Any, rule: str, path: tuple[Any, ...], message: str
) -> None:
    schema = {
        "properties": {
            "a": {"type": "integer"},
            "b": {"enum": ["x", "y"]},
            "c": {"pattern": "^z"},
            "d": {"minItems": 2, "uniqueItems": True},
            "e": {"maximum": 9},
            "f": {"const": "only"},
            "g": {"anyOf": [{"const": "on"}, {"const": "off"}]},
            "h": {
                "properties": {"deep": {"properties": {}, "additionalProperties": False}},
                "required": ["deep"],
            },
            "i": {"anyOf": [{"type": "integer"}, {"type": "object", "properties": {"n": {"type": "integer"}}}]},
        }
    }
    finding = only(instance, schema)
    assert (finding.rule, finding.path, finding.message) == (rule, path, message)
    assert CANARY not in finding.message + finding.remedy
    assert finding.remedy


def test_a_key_with_a_default_is_not_demanded() -> None:
    schema = {
        "properties": {"a": {"default": 1}, "b": {}, "c": {"properties": {"d": {"default": 1}}, "required": ["d"]}},
        "required": ["a", "b"],
    }
    assert only({"c": {}}, _schema.prepare(schema)).path == ("b",)


def test_a_valid_instance_has_no_findings() -> None:
    assert _schema.validate({"a": 1}, {"properties": {"a": {"type": "integer"}}}) == []


def test_findings_are_bounded_and_in_order() -> None:
    schema = {"additionalProperties": {"type": "integer"}}
    found = _schema.validate({f"k{number:03}": "x" for number in range(200)}, schema)
    assert len(found) == _schema.MAXIMUM_FINDINGS
    assert [finding.path for finding in found] == sorted(finding.path for finding in found)


def test_prepare_drops_what_python_cannot_compile_and_keeps_the_rest() -> None:
    schema = {
        "properties": {
            "s": {"type": "string", "pattern": r"^[^\p{Cc}]+$"},
            "t": {"type": "string", "pattern": "^ok$"},
            "pattern": {"type": "integer"},
        }
    }
    prepared = _schema.prepare(schema)
    assert prepared["properties"]["s"] == {"type": "string"}
    assert prepared["properties"]["t"] == {"type": "string", "pattern": "^ok$"}
    assert prepared["properties"]["pattern"] == {"type": "integer"}
    assert only({"t": "no", "s": "x"}, prepared).path == ("t",)


@pytest.mark.parametrize(
    "schema",
    [
        [],
        {},
        {"properties": []},
        {"properties": {"a": {"$ref": "http://schema.example/x.json"}}},
        {"properties": {"a": {"items": [{"$ref": "file:///etc/passwd"}]}}},
    ],
)
def test_prepare_refuses_what_is_no_schema_or_leads_elsewhere(schema: Any) -> None:
    with pytest.raises(_schema.SchemaUnusableError):
        _schema.prepare(schema)


def test_a_base_cannot_turn_a_local_reference_into_a_foreign_one() -> None:
    schema = _schema.prepare(
        {
            "$id": "http://schema.example/",
            "definitions": {"n": {"type": "integer"}},
            "properties": {"a": {"$id": "http://other.example/", "allOf": [{"$ref": "#/definitions/n"}]}},
        }
    )
    assert only({"a": "x"}, schema).rule == "type"


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"pattern": "("}}},
        {"properties": {"a": {"$ref": "#/nowhere"}}},
        {"properties": {"a": {"$ref": "#/properties/a"}}},
        {"properties": {"a": {"type": "no such type"}}},
    ],
)
def test_a_broken_schema_is_an_error_of_its_own(schema: dict[str, Any]) -> None:
    with pytest.raises(_schema.SchemaUnusableError):
        _schema.validate({"a": "text"}, schema)


def test_a_pattern_that_backtracks_for_ever_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_schema, "TIME_LIMIT_SECONDS", 0.3)
    started = time.monotonic()
    with pytest.raises(_schema.SchemaUnusableError, match="took longer"):
        _schema.validate({"a": "a" * 60 + "!"}, {"properties": {"a": {"pattern": "^(a+)+$"}}})
    assert time.monotonic() - started < 10


def test_a_missing_library_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    assert not _schema.is_available()
    with pytest.raises(_schema.SchemaLibraryMissingError, match="python3-jsonschema"):
        _schema.validate({}, {})
