# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.failclosed.openclaw.plugins.module_utils import _redact

KEY = b"k" * 32
CANARY = "CANARY-7f3a-do-not-show"

SENSITIVE = [
    ("gateway", "auth", "token"),
    ("gateway", "auth", "password"),
    ("models", "providers", "x", "apiKey"),
    ("models", "providers", "x", "headers", "X-Whatever"),
    ("models", "providers", "x", "request", "auth", "value"),
    ("models", "providers", "x", "request", "proxy", "tls", "key"),
    ("models", "providers", "x", "localService", "env", "PORT"),
    ("channels", "telegram", "accounts", "main", "botToken"),
    ("channels", "googlechat", "serviceAccount"),
    ("channels", "slack", "signingSecret"),
    ("env", "vars"),
    ("env", "vars", "ANTHROPIC_API_KEY"),
    ("env", "ANTHROPIC_API_KEY"),
    ("mcp", "servers", "x", "env", "WHATEVER"),
    ("agents", "defaults", "sandbox", "ssh", "identityData"),
    ("gateway", "remote", "edgeAuth", "anything"),
    ("plugins", "entries", "brave", "config", "webSearch", "apiKey"),
    ("list", "tokens_of", "password", 0),
]
HARMLESS = [
    (),
    ("gateway", "port"),
    ("gateway", "auth", "mode"),
    ("agents", "defaults", "model", "primary"),
    ("models", "providers", "x", "maxTokens"),
    ("models", "providers", "x", "models", 0, "contextTokens"),
    ("models", "providers", "my-secret-proxy"),
    ("plugins", "entries", "onepassword"),
    ("secrets",),
    ("secrets", "providers", "files", "path"),
    ("env", "shellEnv", "enabled"),
    ("channels", "line", "secretFile"),
    ("channels", "reef", "guard", "apiKeyEnv"),
]


@pytest.mark.parametrize("path", SENSITIVE)
def test_sensitive_paths(path: tuple[Any, ...]) -> None:
    assert _redact.is_sensitive_path(path)


@pytest.mark.parametrize("path", HARMLESS)
def test_harmless_paths(path: tuple[Any, ...]) -> None:
    assert not _redact.is_sensitive_path(path)


def test_a_named_path_covers_what_is_below() -> None:
    assert _redact.is_sensitive_path(("a", "b", 0), sensitive_paths=[("a",)])
    assert not _redact.is_sensitive_path(("ab",), sensitive_paths=[("a",)])


SHAPES = [
    "sk-ant-api03-aaaaaaaaaaaaaaaaaaaa",
    "ghp_aaaaaaaaaaaaaaaaaaaaaaaa",
    "xoxb-1111111111-aaaaaaaaaa",
    "AKIAIOSFODNN7EXAMPLE",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "-----BEGIN OPENSSH PRIVATE KEY-----\nabc",
    "123456789:AAaaBBbbCCccDDddEEeeFFffGGggHHhhIIii",
    "Bearer abcdefgh12345678",
    "https://user:hunter2@example.com/",
    "https://example.com/hook?token=hunter2",
]


@pytest.mark.parametrize("text", SHAPES)
def test_shapes_of_credentials_are_seen_wherever_they_stand(text: str) -> None:
    assert _redact.has_secret_shape(text)
    shown = json.dumps(_redact.redact({"note": [text], text: 1}, key=KEY))
    assert text not in shown and json.dumps(text)[1:-1] not in shown
    assert text not in _redact.scrub(f"it said {text} and stopped")


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:3456/health",
        "anthropic-max-proxy/claude-opus-4.6",
        "Bearer ${PROXY_TOKEN}",
        "https://example.com/?model=x",
        "https://${USER_PART}@example.com/",
        "task-list-and-more-words-in-a-row",
        "2026.9.6",
    ],
)
def test_harmless_text_stays(text: str) -> None:
    assert not _redact.has_secret_shape(text)
    assert _redact.redact({"note": text}, key=KEY) == {"note": text}


def test_references_and_literals_that_hold_nothing_stay() -> None:
    reference = {"source": "file", "provider": "files", "id": "value"}
    tree = {"apiKey": reference, "token": "${GATEWAY_TOKEN}", "password": "", "secret": None, "botToken": True}
    assert _redact.redact(tree, key=KEY) == tree


def test_something_that_only_resembles_a_reference_is_hidden() -> None:
    tree = {"apiKey": {"source": "file", "id": "value", "value": CANARY}}
    assert CANARY not in json.dumps(_redact.redact(tree, key=KEY))


def test_equal_secrets_look_equal_and_others_do_not() -> None:
    shown = _redact.redact({"a": {"token": "one"}, "b": {"token": "one"}, "c": {"token": "two"}}, key=KEY)
    assert shown["a"] == shown["b"] != shown["c"]
    assert _redact.fingerprint("one", key=KEY) != _redact.fingerprint("one", key=b"x" * 32)


def test_detailed_adds_the_type_and_nothing_of_the_value() -> None:
    short, detailed = (_redact.mask("x" * 77, key=KEY, detailed=each) for each in (False, True))
    assert detailed.replace("str ", "") == short
    assert "77" not in detailed.replace(_redact.fingerprint("x" * 77, key=KEY), "")


def test_numbers_below_a_secret_are_hidden() -> None:
    assert _redact.redact({"pin": 4711}, key=KEY) != {"pin": 4711}


def test_only_the_public_literal_is_shown() -> None:
    tree = {"a": {"apiKey": "proxy-local"}, "b": {"apiKey": CANARY}}
    shown = _redact.redact(tree, key=KEY, is_public=lambda path, value: value == "proxy-local")
    assert shown["a"] == {"apiKey": "proxy-local"}
    assert CANARY not in json.dumps(shown)


def test_scrub_takes_short_secrets_as_words_only() -> None:
    assert _redact.scrub("a cat sat on x", ["x", "cat sat"]) == "a <redacted> on <redacted>"
    assert _redact.scrub("example", ["x"]) == "example"


keys = st.sampled_from(["token", "apiKey", "headers", "env", "a", "models", "entries", "password", "port"])
trees = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.just(CANARY), st.text(max_size=5)),
    lambda child: st.one_of(st.lists(child, max_size=3), st.dictionaries(keys, child, max_size=3)),
    max_leaves=20,
)


@given(trees)
def test_what_would_be_scrubbed_is_never_shown(tree: Any) -> None:
    """``redact`` and ``secret_texts`` agree: no long text that one calls secret is shown by the other."""
    shown = json.dumps(_redact.redact(tree, key=KEY))
    if CANARY in _redact.secret_texts(tree):
        secret_places = _places(tree)
        assert _places(_redact.redact(tree, key=KEY)) < secret_places or CANARY not in shown


def _places(tree: Any, path: tuple[Any, ...] = ()) -> set[tuple[Any, ...]]:
    if isinstance(tree, dict):
        return {place for key, value in tree.items() for place in _places(value, (*path, key))}
    if isinstance(tree, list):
        return {place for index, value in enumerate(tree) for place in _places(value, (*path, index))}
    return {path} if tree == CANARY else set()


@given(trees)
def test_redacting_keeps_the_shape(tree: Any) -> None:
    def shape(node: Any) -> Any:
        if isinstance(node, dict) and not _redact.is_secret_reference(node):
            return {key: shape(value) for key, value in node.items()}
        return [shape(value) for value in node] if isinstance(node, list) else None

    assert shape(_redact.redact(tree, key=KEY)) == shape(tree)
