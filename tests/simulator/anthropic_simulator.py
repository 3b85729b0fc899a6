# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for the Anthropic API that counts what reaches it and fails on demand.

One process, the standard library, Python 3.9 or newer. It opens any number of named listeners, with TLS or
without, and one control listener. Each answer carries the listener's name (``SIMULATOR-<name>-OK``), so that a
test can tell a request that came through the proxy from one that went direct. README.md beside this file has the
control interface, the fault list and the commands for test certificates.

What the answers look like follows the published API reference (platform.claude.com: Messages, Streaming, Errors,
Models) and is judged in the tests by Anthropic's own Python SDK.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import collections
import contextlib
import dataclasses
import datetime
import email.message
import fnmatch
import hashlib
import http.server
import io
import ipaddress
import json
import os
import pathlib
import re
import resource
import secrets
import selectors
import signal
import socket
import ssl
import string
import struct
import sys
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Callable

JsonObject = dict[str, Any]

MAXIMUM_BODY_BYTES = 32 * 1024 * 1024
MAXIMUM_CONTROL_BODY_BYTES = 1024 * 1024
MAXIMUM_DISTINCT_LABELS = 200
MAXIMUM_RECORDED_TEXT = 300
MAXIMUM_RULES = 1000
HANDSHAKE_TIMEOUT_SECONDS = 10.0
STOP_GRACE_SECONDS = 2.0
POLL_SECONDS = 0.25
TEXT_DELTA_CHARACTERS = 8


# ---------------------------------------------------------------------------------------------------------------
# Models that the API knows


@dataclasses.dataclass(frozen=True)
class Model:
    """One model line of the API and the forms in which its id may be written.

    ``plain`` is the id without a date, ``dated`` the id followed by ``-YYYYMMDD`` (any date: the simulator does not
    keep the list of snapshots), ``latest`` the id followed by ``-latest`` (Claude 3 only).
    """

    identifier: str
    lifecycle: str = "active"
    plain: bool = True
    dated: bool = True
    latest: bool = False


# From the model list and the deprecation table of the `anthropic` Python SDK 2.12.0 (November 2026). Newest first,
# as the API lists them. Dotted ids are absent because the API answers 404 to them.
MODELS: tuple[Model, ...] = (
    Model("claude-fable-5-2"),
    Model("claude-mythos-5-2"),
    Model("claude-haiku-5-5"),
    Model("claude-sonnet-5-5"),
    Model("claude-fable-5-1"),
    Model("claude-opus-5-5"),
    Model("claude-mythos-5-1"),
    Model("claude-sonnet-5"),
    Model("claude-fable-5"),
    Model("claude-mythos-5"),
    Model("claude-opus-5"),
    Model("claude-opus-4-8"),
    Model("claude-opus-4-7"),
    Model("claude-opus-4-6"),
    Model("claude-sonnet-4-6"),
    Model("claude-opus-4-5"),
    Model("claude-haiku-4-5"),
    Model("claude-sonnet-4-5", lifecycle="deprecated"),
    Model("claude-opus-4-1", lifecycle="deprecated"),
    Model("claude-mythos-preview", lifecycle="retired", dated=False),
    Model("claude-opus-4-0", lifecycle="retired", dated=False),
    Model("claude-opus-4", lifecycle="retired", plain=False),
    Model("claude-sonnet-4-0", lifecycle="retired", dated=False),
    Model("claude-sonnet-4", lifecycle="retired", plain=False),
    Model("claude-3-7-sonnet", lifecycle="retired", plain=False, latest=True),
    Model("claude-3-5-sonnet", lifecycle="retired", plain=False, latest=True),
    Model("claude-3-5-haiku", lifecycle="retired", plain=False, latest=True),
    Model("claude-3-opus", lifecycle="retired", plain=False, latest=True),
    Model("claude-3-sonnet", lifecycle="retired", plain=False),
    Model("claude-3-haiku", lifecycle="retired", plain=False),
)

MODEL_LINES = frozenset(("haiku", "sonnet", "opus", "fable", "mythos"))
DATED_IDENTIFIER = re.compile(r"(.+)-(20\d\d)(\d\d)(\d\d)", re.ASCII)


def split_date(identifier: str) -> tuple[str, datetime.date | None]:
    """Split ``name-YYYYMMDD``; the date is None where there is none, or none of the calendar's."""
    matched = DATED_IDENTIFIER.fullmatch(identifier)
    if matched is None:
        return identifier, None
    base, year, month, day = matched.groups()
    try:
        return base, datetime.date(int(year), int(month), int(day))
    except ValueError:
        return identifier, None


class ModelCatalogue:
    """Which model ids exist.

    :param additional: ids to know besides ``MODELS``.
    :param refuse_retired: answer 404 to retired models, as the API does. Off by default, because the collection's
        default model ids include a retired one and most tests are not about lifecycles.
    """

    def __init__(self, additional: Sequence[str] = (), *, refuse_retired: bool = False) -> None:
        self._models = tuple(Model(identifier, dated=False) for identifier in additional) + MODELS
        self._refuse_retired = refuse_retired

    def find(self, identifier: str) -> Model | None:
        """Return the model that ``identifier`` names, or None where the API would answer 404."""
        base, released = split_date(identifier)
        for model in self._models:
            if (
                (model.plain and identifier == model.identifier)
                or (model.latest and identifier == f"{model.identifier}-latest")
                or (model.dated and released is not None and base == model.identifier)
            ):
                return None if self._refuse_retired and model.lifecycle == "retired" else model
        return None

    def describe(self, identifier: str) -> JsonObject | None:
        """Return the API's description of a model, or None where it is unknown."""
        model = self.find(identifier)
        if model is None:
            return None
        _base, released = split_date(identifier)
        line = next((part for part in identifier.split("-") if part in MODEL_LINES), None)
        return {
            "type": "model",
            "id": identifier,
            "display_name": " ".join(part.capitalize() for part in identifier.split("-")),
            # The API gives the epoch for a release date that it does not know.
            "created_at": f"{released or datetime.date(1970, 1, 1)}T00:00:00Z",
            "lifecycle": model.lifecycle,
            "line": line,
            "max_input_tokens": 200000,
            "max_tokens": 64000,
            "deprecated_at": None,
            "retires_at": None,
            "capabilities": None,
        }

    def listed(self, lifecycles: Iterable[str]) -> list[JsonObject]:
        """Return the descriptions of all models in the given lifecycle stages, newest first."""
        wanted = frozenset(lifecycles)
        descriptions = []
        for model in self._models:
            identifier = model.identifier
            if not model.plain:
                identifier = f"{model.identifier}-latest" if model.latest else ""
            description = self.describe(identifier) if identifier else None
            if description is not None and model.lifecycle in wanted:
                descriptions.append(description)
        return descriptions


# ---------------------------------------------------------------------------------------------------------------
# Errors in the API's shape

ERRORS: Mapping[str, tuple[int, str]] = {
    "invalid_request_error": (400, "Invalid request"),
    "authentication_error": (401, "invalid x-api-key"),
    "billing_error": (402, "Your credit balance is too low to access the Anthropic API."),
    "permission_error": (403, "Your API key does not have permission to use the specified resource."),
    "not_found_error": (404, "Not found"),
    "request_too_large": (413, "Request exceeds the maximum size"),
    "rate_limit_error": (429, "This request would exceed your account's rate limit. Please try again later."),
    "api_error": (500, "Internal server error"),
    "timeout_error": (504, "The request timed out"),
    "overloaded_error": (529, "Overloaded"),
}
ERROR_OF_STATUS: Mapping[int, str] = {status: name for name, (status, _message) in ERRORS.items()}


class ApiError(Exception):
    """An answer of the API other than success.

    :param kind: a key of ``ERRORS``; the HTTP status follows from it unless ``status`` is given.
    """

    def __init__(
        self,
        kind: str,
        message: str | None = None,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        default_status, default_message = ERRORS[kind]
        self.kind = kind
        self.status = default_status if status is None else status
        self.message = default_message if message is None else message
        self.headers = dict(headers or {})
        super().__init__(self.message)


def error_body(kind: str, message: str, request_identifier: str) -> JsonObject:
    """Return the API's error document."""
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_identifier}


IDENTIFIER_ALPHABET = string.ascii_letters + string.digits


def random_identifier(prefix: str) -> str:
    """Return an id of the API's length and alphabet, such as ``msg_01...``."""
    return prefix + "".join(secrets.choice(IDENTIFIER_ALPHABET) for _number in range(22))


# ---------------------------------------------------------------------------------------------------------------
# The request body


@dataclasses.dataclass(frozen=True)
class MessageRequest:
    """What the simulator takes from a Messages body; the prompt itself is not kept beyond the answer."""

    model: str
    stream: bool
    tool_names: tuple[str, ...]
    tools: tuple[JsonObject, ...]
    tool_choice: JsonObject
    thinking: bool
    ends_with_tool_result: bool
    last_text: str
    input_tokens: int


TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}", re.ASCII)
IMAGE_MEDIA_TYPES = frozenset(("image/jpeg", "image/png", "image/gif", "image/webp"))
THINKING_TYPES = frozenset(("enabled", "disabled", "adaptive", "between_tools"))
MESSAGE_ROLES = frozenset(("user", "assistant", "system"))


def require(condition: bool, message: str) -> None:
    """Refuse the request with the API's 400 unless ``condition`` holds."""
    if not condition:
        raise ApiError("invalid_request_error", message)


def is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def check_source(block: JsonObject, place: str) -> None:
    """Check where an image or document block takes its bytes from."""
    source = block.get("source")
    kind = block["type"]
    require(isinstance(source, dict), f"{place}.{kind}.source: Field required")
    assert isinstance(source, dict)
    if source.get("type") != "base64":
        require(isinstance(source.get("type"), str), f"{place}.{kind}.source.type: Field required")
        return
    place = f"{place}.{kind}.source.base64"
    expected = IMAGE_MEDIA_TYPES if kind == "image" else frozenset(("application/pdf",))
    require(
        source.get("media_type") in expected,
        f"{place}.media_type: Input should be {' or '.join(repr(name) for name in sorted(expected))}",
    )
    data = source.get("data")
    require(isinstance(data, str), f"{place}.data: Field required")
    try:
        base64.b64decode(str(data), validate=True)
    except (binascii.Error, ValueError):
        raise ApiError("invalid_request_error", f"{place}: invalid base64 data") from None


def check_messages(messages: Any) -> None:
    """Check roles and content blocks of ``messages``."""
    require(messages is not None, "messages: Field required")
    require(isinstance(messages, list), "messages: Input should be a valid list")
    require(len(messages) > 0, "messages: at least one message is required")
    for number, message in enumerate(messages):
        place = f"messages.{number}"
        require(isinstance(message, dict), f"{place}: Input should be a valid dictionary")
        require(message.get("role") in MESSAGE_ROLES, f"{place}.role: Input should be 'user' or 'assistant'")
        content = message.get("content")
        if isinstance(content, str):
            continue
        require(isinstance(content, list), f"{place}.content: Input should be a valid string or list")
        for position, block in enumerate(content):
            inner = f"{place}.content.{position}"
            require(isinstance(block, dict), f"{inner}: Input should be a valid dictionary")
            require(isinstance(block.get("type"), str), f"{inner}.type: Field required")
            if block["type"] in ("image", "document"):
                check_source(block, inner)
            if block["type"] == "text":
                require(isinstance(block.get("text"), str), f"{inner}.text.text: Field required")


def check_tools(tools: Any) -> list[JsonObject]:
    """Check ``tools`` and return it; server tools (with a type of their own) need no input schema."""
    if tools is None:
        return []
    require(isinstance(tools, list), "tools: Input should be a valid list")
    names = set()
    for number, tool in enumerate(tools):
        place = f"tools.{number}"
        require(isinstance(tool, dict), f"{place}: Input should be a valid dictionary")
        if tool.get("type") not in (None, "custom"):
            continue
        name = tool.get("name")
        require(isinstance(name, str), f"{place}.custom.name: Field required")
        require(
            TOOL_NAME.fullmatch(str(name)) is not None,
            f"{place}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'",
        )
        require(name not in names, "tools: Tool names must be unique.")
        names.add(name)
        require(isinstance(tool.get("input_schema"), dict), f"{place}.custom.input_schema: Field required")
    return list(tools)


def check_thinking(thinking: Any, max_tokens: int | None) -> bool:
    """Check ``thinking`` and return whether the answer has to carry a thinking block."""
    if thinking is None:
        return False
    require(isinstance(thinking, dict), "thinking: Input should be a valid dictionary")
    require(
        thinking.get("type") in THINKING_TYPES, "thinking.type: Input should be 'enabled', 'disabled' or 'adaptive'"
    )
    if thinking["type"] != "enabled":
        # With adaptive thinking the model decides; the simulator decides not to.
        return False
    budget = thinking.get("budget_tokens")
    require(is_integer(budget), "thinking.enabled.budget_tokens: Field required")
    require(budget >= 1024, "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
    require(max_tokens is None or max_tokens > budget, "`max_tokens` must be greater than `thinking.budget_tokens`.")
    return True


def text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(str(block.get("text", "")) for block in content if block.get("type") == "text")


def parse_json_object(body: bytes) -> JsonObject:
    """Return the JSON object in ``body``; the message of a refusal does not quote it."""
    try:
        document = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        raise ApiError("invalid_request_error", "The request body is not valid JSON") from None
    require(isinstance(document, dict), "The request body is not a JSON object")
    result: JsonObject = document
    return result


def estimate_tokens(body: bytes) -> int:
    return max(1, len(body) // 4)


def check_message_request(document: JsonObject, body: bytes, *, counting: bool) -> MessageRequest:
    """Check a Messages or count_tokens body as the API does.

    :param counting: the body of count_tokens has neither ``max_tokens`` nor ``stream``.
    :raises ApiError: 400 with the place and the rule that it breaks.
    """
    model = document.get("model")
    require(model is not None, "model: Field required")
    require(isinstance(model, str) and model != "", "model: Input should be a valid string")
    max_tokens: int | None = None
    if not counting:
        require("max_tokens" in document, "max_tokens: Field required")
        require(is_integer(document["max_tokens"]), "max_tokens: Input should be a valid integer")
        require(document["max_tokens"] >= 1, "max_tokens: Input should be greater than or equal to 1")
        max_tokens = document["max_tokens"]
    stream = document.get("stream", False)
    require(stream is None or isinstance(stream, bool), "stream: Input should be a valid boolean")
    messages = document.get("messages")
    check_messages(messages)
    tools = check_tools(document.get("tools"))
    choice = document.get("tool_choice") or {}
    require(isinstance(choice, dict), "tool_choice: Input should be a valid dictionary")
    thinking = check_thinking(document.get("thinking"), max_tokens)
    assert isinstance(messages, list)
    last = messages[-1]["content"]
    return MessageRequest(
        model=str(model),
        stream=bool(stream),
        tool_names=tuple(str(tool["name"]) for tool in tools if isinstance(tool.get("name"), str)),
        tools=tuple(tools),
        tool_choice=choice,
        thinking=thinking,
        ends_with_tool_result=isinstance(last, list) and any(block["type"] == "tool_result" for block in last),
        last_text=text_of(last),
        input_tokens=estimate_tokens(body),
    )


# ---------------------------------------------------------------------------------------------------------------
# The answer


def sample_value(schema: Any, depth: int = 0) -> Any:
    """Return a small value that a JSON Schema of ordinary shape accepts, for a tool call that nobody scripted."""
    if not isinstance(schema, dict) or depth > 8:
        return {}
    if schema.get("enum"):
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0] if kind else None
    if kind == "array":
        return []
    if kind in ("integer", "number"):
        return schema.get("minimum", 1)
    if kind == "boolean":
        return True
    if kind == "string":
        return "simulator"
    if kind == "null":
        return None
    properties = schema.get("properties", {})
    return {name: sample_value(properties.get(name), depth + 1) for name in schema.get("required", [])}


def tool_use_block(request: MessageRequest, name: str | None, tool_input: JsonObject | None) -> JsonObject:
    """Return a tool_use block; it defaults to the first tool offered, with input that the tool's schema accepts."""
    if name is None:
        name = request.tool_names[0] if request.tool_names else "simulator"
    if tool_input is None:
        schema = next((tool.get("input_schema") for tool in request.tools if tool.get("name") == name), None)
        tool_input = sample_value(schema)
    return {"type": "tool_use", "id": random_identifier("toolu_01"), "name": name, "input": tool_input}


def answer_content(request: MessageRequest, text: str, scripted: Sequence[JsonObject] | None) -> list[JsonObject]:
    """Return the content blocks of the answer.

    :param text: what to say when nothing was scripted and no tool is demanded.
    :param scripted: blocks of a reply rule; ``id`` and ``signature`` are filled in.
    """
    if scripted is not None:
        content: list[JsonObject] = []
        for block in scripted:
            if block["type"] == "tool_use":
                content.append(tool_use_block(request, block.get("name"), block.get("input")))
            elif block["type"] == "thinking":
                content.append(thinking_block(block.get("thinking", "")))
            else:
                content.append({"type": "text", "text": block.get("text", "")})
        return content
    content = [thinking_block("The simulator thinks before it answers.")] if request.thinking else []
    if request.tools and request.tool_choice.get("type") in ("any", "tool"):
        content.append(tool_use_block(request, request.tool_choice.get("name"), None))
    else:
        content.append({"type": "text", "text": text})
    return content


def thinking_block(text: str) -> JsonObject:
    return {
        "type": "thinking",
        "thinking": text,
        "signature": base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii"),
    }


def answer_message(request: MessageRequest, content: list[JsonObject]) -> JsonObject:
    """Return the Message document of a non-streaming answer."""
    size = len(json.dumps(content))
    return {
        "id": random_identifier("msg_01"),
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "content": content,
        "stop_reason": "tool_use" if any(block["type"] == "tool_use" for block in content) else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": request.input_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": max(1, size // 4),
            "service_tier": "standard",
        },
    }


def pieces(text: str, length: int) -> list[str]:
    return [text[start : start + length] for start in range(0, len(text), length)]


def block_deltas(block: JsonObject) -> tuple[JsonObject, list[JsonObject]]:
    """Return the empty form of a content block and the deltas that fill it, as the streaming API sends them."""
    if block["type"] == "text":
        return (
            {"type": "text", "text": ""},
            [{"type": "text_delta", "text": piece} for piece in pieces(block["text"], TEXT_DELTA_CHARACTERS)],
        )
    if block["type"] == "thinking":
        deltas: list[JsonObject] = [
            {"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"], TEXT_DELTA_CHARACTERS)
        ]
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
        return {"type": "thinking", "thinking": "", "signature": ""}, deltas
    # The API starts a tool's input with an empty piece, and clients have to cope with it.
    parts = ["", *pieces(json.dumps(block["input"]), TEXT_DELTA_CHARACTERS)]
    return (
        {**block, "input": {}},
        [{"type": "input_json_delta", "partial_json": part} for part in parts],
    )


