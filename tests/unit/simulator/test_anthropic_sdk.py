# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Anthropic's own SDK judges the simulator's wire format: its parsers and error classes, not ours."""

from __future__ import annotations

import base64
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import anthropic_simulator
import httpx2
import pytest
from anthropic.resources.messages.messages import DEPRECATED_MODELS
from anthropic.types import model_param
from running_simulator import RunningSimulator

HELLO: Any = [{"role": "user", "content": "hello"}]
WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}},
        "required": ["city", "unit"],
    },
}


@pytest.fixture
def client(simulator: RunningSimulator) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(
        api_key="test-key", base_url=simulator.url("upstream"), max_retries=0, timeout=10
    ) as opened:
        yield opened


def test_message(client: anthropic.Anthropic) -> None:
    message = client.messages.create(model="claude-opus-4-6", max_tokens=100, messages=HELLO)
    assert [block.type for block in message.content] == ["text"]
    assert message.content[0].text == "SIMULATOR-upstream-OK"  # type: ignore[union-attr]
    assert message.stop_reason == "end_turn"
    assert message.model == "claude-opus-4-6"
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0
    # The SDK validates lazily; this raises on a value that its declared types do not allow.
    anthropic.types.Message.model_validate(message.model_dump(), strict=True)


def test_bearer_token(simulator: RunningSimulator) -> None:
    with anthropic.Anthropic(auth_token="token", base_url=simulator.url("direct"), max_retries=0) as client:
        message = client.messages.create(model="claude-opus-4-6", max_tokens=100, messages=HELLO)
    assert message.content[0].text == "SIMULATOR-direct-OK"  # type: ignore[union-attr]
    assert simulator.last_request()["key_header"] == "authorization"


def test_stream_accumulates_to_the_same_message(client: anthropic.Anthropic) -> None:
    with client.messages.stream(model="claude-opus-4-6", max_tokens=100, messages=HELLO) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert text == "SIMULATOR-upstream-OK"
    assert message.content[0].text == text  # type: ignore[union-attr]
    assert message.stop_reason == "end_turn"


def test_raw_stream_events(client: anthropic.Anthropic) -> None:
    stream = client.messages.create(model="claude-opus-4-6", max_tokens=100, messages=HELLO, stream=True)
    kinds = [event.type for event in stream]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert set(kinds[2:-3]) == {"content_block_delta"}
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]


@pytest.mark.parametrize("streaming", [False, True])
def test_scripted_tool_use_and_its_result(
    simulator: RunningSimulator, client: anthropic.Anthropic, streaming: bool
) -> None:
    tool_input = {"city": "Zürich", "unit": "celsius"}
    simulator.reply(
        match={"tool": "get_*", "tool_result": False},
        content=[
            {"type": "text", "text": "Let me look."},
            {"type": "tool_use", "name": "get_weather", "input": tool_input},
        ],
    )

    def turn(messages: Any) -> anthropic.types.Message:
        arguments: Any = {"model": "claude-sonnet-4-6", "max_tokens": 100, "messages": messages, "tools": [WEATHER]}
        if not streaming:
            return client.messages.create(**arguments)  # type: ignore[no-any-return]
        with client.messages.stream(**arguments) as stream:
            return stream.get_final_message()

    first = turn(HELLO)
    assert first.stop_reason == "tool_use"
    assert [block.type for block in first.content] == ["text", "tool_use"]
    call = first.content[1]
    assert isinstance(call, anthropic.types.ToolUseBlock)
    assert (call.name, call.input) == ("get_weather", tool_input)
    second = turn(
        [
            *HELLO,
            {"role": "assistant", "content": [block.model_dump() for block in first.content]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}]},
        ]
    )
    assert second.stop_reason == "end_turn"
    assert second.content[0].text == "SIMULATOR-upstream-OK"  # type: ignore[union-attr]
    assert [record["tools"] for record in simulator.requests()] == [1, 1]


