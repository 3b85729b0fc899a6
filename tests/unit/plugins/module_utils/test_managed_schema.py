# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft7Validator

from ansible_collections.failclosed.openclaw.plugins.module_utils import _schema
from ansible_collections.failclosed.openclaw.plugins.module_utils._managed_schema import (
    MANAGED_SCHEMA,
    PROVIDER_ID,
)

PROVIDER = {
    "baseUrl": "http://127.0.0.1:3456",
    "api": "anthropic-messages",
    "apiKey": {"source": "file", "provider": "files", "id": "value"},
    "models": [{"id": "claude-opus-4.6", "name": "Opus", "reasoning": True, "input": ["text", "image"]}],
}
VALID: dict[str, Any] = {
    "meta": {"lastTouchedVersion": "2026.9.6"},
    "gateway": {"mode": "local", "bind": "loopback", "port": 18789, "auth": {"mode": "token", "token": "${TOKEN}"}},
    "secrets": {"providers": {"files": {"source": "file", "path": "/run/credentials/x/key", "mode": "singleValue"}}},
    "models": {"mode": "merge", "providers": {PROVIDER_ID: PROVIDER, "other": {"baseUrl": "https://api.example.com"}}},
    "agents": {
        "defaults": {
            "model": {"primary": f"{PROVIDER_ID}/claude-opus-4.6", "fallbacks": []},
            "imageModel": {"primary": f"{PROVIDER_ID}/claude-opus-4.6"},
            "pdfModel": f"{PROVIDER_ID}/claude-opus-4.6",
            "utilityModel": "",
            "modelPolicy": {"allow": [f"{PROVIDER_ID}/*"]},
            "models": {f"{PROVIDER_ID}/claude-opus-4.6": {"alias": "claude-max-proxy"}},
            "somethingNew": 1,
        },
        "entries": {"ops": {"model": {"primary": f"{PROVIDER_ID}/x", "fallbacks": []}}},
    },
    "plugins": {"allow": [PROVIDER_ID], "entries": {PROVIDER_ID: {"enabled": True, "config": {"autoStart": False}}}},
    "channels": {"whatever": {"this": "schema does not say"}},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(json.dumps(VALID))
    node: Any = tree
    *parents, last = [int(part) if part.isdigit() else part for part in path.split("|")]
    for part in parents:
        node = node[part]
    node[last] = value
    return tree


def test_is_a_valid_draft_07_schema() -> None:
    Draft7Validator.check_schema(MANAGED_SCHEMA)
    assert MANAGED_SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"
    json.dumps(MANAGED_SCHEMA)


def test_accepts_what_the_collection_writes() -> None:
    assert _schema.validate(VALID, MANAGED_SCHEMA) == []
    assert _schema.validate({}, MANAGED_SCHEMA) == []


P = f"models|providers|{PROVIDER_ID}"


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        ("gateway|port", 0, "gateway.port"),
        ("gateway|port", 65536, "gateway.port"),
        ("gateway|port", "3456", "gateway.port"),
        ("gateway|bind", "0.0.0.0", "gateway.bind"),
        ("gateway|mode", "", "gateway.mode"),
        ("meta", None, "meta"),
        (f"{P}|baseUrl", "127.0.0.1:3456", f"models.providers.{PROVIDER_ID}.baseUrl"),
        (f"{P}|baseUrl", "http://user:pass@127.0.0.1:3456", f"models.providers.{PROVIDER_ID}.baseUrl"),
        (f"{P}|baseUrl", "http://127.0.0.1:3456\n", f"models.providers.{PROVIDER_ID}.baseUrl"),
        (f"{P}|models", [], f"models.providers.{PROVIDER_ID}.models"),
        (f"{P}|models|0|id", "claude opus", f"models.providers.{PROVIDER_ID}.models.0.id"),
        (f"{P}|models|0|id", "claude\n", f"models.providers.{PROVIDER_ID}.models.0.id"),
        (f"{P}|models|0", {"id": "x"}, f"models.providers.{PROVIDER_ID}.models.0.name"),
        (f"{P}|api", "anthropic", f"models.providers.{PROVIDER_ID}.api"),
        (f"{P}|apikey", "x", f"models.providers.{PROVIDER_ID}.apikey"),
        (f"{P}|apiKey", "", f"models.providers.{PROVIDER_ID}.apiKey"),
        (P, {"baseUrl": "http://127.0.0.1:1", "api": "anthropic-messages"}, f"models.providers.{PROVIDER_ID}.models"),
        ("agents|defaults|model", "claude-opus-5", "agents.defaults.model"),
        ("agents|defaults|model|primary", "opus", "agents.defaults.model.primary"),
        ("agents|defaults|model|fallbacks", ["opus"], "agents.defaults.model.fallbacks.0"),
        ("agents|defaults|model|fallback", [], "agents.defaults.model.fallback"),
        ("agents|entries|ops|model|primary", "opus", "agents.entries.ops.model.primary"),
        ("agents|defaults|models|a/b", {"alias": "with space"}, "agents.defaults.models.a/b.alias"),
        ("agents|defaults|modelPolicy|allow", "x", "agents.defaults.modelPolicy.allow"),
        ("plugins|allow", ["x", "x"], "plugins.allow"),
        ("plugins|allowed", [], "plugins.allowed"),
        ("plugins|entries|x", {"enable": True}, "plugins.entries.x.enable"),
        ("secrets|providers|Files", {"source": "file"}, "secrets.providers"),
        ("secrets|providers|files|path", "relative", "secrets.providers.files.path"),
    ],
)
def test_refuses(path: str, value: Any, where: str) -> None:
    found = _schema.validate(changed(path, value), MANAGED_SCHEMA)
    assert [".".join(str(part) for part in finding.path) for finding in found] == [where]
    assert found[0].message and found[0].remedy


def test_a_provider_of_somebody_else_need_not_be_complete() -> None:
    assert _schema.validate(changed("models|providers|anthropic", {"apiKey": "${KEY}"}), MANAGED_SCHEMA) == []


def nodes(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        if "type" in schema or "enum" in schema:
            yield path, schema
        for name, member in schema.get("properties", {}).items():
            yield from nodes(member, f"{path}.{name}")
        for keyword in ("items", "additionalProperties"):
            if isinstance(schema.get(keyword), dict):
                yield from nodes(schema[keyword], f"{path}.{keyword}")
        for index, branch in enumerate(schema.get("anyOf", [])):
            yield from nodes(branch, f"{path}.anyOf{index}")


def test_every_strict_object_says_what_it_is() -> None:
    for path, node in nodes(MANAGED_SCHEMA):
        if node.get("additionalProperties") is False:
            assert node.get("title") and node.get("description"), path


def test_every_pattern_is_explained() -> None:
    for path, node in nodes(MANAGED_SCHEMA):
        if "pattern" in node and "providers" not in path and "items" not in path:
            assert node.get("description"), path