def stream_events(message: JsonObject) -> Iterator[JsonObject]:
    """Yield the events of a streamed answer in the API's order; the event's name is its ``type``."""
    started = {**message, "content": [], "stop_reason": None, "usage": {**message["usage"], "output_tokens": 1}}
    yield {"type": "message_start", "message": started}
    for index, block in enumerate(message["content"]):
        empty, deltas = block_deltas(block)
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        if index == 0:
            yield {"type": "ping"}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": message["stop_reason"], "stop_sequence": None},
        "usage": {"output_tokens": message["usage"]["output_tokens"]},
    }
    yield {"type": "message_stop"}


def encode_event(event: JsonObject) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


# ---------------------------------------------------------------------------------------------------------------
# Rules: faults and scripted replies


class RuleError(ValueError):
    """A fault or a reply that the control interface cannot accept; the message says which field and why."""


CONNECTION_FAULTS = frozenset(
    ("slow", "slow_stream", "hang", "hang_mid_stream", "drop", "drop_mid_stream", "stream_error")
)
MATCH_PATTERNS = frozenset(
    ("method", "path", "host", "model", "user_agent", "source", "key_fingerprint", "tool", "text")
)
MATCH_FLAGS = frozenset(("stream", "tools", "tool_result"))
RULE_FIELDS = frozenset(("listener", "count", "skip", "match"))
FAULT_FIELDS = RULE_FIELDS | {
    "fault",
    "message",
    "retry_after_seconds",
    "delay_seconds",
    "chunk_delay_seconds",
    "after_events",
    "error",
    "reset",
}
REPLY_FIELDS = RULE_FIELDS | {"content", "text"}


def checked_number(document: Mapping[str, Any], name: str, default: float, maximum: float) -> float:
    value = document.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= maximum:
        raise RuleError(f"{name}: expected a number from 0 to {maximum:g}")
    return float(value)


def checked_count(document: Mapping[str, Any], name: str, default: int | None, minimum: int) -> int | None:
    value = document.get(name, default)
    if value is None and default is None:
        return None
    if not is_integer(value) or value < minimum:
        raise RuleError(f"{name}: expected a whole number of at least {minimum}")
    return int(value)


def refuse_unknown_fields(document: Mapping[str, Any], known: Iterable[str], place: str) -> None:
    unknown = sorted(set(document) - set(known))
    if unknown:
        raise RuleError(f"{place}: unknown field {unknown[0]!r}; known: {', '.join(sorted(known))}")


@dataclasses.dataclass(frozen=True)
class Traits:
    """What a rule can match a request by."""

    listener: str
    patterns: Mapping[str, str]
    tool_names: tuple[str, ...]
    flags: Mapping[str, bool]


@dataclasses.dataclass
class Rule:
    """A fault or reply with the requests that it applies to.

    ``remaining`` is None until cleared, else the number of requests that it still applies to.
    """

    identifier: int
    document: JsonObject
    listener: str
    match: JsonObject
    skip: int
    remaining: int | None
    applied: int = 0
    cleared: threading.Event = dataclasses.field(default_factory=threading.Event)

    def applies_to(self, traits: Traits) -> bool:
        """Whether this rule matches; counts and skips are the book's business."""
        if self.listener not in ("*", traits.listener):
            return False
        # Without this default a health probe on "/" would use up a fault that was meant for a model request.
        patterns = {"path": "/v1/*", **self.match}
        for name, wanted in patterns.items():
            if name in MATCH_FLAGS:
                if traits.flags.get(name, False) is not wanted:
                    return False
            elif name == "tool":
                if not any(fnmatch.fnmatchcase(tool, wanted) for tool in traits.tool_names):
                    return False
            elif not fnmatch.fnmatchcase(traits.patterns.get(name, ""), wanted):
                return False
        return True

    def describe(self) -> JsonObject:
        return {
            **self.document,
            "id": self.identifier,
            "listener": self.listener,
            "remaining": self.remaining,
            "applied": self.applied,
        }


class RuleBook:
    """An ordered list of rules; the oldest one that matches is taken."""

    def __init__(self, kind: str, listeners: Sequence[str], check: Callable[[JsonObject], JsonObject]) -> None:
        self.kind = kind
        self._listeners = listeners
        self._check = check
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._next = 1

    def add(self, document: JsonObject) -> JsonObject:
        """Check and append a rule. Raises RuleError."""
        cleaned = self._check(document)
        listener = document.get("listener", "*")
        if listener != "*" and listener not in self._listeners:
            raise RuleError(f"listener: {listener!r} is not one of *, {', '.join(self._listeners)}")
        match = document.get("match", {})
        if not isinstance(match, dict):
            raise RuleError("match: expected an object")
        refuse_unknown_fields(match, MATCH_PATTERNS | MATCH_FLAGS, "match")
        for name, wanted in match.items():
            if name in MATCH_FLAGS and not isinstance(wanted, bool):
                raise RuleError(f"match.{name}: expected true or false")
            if name in MATCH_PATTERNS and not isinstance(wanted, str):
                raise RuleError(f"match.{name}: expected a shell-style pattern")
        count = checked_count(document, "count", None, 1)
        skip = checked_count(document, "skip", 0, 0) or 0
        with self._lock:
            if len(self._rules) >= MAXIMUM_RULES:
                # Spent rules stay for reading what they did, until their room is needed.
                spent = next((rule for rule in self._rules if rule.remaining == 0), None)
                if spent is None:
                    raise RuleError(f"{self.kind}s: {MAXIMUM_RULES} are active; clear some first")
                self._rules.remove(spent)
            rule = Rule(self._next, cleaned, listener, match, skip, count)
            self._next += 1
            self._rules.append(rule)
            return rule.describe()

    def take(self, traits: Traits) -> Rule | None:
        """Return the rule for a request and use it up by one, or None."""
        with self._lock:
            for rule in self._rules:
                if rule.remaining == 0 or not rule.applies_to(traits):
                    continue
                if rule.skip > 0:
                    rule.skip -= 1
                    continue
                rule.applied += 1
                if rule.remaining is not None:
                    rule.remaining -= 1
                return rule
        return None

    def describe(self) -> list[JsonObject]:
        with self._lock:
            return [rule.describe() for rule in self._rules]

    def clear(self, *, identifier: int | None = None, listener: str | None = None) -> int:
        """Remove the rules that fit both arguments, let go of the requests that they hold, return how many."""
        with self._lock:
            removed = [
                rule
                for rule in self._rules
                if (identifier is None or rule.identifier == identifier)
                and (listener is None or rule.listener == listener)
            ]
            self._rules = [rule for rule in self._rules if rule not in removed]
        for rule in removed:
            rule.cleared.set()
        return len(removed)


def error_name(value: Any, place: str) -> str:
    if isinstance(value, str) and value.isdigit():
        value = int(value)
    name = ERROR_OF_STATUS.get(value) if is_integer(value) else value
    if not isinstance(name, str) or name not in ERRORS:
        raise RuleError(f"{place}: {value!r} is neither an error of the API nor its status: {', '.join(ERRORS)}")
    return name


def checked_fault(document: JsonObject) -> JsonObject:
    """Return a fault with all its settings filled in. Raises RuleError."""
    refuse_unknown_fields(document, FAULT_FIELDS, "fault")
    fault = document.get("fault")
    if fault is None:
        raise RuleError(f"fault: required; one of {', '.join(sorted(CONNECTION_FAULTS))}, {', '.join(ERRORS)}")
    name = fault if isinstance(fault, str) and fault in CONNECTION_FAULTS else error_name(fault, "fault")
    message = document.get("message")
    if message is not None and not isinstance(message, str):
        raise RuleError("message: expected a string")
    if not isinstance(document.get("reset", False), bool):
        raise RuleError("reset: expected true or false")
    return {
        "fault": name,
        "message": message,
        "retry_after_seconds": int(checked_number(document, "retry_after_seconds", 1, 86400)),
        "delay_seconds": checked_number(document, "delay_seconds", 5 if name == "slow" else 0, 3600),
        "chunk_delay_seconds": checked_number(document, "chunk_delay_seconds", 1 if name == "slow_stream" else 0, 3600),
        "after_events": checked_count(document, "after_events", 4, 0),
        "error": error_name(document.get("error", "overloaded_error"), "error"),
        "reset": document.get("reset", False),
        "match": document.get("match", {}),
    }