def test_forced_tool_choice_fits_the_schema(client: anthropic.Anthropic) -> None:
    message = client.messages.create(
        model="claude-opus-4-6", max_tokens=100, messages=HELLO, tools=[WEATHER], tool_choice={"type": "any"}
    )
    call = message.content[0]
    assert isinstance(call, anthropic.types.ToolUseBlock)
    assert call.input == {"city": "simulator", "unit": "celsius"}


@pytest.mark.parametrize("streaming", [False, True])
def test_thinking(client: anthropic.Anthropic, streaming: bool) -> None:
    arguments: Any = {
        "model": "claude-sonnet-4-6",
        "max_tokens": 4096,
        "messages": HELLO,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    if streaming:
        with client.messages.stream(**arguments) as stream:
            message = stream.get_final_message()
    else:
        message = client.messages.create(**arguments)
    assert [block.type for block in message.content] == ["thinking", "text"]
    thought = message.content[0]
    assert isinstance(thought, anthropic.types.ThinkingBlock)
    assert thought.thinking
    assert base64.b64decode(thought.signature, validate=True)


def test_adaptive_thinking_is_accepted(client: anthropic.Anthropic) -> None:
    message = client.messages.create(
        model="claude-opus-4-6", max_tokens=100, messages=HELLO, thinking={"type": "adaptive"}
    )
    assert [block.type for block in message.content] == ["text"]


def test_images_and_documents_are_accepted(client: anthropic.Anthropic) -> None:
    data = base64.b64encode(b"%PDF-1.7").decode()
    content: Any = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/picture.png"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": data}},
        {"type": "text", "text": "what is this?"},
    ]
    message = client.messages.create(
        model="claude-opus-4-6", max_tokens=100, messages=[{"role": "user", "content": content}]
    )
    assert message.content[0].text == "SIMULATOR-upstream-OK"  # type: ignore[union-attr]


def test_count_tokens(client: anthropic.Anthropic) -> None:
    assert client.messages.count_tokens(model="claude-opus-4-6", messages=HELLO).input_tokens > 0


def test_models_are_listed_page_by_page(client: anthropic.Anthropic) -> None:
    identifiers = [model.id for model in client.models.list(limit=5)]
    assert len(identifiers) == len(set(identifiers)) > 10
    assert "claude-opus-4-6" in identifiers
    assert not [identifier for identifier in identifiers if "." in identifier]
    retired = [model.id for model in client.models.list(lifecycle=["retired"])]
    assert "claude-3-7-sonnet-latest" in retired
    assert not set(retired) & set(identifiers)


def test_model_by_id(client: anthropic.Anthropic) -> None:
    model = client.models.retrieve("claude-opus-4-5-20251101")
    assert (model.id, model.line, model.lifecycle) == ("claude-opus-4-5-20251101", "opus", "active")
    assert (model.created_at.year, model.created_at.month, model.created_at.day) == (2025, 11, 1)


@pytest.mark.parametrize("identifier", ["claude-opus-4.6", "claude-sonnet-4.5", "claude-3.7-sonnet", "gpt-5"])
@pytest.mark.parametrize("streaming", [False, True])
def test_unknown_model(client: anthropic.Anthropic, identifier: str, streaming: bool) -> None:
    with pytest.raises(anthropic.NotFoundError) as caught:
        client.messages.create(model=identifier, max_tokens=100, messages=HELLO, stream=streaming)
    assert caught.value.type == "not_found_error"
    assert caught.value.api_message == f"model: {identifier}"
    assert caught.value.request_id is not None
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve(identifier)