def checked_reply(document: JsonObject) -> JsonObject:
    """Return a scripted reply as content blocks. Raises RuleError."""
    refuse_unknown_fields(document, REPLY_FIELDS, "reply")
    if ("content" in document) == ("text" in document):
        raise RuleError("reply: exactly one of content and text is required")
    content = document["content"] if "content" in document else [{"type": "text", "text": document["text"]}]
    if not isinstance(content, list) or not content:
        raise RuleError("content: expected a list with at least one block")
    fields: Mapping[str, Mapping[str, type]] = {
        "text": {"text": str},
        "thinking": {"thinking": str},
        "tool_use": {"name": str, "input": dict},
    }
    for number, block in enumerate(content):
        place = f"content[{number}]"
        if not isinstance(block, dict) or block.get("type") not in fields:
            raise RuleError(f"{place}: expected an object whose type is one of {', '.join(fields)}")
        known = fields[block["type"]]
        refuse_unknown_fields(block, {"type", *known}, place)
        for name, kind in known.items():
            if name in block and not isinstance(block[name], kind):
                raise RuleError(f"{place}.{name}: expected {kind.__name__}")
    return {"content": content, "match": document.get("match", {})}


# ---------------------------------------------------------------------------------------------------------------
# The ledger: what reached which listener


def now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def shortened(value: str | None) -> str | None:
    return None if value is None else value[:MAXIMUM_RECORDED_TEXT]


class Tally:
    """The exact counts of one listener."""

    NUMBERS = (
        "connections",
        "open_connections",
        "turned_away",
        "tls_failures",
        "malformed",
        "without_request",
        "requests",
        "messages",
        "unexpected",
    )
    LABELLED = ("by_status", "by_outcome", "by_fault", "by_model", "by_path")

    def __init__(self) -> None:
        self.numbers: dict[str, int] = dict.fromkeys(self.NUMBERS, 0)
        self.labelled: dict[str, dict[str, int]] = {name: {} for name in self.LABELLED}

    def add_label(self, group: str, label: str) -> None:
        counts = self.labelled[group]
        # A client that sends ever new paths must not make the process grow.
        if label not in counts and len(counts) >= MAXIMUM_DISTINCT_LABELS:
            label = "(other)"
        counts[label] = counts.get(label, 0) + 1

    def describe(self) -> JsonObject:
        return {**self.numbers, **{name: dict(counts) for name, counts in self.labelled.items()}}


class Ledger:
    """Counts and records of all listeners; exact counts, the newest ``keep`` records.

    A reset starts a new generation. What an older generation still has under way changes the records of that
    generation only, so that no test sees the tail of the one before it. The one exception is ``open_connections``,
    which is a gauge.
    """

    def __init__(self, listeners: Sequence[str], keep: int) -> None:
        self._listeners = tuple(listeners)
        self._keep = keep
        self._lock = threading.Lock()
        self._next_request = 1
        # A restarted simulator has lost its counts; a test that expects zero has to be able to notice that.
        self.instance = secrets.token_hex(8)
        self.started = now()
        self._open: dict[str, int] = dict.fromkeys(self._listeners, 0)
        self.generation = 0
        self._start_generation()

    def _start_generation(self) -> None:
        self._tallies = {name: Tally() for name in self._listeners}
        self._requests: collections.deque[JsonObject] = collections.deque(maxlen=self._keep)
        self._connections: collections.deque[JsonObject] = collections.deque(maxlen=self._keep)
        self._since = now()

    def reset(self) -> int:
        with self._lock:
            self.generation += 1
            self._start_generation()
            return self.generation

    def connection_opened(self, listener: str, source: str, *, turned_away: bool) -> Visit:
        with self._lock:
            numbers = self._tallies[listener].numbers
            numbers["connections"] += 1
            if turned_away:
                numbers["turned_away"] += 1
            else:
                self._open[listener] += 1
            return Visit(listener, source, self.generation)

    def connection_closed(self, visit: Visit) -> None:
        with self._lock:
            self._open[visit.listener] -= 1
            if visit.generation != self.generation:
                return
            numbers = self._tallies[visit.listener].numbers
            if visit.reason == "tls_failure":
                numbers["tls_failures"] += 1
            if visit.reason == "malformed":
                numbers["malformed"] += 1
            if visit.requests == 0:
                numbers["without_request"] += 1
                self._connections.append(
                    {
                        "time": now(),
                        "listener": visit.listener,
                        "source": visit.source,
                        "server_name": shortened(visit.server_name),
                        "reason": visit.reason,
                    }
                )

    def request_arrived(self, record: JsonObject) -> None:
        """Count a request as soon as its head is complete: what hangs or breaks afterwards has reached us as well."""
        with self._lock:
            record["id"] = self._next_request
            record["generation"] = self.generation
            self._next_request += 1
            tally = self._tallies[record["listener"]]
            tally.numbers["requests"] += 1
            if record["method"] == "POST" and record["path"] == "/v1/messages":
                tally.numbers["messages"] += 1
            if record["unexpected"]:
                tally.numbers["unexpected"] += 1
            tally.add_label("by_path", f"{record['method']} {record['path']}")
            self._requests.append(record)

    def request_understood(self, record: JsonObject, details: Mapping[str, Any]) -> None:
        with self._lock:
            record.update(details)
            if record["generation"] == self.generation and record["model"] is not None:
                self._tallies[record["listener"]].add_label("by_model", record["model"])

    def fault_applied(self, record: JsonObject, fault: str) -> None:
        with self._lock:
            record["fault"] = fault
            if record["generation"] == self.generation:
                self._tallies[record["listener"]].add_label("by_fault", fault)

    def reply_chosen(self, record: JsonObject, identifier: int) -> None:
        with self._lock:
            record["reply"] = identifier

    def request_answered(self, record: JsonObject, status: int) -> None:
        with self._lock:
            record["status"] = status
            if record["generation"] == self.generation:
                self._tallies[record["listener"]].add_label("by_status", str(status))

    def request_ended(self, record: JsonObject, outcome: str, seconds: float) -> None:
        with self._lock:
            record["outcome"] = outcome
            record["milliseconds"] = round(seconds * 1000)
            if record["generation"] == self.generation:
                self._tallies[record["listener"]].add_label("by_outcome", outcome)

    def counts(self) -> JsonObject:
        with self._lock:
            listeners = {}
            for name, tally in self._tallies.items():
                listeners[name] = {**tally.describe(), "open_connections": self._open[name]}
            return {
                "instance": self.instance,
                "started": self.started,
                "generation": self.generation,
                "since": self._since,
                "listeners": listeners,
            }

    def requests(self, filters: Mapping[str, str], after: int, limit: int) -> list[JsonObject]:
        """Return, oldest first, the newest ``limit`` records above id ``after`` whose fields equal ``filters``."""
        with self._lock:
            chosen = [
                dict(record)
                for record in self._requests
                if record["id"] > after
                and all(comparable(record.get(name)) == value for name, value in filters.items())
            ]
        return chosen[-limit:] if limit else []

    def bare_connections(self, limit: int) -> list[JsonObject]:
        with self._lock:
            return list(self._connections)[-limit:] if limit else []


def comparable(value: Any) -> str:
    """Return a record's value as a query string spells it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


class BodyStore:
    """Keeps the newest request bodies as files of mode 0600, for a person who debugs; off unless asked for."""

    def __init__(self, directory: str, keep: int) -> None:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        self._directory = directory
        self._keep = keep
        self._lock = threading.Lock()
        self._names: collections.deque[str] = collections.deque()

    def add(self, identifier: int, body: bytes) -> None:
        name = os.path.join(self._directory, f"{identifier}.body")
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(body)
        with self._lock:
            self._names.append(name)
            expired = [self._names.popleft() for _number in range(len(self._names) - self._keep)]
        for old in expired:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(old)


# ---------------------------------------------------------------------------------------------------------------
# Listeners


class ListenerError(ValueError):
    """A ``--listen`` or ``--control`` value that cannot work; the message says which part."""


@dataclasses.dataclass
class Visit:
    """One connection as the ledger sees it.

    :param reason: how it ended: ``closed``, ``tls_failure`` or ``malformed``.
    """

    listener: str
    source: str
    generation: int
    server_name: str | None = None
    requests: int = 0
    reason: str = "closed"


@dataclasses.dataclass(frozen=True)
class Listener:
    """One named listener.

    :param addresses: IPv4 or IPv6 literals, all with the same port.
    :param hosts: Host headers that are answered as the API; empty means any.
    :param keys: accepted keys; None accepts every key that is not empty.
    """

    name: str
    addresses: tuple[str, ...]
    port: int
    tls: ssl.SSLContext | None = None
    hosts: tuple[str, ...] = ()
    keys: frozenset[str] | None = None


LISTENER_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
LISTENER_FIELDS = frozenset(("name", "address", "port", "tls", "certificate", "key", "host", "keys"))
server_name_of_thread = threading.local()


def remember_server_name(_socket: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
    # The handshake runs in the connection's own thread, so the thread is the place to leave the name at.
    server_name_of_thread.value = name


def tls_context(certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["http/1.1"])
    context.sni_callback = remember_server_name
    return context


def parse_listener(text: str) -> Listener:
    """Read ``name=...,address=...,port=...[,tls=1,certificate=FILE,key=FILE][,host=NAME...][,keys=FILE]``.

    ``address`` and ``host`` may be given more than once.

    :raises ListenerError: with the field and what was found.
    """
    fields: dict[str, list[str]] = {}
    for part in text.split(","):
        name, separator, value = part.partition("=")
        if not separator or name not in LISTENER_FIELDS or not value:
            known = ", ".join(sorted(LISTENER_FIELDS))
            raise ListenerError(f"{part!r}: expected one of {known}, followed by = and a value")
        fields.setdefault(name, []).append(value)
    for name, values in fields.items():
        if len(values) > 1 and name not in ("address", "host"):
            raise ListenerError(f"{name}: given {len(values)} times")

    def single(name: str, default: str = "") -> str:
        return fields.get(name, [default])[0]

    listener_name = single("name")
    if LISTENER_NAME.fullmatch(listener_name) is None:
        raise ListenerError(f"name: {listener_name!r} is not made of letters, digits, '.', '_' and '-'")
    addresses = tuple(fields.get("address", ["127.0.0.1"]))
    for address in addresses:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise ListenerError(f"address: {address!r} is not an IPv4 or IPv6 address") from None
    port = single("port")
    if not port.isdigit() or int(port) > 65535:
        raise ListenerError(f"port: {port!r} is not a number from 0 to 65535")
    if single("tls", "0") not in ("0", "1"):
        raise ListenerError("tls: expected 0 or 1")
    context: ssl.SSLContext | None = None
    if single("tls", "0") == "1":
        if not single("certificate") or not single("key"):
            raise ListenerError("tls=1 needs certificate=FILE and key=FILE")
        try:
            context = tls_context(single("certificate"), single("key"))
        except OSError as error:
            raise ListenerError(f"certificate, key: {error}") from error
    elif single("certificate") or single("key"):
        raise ListenerError("certificate and key need tls=1")
    keys: frozenset[str] | None = None
    if single("keys"):
        try:
            lines = pathlib.Path(single("keys")).read_text(encoding="utf-8").splitlines()
            keys = frozenset(line.strip() for line in lines if line.strip())
        except OSError as error:
            raise ListenerError(f"keys: {error}") from error
    hosts = tuple(host.lower() for host in fields.get("host", []))
    return Listener(listener_name, addresses, int(port), context, hosts, keys)


def parse_control(text: str) -> tuple[str, int]:
    """Read ``ADDRESS:PORT`` or ``[IPV6]:PORT``. Raises ListenerError."""
    address, separator, port = text.rpartition(":")
    address = address[1:-1] if address.startswith("[") and address.endswith("]") else address
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise ListenerError(f"{text!r} is not ADDRESS:PORT") from None
    if not separator or not port.isdigit() or int(port) > 65535:
        raise ListenerError(f"{text!r} is not ADDRESS:PORT")
    return address, int(port)


def listening_socket(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # 0.0.0.0 and :: can then be bound side by side, and a source address tells the family that was used.
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind((address, port))
        opened.listen(512)
        opened.setblocking(False)
    except OSError:
        opened.close()
        raise
    return opened


# ---------------------------------------------------------------------------------------------------------------
# One connection


class ConnectionDroppedError(Exception):
    """Close the connection now; ``outcome`` says why."""

    def __init__(self, outcome: str) -> None:
        self.outcome = outcome
        super().__init__(outcome)


class IncompleteBodyError(Exception):
    """The client went away before its body was complete."""


def read_limited_line(stream: Any) -> bytes:
    line: bytes = stream.readline(65537)
    if len(line) > 65536 or not line.endswith(b"\n"):
        raise IncompleteBodyError
    return line


def read_exactly(stream: Any, length: int, keep: list[bytes] | None) -> None:
    """Read ``length`` bytes in bounded pieces, append them to ``keep`` unless it is None."""
    while length > 0:
        piece: bytes = stream.read(min(length, 65536))
        if not piece:
            raise IncompleteBodyError
        if keep is not None:
            keep.append(piece)
        length -= len(piece)


def read_body(stream: Any, headers: email.message.Message, maximum: int) -> bytes:
    """Return a request's body, sent with a length or in chunks (RFC 9112, 6 and 7.1).

    :raises ApiError: 413 when it is longer than ``maximum`` (it is read to its end and thrown away, so that the
        client gets to see the answer), 400 when its length cannot be known.
    :raises IncompleteBodyError: when the client went away.
    """
    kept: list[bytes] = []
    encoding = headers.get("transfer-encoding", "").strip().lower()
    if encoding:
        require(encoding == "chunked", "transfer-encoding: only chunked is supported")
        total = 0
        while True:
            size_text = read_limited_line(stream).split(b";", 1)[0].strip()
            require(re.fullmatch(rb"[0-9a-fA-F]{1,15}", size_text) is not None, "chunk size is not a number")
            size = int(size_text, 16)
            total += size
            if total > maximum:
                kept.clear()
            read_exactly(stream, size, kept if total <= maximum else None)
            if size == 0:
                while read_limited_line(stream).strip():
                    pass
                break
            require(read_limited_line(stream).strip() == b"", "chunk does not end where it should")
    else:
        length = headers.get("content-length", "0").strip()
        require(re.fullmatch(r"[0-9]{1,15}", length, re.ASCII) is not None, "content-length is not a number")
        total = int(length)
        read_exactly(stream, total, kept if total <= maximum else None)
    if total > maximum:
        raise ApiError("request_too_large")
    return b"".join(kept)


def split_target(target: str) -> tuple[str, str, dict[str, list[str]]]:
    """Split a request target (RFC 9112, 3.2) into host (empty unless the client speaks to a proxy), path and query."""
    try:
        parts = urllib.parse.urlsplit(target)
    except ValueError:
        return "", target, {}
    return parts.netloc, parts.path or target, urllib.parse.parse_qs(parts.query)


def host_name(host: str) -> str | None:
    """Return the name in a Host header, in lower case and without the port."""
    try:
        return urllib.parse.urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def key_fingerprint(key: str) -> str:
    """Return what may be recorded of a key: the first 12 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:12]


class WatchedReader:
    """A binary stream that remembers whether a line was cut off by the stream's end."""

    def __init__(self, stream: io.BufferedIOBase) -> None:
        self._stream = stream
        self.ended = False

    def readline(self, limit: int = -1) -> bytes:
        line = self._stream.readline(limit)
        if not line.endswith(b"\n") and (limit < 0 or len(line) < limit):
            self.ended = True
        return line

    def read(self, length: int = -1) -> bytes:
        return self._stream.read(length)

    def close(self) -> None:
        self._stream.close()