@pytest.mark.parametrize(
    ("status", "kind", "exception"),
    [
        (400, "invalid_request_error", anthropic.BadRequestError),
        (401, "authentication_error", anthropic.AuthenticationError),
        (402, "billing_error", anthropic.APIStatusError),
        (403, "permission_error", anthropic.PermissionDeniedError),
        (404, "not_found_error", anthropic.NotFoundError),
        (413, "request_too_large", anthropic.APIStatusError),
        (429, "rate_limit_error", anthropic.RateLimitError),
        (500, "api_error", anthropic.InternalServerError),
        (504, "timeout_error", anthropic.APIStatusError),
        (529, "overloaded_error", anthropic.APIStatusError),
    ],
)
@pytest.mark.parametrize("streaming", [False, True])
def test_errors_on_demand(
    simulator: RunningSimulator,
    client: anthropic.Anthropic,
    status: int,
    kind: str,
    exception: type[anthropic.APIStatusError],
    streaming: bool,
) -> None:
    simulator.fault(status, count=1)
    with pytest.raises(exception) as caught:
        client.messages.create(model="claude-opus-4-6", max_tokens=100, messages=HELLO, stream=streaming)
    assert (caught.value.status_code, caught.value.type) == (status, kind)
    body: Any = caught.value.body
    assert body["type"] == "error"
    assert body["request_id"] == caught.value.request_id == simulator.last_request()["request_id"]
    client.messages.create(model="claude-opus-4-6", max_tokens=100, messages=HELLO)


def test_sdk_retries_after_the_time_that_it_is_told(simulator: RunningSimulator) -> None:
    simulator.fault("rate_limit_error", count=1, retry_after_seconds=1)
    with anthropic.Anthropic(api_key="k", base_url=simulator.url("upstream"), max_retries=1) as client:
        client.messages.create(model="claude-opus-4-6", max_tokens=100, messages=HELLO)
    assert simulator.counts("upstream")["by_status"] == {"429": 1, "200": 1}


def test_error_in_the_middle_of_a_stream(simulator: RunningSimulator, client: anthropic.Anthropic) -> None:
    simulator.fault("stream_error", after_events=5, error="overloaded_error")
    with (
        pytest.raises(anthropic.APIStatusError) as caught,
        client.messages.stream(model="claude-opus-4-6", max_tokens=100, messages=HELLO) as stream,
    ):
        list(stream.text_stream)
    assert caught.value.type == "overloaded_error"


@pytest.mark.parametrize("fault", ["drop", "drop_mid_stream"])
@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("streaming", [False, True])
def test_dropped_connection(
    simulator: RunningSimulator, client: anthropic.Anthropic, fault: str, reset: bool, streaming: bool
) -> None:
    simulator.fault(fault, reset=reset, count=1)
    # In the middle of a stream the SDK lets the error of its HTTP library through.
    with pytest.raises((anthropic.APIConnectionError, httpx2.TransportError)):
        answer: Any = client.messages.create(model="claude-opus-4-6", max_tokens=100, messages=HELLO, stream=streaming)
        list(answer)
    assert simulator.last_request()["outcome"] == "dropped"


def test_hanging(simulator: RunningSimulator, client: anthropic.Anthropic) -> None:
    simulator.fault("hang")
    with pytest.raises(anthropic.APITimeoutError):
        client.with_options(timeout=0.5).messages.create(model="claude-opus-4-6", max_tokens=100, messages=HELLO)
    record = simulator.last_request()
    assert (record["outcome"], record["status"]) == ("hung", None)


def test_models_that_the_sdk_calls_deprecated_are_not_active() -> None:
    """The list of models in the simulator names the lifecycle; the SDK must agree on what it warns about."""
    catalogue = anthropic_simulator.ModelCatalogue()
    for identifier in DEPRECATED_MODELS:
        model = catalogue.find(identifier)
        assert model is None or model.lifecycle != "active", identifier


def test_every_model_of_the_sdk_is_known() -> None:
    literals = [option for option in typing.get_args(model_param.ModelParam) if option is not str]
    names = [name for literal in literals for name in typing.get_args(literal)]
    assert names
    catalogue = anthropic_simulator.ModelCatalogue()
    assert [name for name in names if catalogue.find(name) is None] == []


def test_tls_with_the_readme_authority(
    simulator: RunningSimulator, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "ca.crt"))
    url = f"https://localhost:{simulator.port('secure')}"
    with anthropic.Anthropic(api_key="k", base_url=url, max_retries=0) as client:
        message = client.messages.create(
            model="claude-opus-4-6", max_tokens=10, messages=HELLO, extra_headers={"host": "api.anthropic.com"}
        )
    assert message.content[0].text == "SIMULATOR-secure-OK"  # type: ignore[union-attr]
    assert simulator.last_request()["server_name"] == "localhost"