class JsonHandler(http.server.BaseHTTPRequestHandler):
    """What the API's and the control interface's connections share: HTTP/1.1 with JSON bodies."""

    protocol_version = "HTTP/1.1"
    server: Simulator  # type: ignore[assignment]

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  (the name is the base class's)
        return

    def setup(self) -> None:
        super().setup()
        self.reader = self.rfile = WatchedReader(self.rfile)  # type: ignore[assignment]

    def handle_one_request(self) -> None:
        """Read one request and pass it to ``respond``, whatever its method is."""
        try:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline:
                self.close_connection = True
            elif len(self.raw_requestline) > 65536:
                # Parsing would have set it, and the answer needs it.
                self.command = ""
                self.send_error(HTTPStatus.REQUEST_URI_TOO_LONG)
            elif self.parse_request():
                if self.reader.ended:
                    # The base class takes the end of the stream for the end of the head.
                    self.close_connection = True
                else:
                    self.respond()
                    self.wfile.flush()
        except OSError:
            # Timeouts, resets and TLS errors all mean that nobody is there to answer.
            self.close_connection = True

    def respond(self) -> None:
        raise NotImplementedError

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is not HTTP; called by the base class while it parses."""
        self.close_connection = True
        # Until it has read a version, the base class takes the client for one of HTTP/0.9, which gets no head.
        self.request_version = "HTTP/1.1"
        identifier = random_identifier("req_01")
        self.send_json(int(code), error_body("invalid_request_error", "Bad request", identifier))

    def send_head(self, status: int, headers: Mapping[str, str]) -> None:
        try:
            phrase = HTTPStatus(status).phrase
        except ValueError:
            phrase = "Overloaded" if status == 529 else "Error"
        self.send_response_only(status, phrase)
        self.send_header("date", self.date_time_string())
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()

    def send_json(self, status: int, document: Any, headers: Mapping[str, str] | None = None) -> None:
        body = json.dumps(document).encode("utf-8")
        self.send_head(
            status, {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
        )
        if self.command != "HEAD":
            self.wfile.write(body)


class ApiConnection(JsonHandler):
    """One connection to a listener."""

    def __init__(
        self,
        connection: socket.socket,
        address: tuple[str, int],
        simulator: Simulator,
        listener: Listener,
        visit: Visit,
    ) -> None:
        self.listener = listener
        self.visit = visit
        super().__init__(connection, address, simulator)  # type: ignore[arg-type]

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(self.server.settings.idle_timeout)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        self.visit.reason = "malformed"
        super().send_error(code, message, explain)

    # -- reading and recording

    def respond(self) -> None:
        self.visit.requests += 1
        started = time.monotonic()
        self.request_identifier = random_identifier("req_01")
        proxied_host, self.api_path, self.query = split_target(self.path)
        host = self.headers.get("host") or proxied_host
        self.key, self.key_header = self.presented_key()
        record: JsonObject = {
            "id": 0,
            "time": now(),
            "listener": self.listener.name,
            "method": shortened(self.command),
            "path": shortened(self.api_path),
            "host": shortened(host),
            "unexpected": not self.is_api_request(host, proxied_host),
            "source": self.client_address[0],
            "source_port": self.client_address[1],
            "server_name": shortened(self.visit.server_name),
            "user_agent": shortened(self.headers.get("user-agent")),
            "anthropic_version": shortened(self.headers.get("anthropic-version")),
            "key_header": self.key_header,
            "key_fingerprint": key_fingerprint(self.key) if self.key else None,
            "request_id": self.request_identifier,
            "model": None,
            "stream": None,
            "tools": None,
            "bytes": None,
            "digest": None,
            "fault": None,
            "reply": None,
            "status": None,
            "outcome": None,
            "milliseconds": None,
        }
        self.record = record
        ledger = self.server.ledger
        ledger.request_arrived(record)
        outcome = "failed"
        try:
            outcome = self.answer()
        except ConnectionDroppedError as dropped:
            self.close_connection = True
            outcome = dropped.outcome
        except (IncompleteBodyError, OSError):
            self.close_connection = True
            outcome = "client_gone"
        finally:
            ledger.request_ended(record, outcome, time.monotonic() - started)
            self.server.log("request", record)

    def presented_key(self) -> tuple[str, str | None]:
        """Return the credential of the request and the header that carried it."""
        key = self.headers.get("x-api-key", "").strip()
        if key:
            return key, "x-api-key"
        scheme, _separator, token = self.headers.get("authorization", "").strip().partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return token.strip(), "authorization"
        return "", None

    def is_api_request(self, host: str, proxied_host: str) -> bool:
        if proxied_host or self.command == "CONNECT":
            # The client takes the simulator for a forward proxy.
            return False
        if self.listener.hosts and host_name(host) not in self.listener.hosts:
            return False
        return self.route() is not None

    def route(self) -> tuple[str, Callable[[bytes], str]] | None:
        """Return the method that the path wants and what answers it."""
        if self.api_path == "/v1/messages":
            return "POST", self.answer_messages
        if self.api_path == "/v1/messages/count_tokens":
            return "POST", self.answer_count_tokens
        if self.api_path == "/v1/models":
            return "GET", self.answer_models
        if self.api_path.startswith("/v1/models/") and len(self.api_path) > len("/v1/models/"):
            return "GET", self.answer_model
        return None

    # -- answering

    def answer(self) -> str:
        """Answer the request and return the outcome for the record."""
        self.fault: JsonObject = {}
        self.fault_rule: Rule | None = None
        self.message_request: MessageRequest | None = None
        refusal: ApiError | None = None
        body = b""
        try:
            if self.headers.get("content-encoding", "identity").lower() != "identity":
                self.close_connection = True
                raise ApiError("invalid_request_error", "content-encoding: only identity is supported")
            body = read_body(self.rfile, self.headers, MAXIMUM_BODY_BYTES)
        except ApiError as error:
            # What was left unread would be taken for the next request.
            self.close_connection = True
            refusal = error
        if refusal is None:
            refusal = self.understand(body)
        try:
            self.apply_fault_before_answer()
            if refusal is not None and self.record["unexpected"] is False:
                self.check_access()
                raise refusal
            route = self.route()
            if self.record["unexpected"] or route is None:
                raise ApiError("not_found_error", "Not Found")
            method, answer = route
            if self.command != method:
                raise ApiError("invalid_request_error", "Method Not Allowed", status=405, headers={"allow": method})
            self.check_access()
            return answer(body)
        except ApiError as error:
            return self.answer_error(error)

    def understand(self, body: bytes) -> ApiError | None:
        """Record what the body asks for; return the refusal that it deserves, to be sent once access was checked."""
        details: JsonObject = {"bytes": len(body)}
        refusal: ApiError | None = None
        if body:
            details["digest"] = hashlib.sha256(body).hexdigest()
        if self.command == "POST" and self.api_path in ("/v1/messages", "/v1/messages/count_tokens"):
            try:
                document = parse_json_object(body)
                model, tools = document.get("model"), document.get("tools")
                details["model"] = shortened(model) if isinstance(model, str) else None
                details["stream"] = document.get("stream") is True
                details["tools"] = len(tools) if isinstance(tools, list) else 0
                counting = self.api_path != "/v1/messages"
                self.message_request = check_message_request(document, body, counting=counting)
            except ApiError as error:
                refusal = error
        self.server.ledger.request_understood(self.record, details)
        if body and self.server.bodies is not None:
            self.server.bodies.add(self.record["id"], body)
        return refusal

    def traits(self) -> Traits:
        request = self.message_request
        names = ("method", "path", "host", "model", "user_agent", "source", "key_fingerprint")
        patterns = {name: self.record[name] or "" for name in names}
        patterns["text"] = request.last_text if request is not None else ""
        return Traits(
            listener=self.listener.name,
            patterns=patterns,
            tool_names=request.tool_names if request is not None else (),
            flags={
                "stream": bool(self.record["stream"]),
                "tools": bool(self.record["tools"]),
                "tool_result": request is not None and request.ends_with_tool_result,
            },
        )

    def apply_fault_before_answer(self) -> None:
        rule = self.server.faults.take(self.traits())
        if rule is None:
            return
        self.fault, self.fault_rule = rule.document, rule
        name = self.fault["fault"]
        self.server.ledger.fault_applied(self.record, name)
        self.pause(self.fault["delay_seconds"])
        if name == "hang":
            self.hang()
        if name == "drop":
            self.drop()
        if name in ERRORS:
            headers = {}
            if name == "rate_limit_error":
                headers["retry-after"] = str(self.fault["retry_after_seconds"])
            raise ApiError(name, self.fault["message"], headers=headers)

    def check_access(self) -> None:
        """Check the headers that the API wants, in its order."""
        if not self.key:
            raise ApiError("authentication_error", "x-api-key header is required")
        if self.listener.keys is not None and self.key not in self.listener.keys:
            message = "invalid x-api-key" if self.key_header == "x-api-key" else "Invalid bearer token"
            raise ApiError("authentication_error", message)
        version = self.headers.get("anthropic-version", "").strip()
        require(version != "", "anthropic-version: header is required")
        # Only the form is checked: the list of versions grows, and a test must not fail for a new client.
        require(
            re.fullmatch(r"20\d\d-\d\d-\d\d", version, re.ASCII) is not None,
            f'anthropic-version: "{version[:40]}" is not a valid version',
        )

    def api_headers(self) -> dict[str, str]:
        return {"request-id": self.request_identifier, "x-simulator-listener": self.listener.name}

    def answer_error(self, error: ApiError) -> str:
        self.server.ledger.request_answered(self.record, error.status)
        document = error_body(error.kind, error.message, self.request_identifier)
        self.send_json(error.status, document, {**self.api_headers(), **error.headers})
        return "answered"

    def answer_document(self, document: JsonObject) -> str:
        body = json.dumps(document).encode("utf-8")
        headers = {"content-type": "application/json", "content-length": str(len(body)), **self.api_headers()}
        self.server.ledger.request_answered(self.record, 200)
        self.send_head(200, headers)
        # A document has no events: half of it stands for the middle of the stream.
        halves = (body[: len(body) // 2], body[len(body) // 2 :])
        self.wfile.write(halves[0])
        self.apply_fault_during_answer(position=None)
        self.pause(self.fault.get("chunk_delay_seconds", 0.0))
        self.wfile.write(halves[1])
        return "answered"

    def known_model(self, identifier: str) -> None:
        if self.server.catalogue.find(identifier) is None:
            raise ApiError("not_found_error", f"model: {identifier}")

    def answer_messages(self, body: bytes) -> str:
        request = self.message_request
        assert request is not None
        self.known_model(request.model)
        reply = self.server.replies.take(self.traits())
        if reply is not None:
            self.server.ledger.reply_chosen(self.record, reply.identifier)
        content = answer_content(
            request, f"SIMULATOR-{self.listener.name}-OK", None if reply is None else reply.document["content"]
        )
        message = answer_message(request, content)
        return self.answer_stream(message) if request.stream else self.answer_document(message)

    def answer_stream(self, message: JsonObject) -> str:
        chunked = self.request_version != "HTTP/1.0"
        if not chunked:
            self.close_connection = True
        headers = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
        if chunked:
            headers["transfer-encoding"] = "chunked"
        self.server.ledger.request_answered(self.record, 200)
        self.send_head(200, {**headers, **self.api_headers()})
        for position, event in enumerate(stream_events(message)):
            self.apply_fault_during_answer(position)
            self.pause(self.fault.get("chunk_delay_seconds", 0.0) if position else 0.0)
            if self.fault.get("fault") == "stream_error" and position == self.fault["after_events"]:
                kind = self.fault["error"]
                text = self.fault["message"] or ERRORS[kind][1]
                self.write_piece(encode_event(error_body(kind, text, self.request_identifier)), chunked)
                break
            self.write_piece(encode_event(event), chunked)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        return "answered"

    def write_piece(self, data: bytes, chunked: bool) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if chunked else data)

    def apply_fault_during_answer(self, position: int | None) -> None:
        """Break off or fall silent where the fault says so.

        :param position: number of events already sent, or None in the middle of a document.
        """
        name = self.fault.get("fault")
        if name not in ("drop_mid_stream", "hang_mid_stream") or position not in (None, self.fault["after_events"]):
            return
        self.wfile.flush()
        if name == "hang_mid_stream":
            self.hang()
        self.drop()

    def answer_count_tokens(self, body: bytes) -> str:
        request = self.message_request
        assert request is not None
        self.known_model(request.model)
        return self.answer_document({"input_tokens": request.input_tokens})

    def answer_models(self, body: bytes) -> str:
        limit = self.query.get("limit", ["20"])[-1]
        require(limit.isdigit() and 1 <= int(limit) <= 1000, "limit: Input should be from 1 to 1000")
        lifecycles = self.query.get("lifecycle", []) + self.query.get("lifecycle[]", [])
        models = self.server.catalogue.listed(lifecycles or ("active", "deprecated"))
        identifiers = [model["id"] for model in models]
        for name in ("after_id", "before_id"):
            for cursor in self.query.get(name, []):
                require(cursor in identifiers, f"{name}: unknown model")
                place = identifiers.index(cursor)
                models = models[place + 1 :] if name == "after_id" else models[:place]
                identifiers = [model["id"] for model in models]
        count = int(limit)
        page = models[-count:] if "before_id" in self.query else models[:count]
        return self.answer_document(
            {
                "data": page,
                "has_more": len(models) > len(page),
                "first_id": page[0]["id"] if page else None,
                "last_id": page[-1]["id"] if page else None,
            }
        )

    def answer_model(self, body: bytes) -> str:
        identifier = urllib.parse.unquote(self.api_path[len("/v1/models/") :])
        description = self.server.catalogue.describe(identifier)
        if description is None:
            raise ApiError("not_found_error", f"model: {identifier}")
        return self.answer_document(description)

    # -- ways not to answer

    def pause(self, seconds: float) -> None:
        """Wait, but not longer than the fault and the process last."""
        deadline = time.monotonic() + seconds
        while not self.server.stopping.is_set():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return
            if self.fault_rule is not None and self.fault_rule.cleared.wait(min(remaining, POLL_SECONDS)):
                return
        raise ConnectionDroppedError("stopped")

    def hang(self) -> None:
        """Say nothing until the client gives up, the fault is cleared or the process stops."""
        assert self.fault_rule is not None
        self.connection.settimeout(POLL_SECONDS)
        while not self.server.stopping.is_set() and not self.fault_rule.cleared.is_set():
            try:
                if not self.connection.recv(65536):
                    break
            except (socket.timeout, ssl.SSLWantReadError):
                continue
            except OSError:
                break
        raise ConnectionDroppedError("hung")

    def drop(self) -> None:
        if self.fault["reset"]:
            # Closing with a linger time of zero sends RST instead of FIN.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise ConnectionDroppedError("dropped")


class ControlConnection(JsonHandler):
    """One connection to the control listener."""

    timeout = 60

    def respond(self) -> None:
        try:
            document: JsonObject = {}
            body = read_body(self.rfile, self.headers, MAXIMUM_CONTROL_BODY_BYTES)
            if body:
                document = parse_json_object(body)
            status, answer = self.dispatch(document)
        except (RuleError, ValueError) as error:
            status, answer = 400, {"error": str(error)}
        except ApiError as error:
            self.close_connection = True
            status, answer = error.status, {"error": error.message}
        except IncompleteBodyError:
            self.close_connection = True
            return
        self.send_json(status, answer)

    def dispatch(self, document: JsonObject) -> tuple[int, JsonObject]:
        """Return the status and the answer of a control request; raises RuleError or ValueError for a bad one."""
        target = urllib.parse.urlsplit(self.path)
        query = {name: values[-1] for name, values in urllib.parse.parse_qs(target.query).items()}
        simulator = self.server
        call = (self.command, target.path)
        if call == ("GET", "/healthz"):
            return 200, {"status": "ok", "instance": simulator.ledger.instance}
        if call == ("GET", "/counts"):
            return 200, simulator.ledger.counts()
        if call == ("GET", "/requests"):
            limit, after = int(query.pop("limit", "1000")), int(query.pop("after", "0"))
            return 200, {"requests": simulator.ledger.requests(query, after, max(0, limit))}
        if call == ("GET", "/connections"):
            return 200, {"connections": simulator.ledger.bare_connections(max(0, int(query.get("limit", "1000"))))}
        if call == ("POST", "/reset"):
            simulator.faults.clear()
            simulator.replies.clear()
            return 200, {"generation": simulator.ledger.reset()}
        books = {"/faults": simulator.faults, "/replies": simulator.replies}
        if target.path in books:
            book = books[target.path]
            if self.command == "GET":
                return 200, {target.path[1:]: book.describe()}
            if self.command == "POST":
                added = book.add(document)
                simulator.log(book.kind, added)
                return 201, added
            if self.command == "DELETE":
                refuse_unknown_fields(query, ("id", "listener"), "query")
                identifier = int(query["id"]) if "id" in query else None
                return 200, {"cleared": book.clear(identifier=identifier, listener=query.get("listener"))}
        return 404, {"error": f"{self.command} {target.path} is not part of the control interface"}


# ---------------------------------------------------------------------------------------------------------------
# The process


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the command line decides besides the listeners.

    :param idle_timeout: seconds that a connection may stay silent.
    :param maximum_connections: connections at one time; further ones are counted and closed.
    """

    keep_records: int = 10000
    idle_timeout: float = 75.0
    maximum_connections: int = 2048
    additional_models: tuple[str, ...] = ()
    refuse_retired: bool = False
    record_bodies: str | None = None
    quiet: bool = False


class Simulator:
    """All listeners of one process and what they share.

    Usable in-process: ``start()`` binds and serves from daemon threads, ``ports`` says where, ``stop()`` ends it.

    :raises OSError: from ``start()`` when an address cannot be bound.
    """

    def __init__(
        self,
        listeners: Sequence[Listener],
        control: tuple[str, int] = ("127.0.0.1", 0),
        settings: Settings | None = None,
    ) -> None:
        names = [listener.name for listener in listeners]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if not names or repeated:
            raise ListenerError(f"name: {repeated[0]!r} is used twice" if repeated else "no listener is given")
        self.settings = settings or Settings()
        self.listeners = tuple(listeners)
        self.control = control
        self.ledger = Ledger(names, self.settings.keep_records)
        self.faults = RuleBook("fault", names, checked_fault)
        self.replies = RuleBook("reply", names, checked_reply)
        self.catalogue = ModelCatalogue(self.settings.additional_models, refuse_retired=self.settings.refuse_retired)
        self.bodies: BodyStore | None = None
        if self.settings.record_bodies is not None:
            self.bodies = BodyStore(self.settings.record_bodies, self.settings.keep_records)
        self.stopping = threading.Event()
        self.ports: dict[str, list[tuple[str, int]]] = {}
        self._selector = selectors.DefaultSelector()
        self._sockets: list[socket.socket] = []
        self._slots = threading.BoundedSemaphore(self.settings.maximum_connections)
        self._active = 0
        self._served: set[socket.socket] = set()
        self._idle = threading.Condition()
        self._log_lock = threading.Lock()
        self._accepting = threading.Thread(target=self._accept_forever, name="accept", daemon=True)

    def start(self) -> None:
        try:
            for listener in self.listeners:
                self._bind(listener.name, listener.addresses, listener.port, listener)
            self._bind("", (self.control[0],), self.control[1], None)
        except OSError:
            self._close_sockets()
            raise
        self._accepting.start()

    def _bind(self, name: str, addresses: Sequence[str], port: int, listener: Listener | None) -> None:
        for address in addresses:
            try:
                opened = listening_socket(address, port)
            except OSError as error:
                where = f"listener {name!r}" if name else "control listener"
                message = f"{where}: cannot listen on {address} port {port}: {error.strerror}"
                raise OSError(error.errno, message) from error
            self._sockets.append(opened)
            self.ports.setdefault(name, []).append((address, opened.getsockname()[1]))
            self._selector.register(opened, selectors.EVENT_READ, listener)

    def addresses(self) -> JsonObject:
        """Return where everything listens: ``{"control": [...], "listeners": {name: [...]}}``."""

        def spelled(places: list[tuple[str, int]]) -> list[JsonObject]:
            return [{"address": address, "port": port} for address, port in places]

        return {
            "control": spelled(self.ports[""]),
            "listeners": {name: spelled(places) for name, places in self.ports.items() if name},
        }

    def _accept_forever(self) -> None:
        while not self.stopping.is_set():
            for key, _events in self._selector.select(POLL_SECONDS):
                opened = key.fileobj
                assert isinstance(opened, socket.socket)
                try:
                    connection, address = opened.accept()
                except (BlockingIOError, ConnectionError, InterruptedError):
                    continue
                except OSError:
                    # Out of file descriptors, most likely. The peer waits in the backlog; do not spin meanwhile.
                    self.stopping.wait(POLL_SECONDS)
                    continue
                self._admit(connection, address[:2], key.data)

    def _admit(self, connection: socket.socket, address: tuple[str, int], listener: Listener | None) -> None:
        # The control interface has to answer even when the listeners are full, so it takes no slot.
        admitted = listener is None or self._slots.acquire(blocking=False)
        visit: Visit | None = None
        if listener is not None:
            visit = self.ledger.connection_opened(listener.name, address[0], turned_away=not admitted)
        if not admitted:
            connection.close()
            return
        with self._idle:
            self._active += 1
        try:
            threading.Thread(
                target=self._serve, args=(connection, address, listener, visit), name="connection", daemon=True
            ).start()
        except RuntimeError:
            # The machine has no thread left.
            connection.close()
            self._connection_ended(visit)

    def _serve(
        self, connection: socket.socket, address: tuple[str, int], listener: Listener | None, visit: Visit | None
    ) -> None:
        try:
            connection.setblocking(True)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if listener is not None and listener.tls is not None and visit is not None:
                connection = self._secure(connection, listener.tls, visit)
            with self._idle:
                self._served.add(connection)
            if listener is None or visit is None:
                ControlConnection(connection, address, self)  # type: ignore[arg-type]
            else:
                ApiConnection(connection, address, self, listener, visit)
        except OSError:
            # The peer is gone or does not speak TLS; the ledger says which.
            pass
        finally:
            with self._idle:
                self._served.discard(connection)
            connection.close()
            self._connection_ended(visit)

    def _secure(self, connection: socket.socket, context: ssl.SSLContext, visit: Visit) -> ssl.SSLSocket:
        visit.reason = "tls_failure"
        server_name_of_thread.value = None
        connection.settimeout(HANDSHAKE_TIMEOUT_SECONDS)
        secured = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        try:
            secured.do_handshake()
        except OSError:
            secured.close()
            raise
        finally:
            visit.server_name = server_name_of_thread.value
        visit.reason = "closed"
        return secured

    def _connection_ended(self, visit: Visit | None) -> None:
        if visit is not None:
            self.ledger.connection_closed(visit)
            self._slots.release()
            if visit.requests == 0:
                self.log("connection", dataclasses.asdict(visit))
        with self._idle:
            self._active -= 1
            self._idle.notify_all()

    LOGGED = (
        "id",
        "listener",
        "source",
        "method",
        "host",
        "path",
        "model",
        "stream",
        "tools",
        "key_fingerprint",
        "server_name",
        "fault",
        "remaining",
        "match",
        "reason",
        "status",
        "outcome",
        "milliseconds",
    )

    def log(self, event: str, fields: Mapping[str, Any]) -> None:
        """Write one line of ``name=value`` pairs to stderr; values are JSON where they are not plain words."""
        if self.settings.quiet:
            return
        words = [f"time={now()}", f"event={event}"]
        for name in self.LOGGED:
            value = fields.get(name)
            if value is None or value == {}:
                continue
            text = comparable(value)
            plain = re.fullmatch(r"[\w./:*@-]+", text, re.ASCII) is not None
            words.append(f"{name}={text if plain else json.dumps(value)}")
        with self._log_lock, contextlib.suppress(OSError, ValueError):
            sys.stderr.write(" ".join(words) + "\n")
            sys.stderr.flush()

    def _close_sockets(self) -> None:
        for opened in self._sockets:
            opened.close()
        self._selector.close()

    def stop(self) -> None:
        """Stop accepting, give what is under way a moment to end, and return."""
        self.stopping.set()
        self._accepting.join(timeout=STOP_GRACE_SECONDS)
        self._close_sockets()
        with self._idle:
            for connection in self._served:
                # Only the reading side: who waits for a request ends at once, who answers one can finish. Past the
                # TLS layer, because that would be torn down for the answer as well.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(connection, socket.SHUT_RD)
            self._idle.wait_for(lambda: self._active == 0, timeout=STOP_GRACE_SECONDS)


def notify_systemd(message: str) -> None:
    """Tell systemd, when it asked to be told (sd_notify(3): one datagram to ``NOTIFY_SOCKET``)."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.connect("\0" + path[1:] if path.startswith("@") else path)
        channel.sendall(message.encode("utf-8"))


def write_ready_file(path: str, document: JsonObject) -> None:
    """Write the addresses whole or not at all, so that a reader never sees half of them."""
    directory = os.path.dirname(os.path.abspath(path))
    descriptor, temporary = tempfile.mkstemp(dir=directory, prefix=".ready-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(document, stream)
            stream.write("\n")
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise


def raise_descriptor_limit(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    ceiling = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < ceiling:
        resource.setrlimit(resource.RLIMIT_NOFILE, (ceiling, hard))


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    defaults = Settings()
    parser = argparse.ArgumentParser(description="A stand-in for the Anthropic API; see README.md beside this file.")
    parser.add_argument(
        "--listen",
        action="append",
        required=True,
        metavar="name=NAME,port=PORT[,address=IP...][,tls=1,certificate=FILE,key=FILE][,host=NAME...][,keys=FILE]",
        help="a named listener; may be repeated",
    )
    parser.add_argument("--control", default="127.0.0.1:0", metavar="ADDRESS:PORT", help="the control listener")
    parser.add_argument("--ready-file", metavar="FILE", help="write the addresses here when everything listens")
    parser.add_argument("--keep-records", type=int, default=defaults.keep_records, metavar="NUMBER")
    parser.add_argument("--idle-timeout", type=float, default=defaults.idle_timeout, metavar="SECONDS")
    parser.add_argument("--maximum-connections", type=int, default=defaults.maximum_connections, metavar="NUMBER")
    parser.add_argument("--known-model", action="append", default=[], metavar="ID", help="a further model id")
    parser.add_argument("--refuse-retired", action="store_true", help="answer 404 to retired models, as the API does")
    parser.add_argument("--record-bodies", metavar="DIRECTORY", help="keep request bodies (prompts!) as files")
    parser.add_argument("--quiet", action="store_true", help="no access log")
    parsed = parser.parse_args(arguments)
    for name in ("keep_records", "maximum_connections", "idle_timeout"):
        if getattr(parsed, name) <= 0:
            parser.error(f"--{name.replace('_', '-')}: expected a number above 0")
    try:
        parsed.listeners = [parse_listener(text) for text in parsed.listen]
        parsed.control_address = parse_control(parsed.control)
    except ListenerError as error:
        parser.error(f"--listen or --control: {error}")
    return parsed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Returns 0, or 1 when an address cannot be bound."""
    parsed = parse_arguments(arguments)
    settings = Settings(
        keep_records=parsed.keep_records,
        idle_timeout=parsed.idle_timeout,
        maximum_connections=parsed.maximum_connections,
        additional_models=tuple(parsed.known_model),
        refuse_retired=parsed.refuse_retired,
        record_bodies=parsed.record_bodies,
        quiet=parsed.quiet,
    )
    # Two descriptors for a connection at most, and some for everything else.
    raise_descriptor_limit(settings.maximum_connections * 2 + 64)
    threading.stack_size(512 * 1024)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    try:
        simulator = Simulator(parsed.listeners, parsed.control_address, settings)
        simulator.start()
    except (ListenerError, OSError) as error:
        sys.stderr.write(f"anthropic_simulator: {error}\n")
        return 1
    ready = {"event": "ready", "instance": simulator.ledger.instance, "process": os.getpid(), **simulator.addresses()}
    if parsed.ready_file:
        write_ready_file(parsed.ready_file, ready)
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()
    notify_systemd(f"READY=1\nSTATUS=listening: {', '.join(listener.name for listener in parsed.listeners)}")
    stop.wait()
    notify_systemd("STOPPING=1")
    simulator.stop()
    if parsed.ready_file:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(parsed.ready_file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
