# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every known way around the proxy, as data: what is planted, what sets it off, where it arrives, and what stops it.

Each was seen on OpenClaw 2026.9.6. ``stopped_by`` is the declared expectation, in the words of the route map.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Union

from ansible_collections.failclosed.openclaw.plugins.module_utils._route_map import (
    DEFAULT_EGRESS,
    REFUSED,
    REWRITTEN,
    STRICT_EGRESS,
)

PROXY = "anthropic-max-proxy"
DEFAULT_MODEL = f"{PROXY}/claude-opus-4.6"
ENVIRONMENT_KEY = "sk-ant-in-the-environment"
DOTENV_KEY = "sk-ant-in-the-dotenv-file"
OTHER_VENDOR_KEY = "sk-or-in-the-environment"
PROFILE_KEY = "sk-ant-in-the-auth-profile"
SECOND_KEY = "sk-ant-in-the-configuration"
HOOK_TOKEN = "hook-token-0123456789abcdef"
PLANTED_SESSION = "agent:main:planted"
FORWARD_PROXY = "http://93.184.216.10:3128"
KERNEL = (DEFAULT_EGRESS, STRICT_EGRESS)
# Set in the environment of the gateway under test; a configuration may name it.
MODEL_VARIABLE = {"PLANTED_MODEL": "anthropic/claude-sonnet-5"}

ANTHROPIC = "anthropic"
ELSEWHERE = "elsewhere"
FORWARD = "forward-proxy"


# What sets a leak off


@dataclasses.dataclass(frozen=True)
class Turn:
    """A turn of an agent in the gateway. ``fault``: what the proxy answers to its first request."""

    agent: str = "main"
    text: str = "hi"
    session: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    fault: str | None = None


@dataclasses.dataclass(frozen=True)
class Tool:
    """A turn in which the model calls a tool. ``{workspace}`` in the input is the agent's directory."""

    name: str
    input: Mapping[str, str]
    agent: str = "main"


@dataclasses.dataclass(frozen=True)
class Hook:
    """A request to one of the gateway's webhooks."""

    path: str
    document: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Cron:
    """The planted job, run now."""

    fault: str | None = None


@dataclasses.dataclass(frozen=True)
class Compact:
    """A conversation that is shortened."""


@dataclasses.dataclass(frozen=True)
class Infer:
    """``openclaw infer model run``, in a process of its own."""

    arguments: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Restore:
    """An old leaky copy, a correct file without ``meta`` over it, ``openclaw models status``, and a failing proxy."""


Trigger = Union[Turn, Tool, Hook, Cron, Compact, Infer, Restore]


@dataclasses.dataclass(frozen=True)
class Leak:
    """One way around the proxy.

    ``findings``: the ids that the audit gives it, on a host that is otherwise as ``site.yml`` leaves it (``layout``
    "closed") or as the plugin's own instructions leave it ("plain"). ``config``: merge patch on top of the
    configuration. ``files``: below the home directory. ``environment``: of the process. ``session``: the
    conversation is switched with sessions.patch. ``cron``: payload of a job. ``auth_profile``: a key that is stored
    for anthropic. ``arrives_at``, ``model``, ``key``: the listener, and what it sees; None where it cannot see
    that. ``settle``: seconds that work in the background is given after the trigger.
    """

    id: str
    summary: str
    trigger: Trigger
    findings: tuple[str, ...]
    stopped_by: tuple[str, ...]
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    session: bool = False
    cron: Mapping[str, Any] | None = None
    auth_profile: bool = False
    layout: str = "closed"
    arrives_at: str = ANTHROPIC
    model: str | None = None
    key: str | None = None
    settle: float = 0.0

    @property
    def in_ci(self) -> bool:
        """Whether the short run has it."""
        return self.id in SHORT_RUN


def _defaults(**members: Any) -> dict[str, Any]:
    return {"agents": {"defaults": members}}


def _agent(**members: Any) -> dict[str, Any]:
    return {"agents": {"entries": {"ops": members}}}


def _provider(**members: Any) -> dict[str, Any]:
    return {"models": {"providers": {PROXY: members}}}


def _proxy_model(**members: Any) -> dict[str, Any]:
    return _provider(
        models=[
            {
                "id": "claude-opus-4.6",
                "name": "claude-opus-4.6",
                "reasoning": True,
                "input": ["text", "image"],
                "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0},
                "contextWindow": 200000,
                "maxTokens": 8192,
                **members,
            }
        ]
    )


def _merged(*patches: Mapping[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for patch in patches:
        for key, value in patch.items():
            old = merged.get(key)
            merged[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return merged


def _with_fallback(reference: str) -> dict[str, Any]:
    return {"primary": DEFAULT_MODEL, "fallbacks": [reference]}


def _plugin(name: str, **members: Any) -> dict[str, Any]:
    return {"plugins": {"entries": {name: {"enabled": True, **members}}}}


# An answer that moves OpenClaw to its fallback at once; a proxy that is down does so after 70 to 90 seconds.
FAILS = "not_found_error"
PDF = Tool("pdf", {"pdf": "{workspace}/planted.pdf", "prompt": "What does it say?"})
PICTURE = Tool("view_image", {"path": "{workspace}/planted.png"})
SPAWN = {"task": "Say hello."}
TEXT_ONLY = _proxy_model(input=["text"])
# One of each kind: a model, a fallback, what OpenClaw chooses by itself, an address, another program, a database.
SHORT_RUN = frozenset(
    {"agent-model", "agent-fallback", "pdf-tool-implicit", "model-base-url", "claude-cli-model", "session-override"}
)

# A credential that OpenClaw finds by itself opens what the plain configuration leaves unset.
IMPLICIT = ("credential-environment", "model-policy-open", "pdf-model-implicit")

LEAKS: tuple[Leak, ...] = (
    # Models of agents
    Leak(
        "default-model",
        "The default model is Anthropic's own",
        Turn(),
        ("default-model",),
        (REFUSED, REWRITTEN, *KERNEL),
        config=_defaults(model={"primary": "anthropic/claude-opus-5"}),
        model="claude-opus-5",
    ),
    Leak(
        "default-model-without-provider",
        "The default model names no provider, and OpenClaw takes anthropic",
        Turn(),
        ("default-model",),
        (REFUSED, REWRITTEN, *KERNEL),
        config=_defaults(model={"primary": "claude-opus-5"}),
        model="claude-opus-5",
    ),
    Leak(
        "default-fallback",
        "A fallback of the default model, taken when the proxy fails",
        Turn(fault=FAILS),
        ("default-model-fallbacks",),
        (REWRITTEN, *KERNEL),
        config=_defaults(model=_with_fallback("anthropic/claude-sonnet-5")),
        model="claude-sonnet-5",
    ),
    Leak(
        "agent-model",
        "An agent's own model",
        Turn(agent="ops"),
        ("agent-model",),
        (REFUSED, REWRITTEN, *KERNEL),
        config=_agent(model="anthropic/claude-opus-5"),
        model="claude-opus-5",
    ),
    Leak(
        "agent-model-in-the-old-list",
        "An agent's own model, in the list that older releases had",
        Turn(agent="ops"),
        ("agent-model",),
        (REFUSED, REWRITTEN, *KERNEL),
        config={
            "agents": {
                "entries": None,
                "ownership": None,
                "list": [{"id": "main", "default": True}, {"id": "ops", "model": "anthropic/claude-opus-5"}],
            }
        },
        model="claude-opus-5",
    ),
    Leak(
        "agent-fallback",
        "A fallback of an agent's own model, taken when the proxy fails",
        Turn(agent="ops", fault=FAILS),
        ("agent-model-fallbacks",),
        (REWRITTEN, *KERNEL),
        config=_agent(model=_with_fallback("anthropic/claude-sonnet-5")),
        model="claude-sonnet-5",
    ),
    Leak(
        "subagent-model",
        "The model of agents that an agent starts",
        Tool("sessions_spawn", SPAWN),
        ("subagent-model",),
        (REWRITTEN, *KERNEL),
        config=_defaults(subagents={"model": "anthropic/claude-sonnet-4-6"}),
        model="claude-sonnet-4-6",
        settle=6,
    ),
    Leak(
        "subagent-model-chosen-by-the-model",
        "The model itself names the model of an agent that it starts",
        Tool("sessions_spawn", {**SPAWN, "model": "anthropic/claude-opus-5"}),
        IMPLICIT,
        (REFUSED, REWRITTEN, *KERNEL),
        environment={"ANTHROPIC_API_KEY": ENVIRONMENT_KEY},
        layout="plain",
        model="claude-opus-5",
        settle=6,
    ),
    Leak(
        "utility-model",
        "The model of recaps, asked in the background after a turn",
        Turn(text="Tell me a story about ships."),
        ("utility-model",),
        (REWRITTEN, *KERNEL),
        config=_defaults(utilityModel="anthropic/claude-haiku-4-5"),
        model="claude-haiku-4-5",
        settle=6,
    ),
    Leak(
        "agent-utility-model",
        "An agent's own model of recaps",
        Turn(agent="ops", text="Tell me a story about ships."),
        ("utility-model",),
        (REWRITTEN, *KERNEL),
        config=_agent(utilityModel="anthropic/claude-haiku-4-5"),
        model="claude-haiku-4-5",
        settle=6,
    ),
    Leak(
        "utility-model-derived",
        "No model of recaps, and an agent whose model is Anthropic's: OpenClaw takes a small one of Anthropic's",
        Turn(agent="ops", text="Tell me a story about ships."),
        ("agent-model",),
        (REFUSED, REWRITTEN, *KERNEL),
        config=_agent(model="anthropic/claude-opus-5"),
        model="claude-haiku-4-5",
        settle=6,
    ),
    Leak(
        "heartbeat-model",
        "The model of the heartbeat turn",
        Hook("/hooks/wake", {"agentId": "main", "text": "check", "mode": "now"}),
        ("heartbeat-model",),
        (REFUSED, REWRITTEN, *KERNEL),
        config=_defaults(heartbeat={"every": "1h", "model": "anthropic/claude-sonnet-4-6"}),
        model="claude-sonnet-4-6",
        settle=6,
    ),
    Leak(
        "compaction-model",
        "The model that shortens a long conversation",
        Compact(),
        ("compaction-model",),
        (REWRITTEN, *KERNEL),
        config=_defaults(compaction={"model": "anthropic/claude-sonnet-4-6"}),
        model="claude-sonnet-4-6",
    ),
    Leak(
        "command-reviewer-model",
        "The model that reviews a command before it runs",
        Tool("exec", {"command": "/usr/bin/touch /tmp/planted"}),
        ("reviewer-model",),
        (REWRITTEN, *KERNEL),
        config={"tools": {"exec": {"mode": "auto", "reviewer": {"model": "anthropic/claude-sonnet-4-6"}}}},
        model="claude-sonnet-4-6",
    ),
    # Models of media
    Leak(
        "pdf-tool-implicit",
        "The plain configuration and a key in the environment: the PDF tool goes direct",
        PDF,
        IMPLICIT,
        (REFUSED, REWRITTEN, *KERNEL),
        environment={"ANTHROPIC_API_KEY": ENVIRONMENT_KEY},
        layout="plain",
        model="claude-opus-5",
        key=ENVIRONMENT_KEY,
    ),
    Leak(
        "pdf-tool-stored-credential",
        "The plain configuration and a stored sign-in: the PDF tool goes direct, with the stored key",
        PDF,
        ("credential-auth-profile", "model-policy-open", "pdf-model-implicit"),
        (REFUSED, REWRITTEN, *KERNEL),
        auth_profile=True,
        layout="plain",
        model="claude-opus-5",
        key=PROFILE_KEY,
    ),
    Leak(
        "pdf-model",
        "The model that reads PDF files",
        PDF,
        ("pdf-model",),
        (REWRITTEN, *KERNEL),
        config=_defaults(pdfModel="anthropic/claude-sonnet-5"),
        model="claude-sonnet-5",
    ),
    Leak(
        "image-tool-implicit",
        "The proxy's model takes no pictures, and there is a key: pictures go direct",
        PICTURE,
        ("image-model-implicit", *IMPLICIT),
        (REFUSED, REWRITTEN, *KERNEL),
        config=TEXT_ONLY,
        environment={"ANTHROPIC_API_KEY": ENVIRONMENT_KEY},
        layout="plain",
        model="claude-opus-5",
        key=ENVIRONMENT_KEY,
    ),
    Leak(
        "image-model",
        "The model that looks at pictures, where the proxy's model takes none",
        PICTURE,
        ("image-model",),
        (REWRITTEN, *KERNEL),
        config=_merged(TEXT_ONLY, _defaults(imageModel="anthropic/claude-sonnet-5")),
        model="claude-sonnet-5",
    ),
    # Names, policy, runtimes
    Leak(
        "alias",
        "The proxy's alias leads to Anthropic",
        Turn(),
        ("alias", "default-model"),
        (REFUSED, REWRITTEN, *KERNEL),
        config=_defaults(
            model={"primary": "claude-max-proxy"},
            models={DEFAULT_MODEL: {"alias": None}, "anthropic/claude-opus-5": {"alias": "claude-max-proxy"}},
        ),
        model="claude-opus-5",
    ),
    Leak(
        "agent-policy",
        "An empty policy of an agent allows every model again",
        Turn(agent="ops", headers=(("x-openclaw-model", "anthropic/claude-opus-5"),)),
        ("model-policy",),
        (REWRITTEN, *KERNEL),
        config=_agent(modelPolicy={"allow": []}),
        model="claude-opus-5",
    ),
    Leak(
        "claude-cli-model",
        "An agent's model is run by the Claude program of the gateway's user, without any key",
        Turn(agent="ops"),
        ("agent-model",),
        (REFUSED, REWRITTEN, *KERNEL),
        config=_agent(model="claude-cli/claude-opus-5"),
        model="claude-by-the-claude-program",
    ),
    Leak(
        "claude-cli-fallback",
        "A fallback that is run by the Claude program, taken when the proxy fails",
        Turn(agent="ops", fault=FAILS),
        ("agent-model-fallbacks",),
        (REWRITTEN, *KERNEL),
        config=_agent(model=_with_fallback("claude-cli/claude-opus-5")),
        model="claude-by-the-claude-program",
    ),
    Leak(
        "claude-cli-runtime",
        "A model's runtime is the Claude program",
        Turn(agent="ops"),
        ("agent-model", "model-runtime"),
        (REFUSED, REWRITTEN, *KERNEL),
        config=_merged(
            _agent(model="anthropic/claude-opus-5"),
            _defaults(models={"anthropic/claude-opus-5": {"agentRuntime": {"id": "claude-cli"}}}),
        ),
        model="claude-by-the-claude-program",
    ),
    # Elsewhere in the configuration
    Leak(
        "hook-mapping-model",
        "The model of a turn that a webhook starts",
        Hook("/hooks/planted", {"x": 1}),
        ("hook-model",),
        (REFUSED, REWRITTEN, *KERNEL),
        config={
            "hooks": {
                "mappings": [
                    {
                        "match": {"path": "planted"},
                        "agentId": "main",
                        "action": "agent",
                        "messageTemplate": "hi",
                        "deliver": False,
                        "model": "anthropic/claude-sonnet-5",
                    }
                ]
            }
        },
        model="claude-sonnet-5",
        settle=6,
    ),
    Leak(
        "hook-request-model",
        "A request to /hooks/agent names the model",
        Hook(
            "/hooks/agent",
            {
                "agentId": "main",
                "message": "hi",
                "model": "anthropic/claude-opus-5",
                "deliver": False,
                "waitForCompletion": True,
            },
        ),
        IMPLICIT,
        (REFUSED, REWRITTEN, *KERNEL),
        environment={"ANTHROPIC_API_KEY": ENVIRONMENT_KEY},
        layout="plain",
        model="claude-opus-5",
    ),
    Leak(
        "request-header-model",
        "A request to the OpenAI-compatible endpoint names the model",
        Turn(headers=(("x-openclaw-model", "anthropic/claude-opus-5"),)),
        IMPLICIT,
        (REFUSED, REWRITTEN, *KERNEL),
        environment={"ANTHROPIC_API_KEY": ENVIRONMENT_KEY},
        layout="plain",
        model="claude-opus-5",
    ),
    Leak(
        "channel-model",
        "The model of every conversation of one channel",
        Turn(headers=(("x-openclaw-message-channel", "telegram"),)),
        ("channel-model",),
        (REFUSED, REWRITTEN, *KERNEL),
        config={"channels": {"modelByChannel": {"telegram": {"*": "anthropic/claude-opus-5"}}}},
        model="claude-opus-5",
    ),
    Leak(
        "plugin-model-of-llm-task",
        "The model in the settings of the plugin llm-task",
        Tool("llm-task", {"prompt": "Answer with JSON."}),
        ("plugin-model", "plugin-model-choice"),
        (REWRITTEN, *KERNEL),
        config=_merged(
            _plugin(
                "llm-task",
                llm={"allowModelOverride": True},
                config={"defaultProvider": "anthropic", "defaultModel": "claude-sonnet-4-6"},
            ),
            {"tools": {"alsoAllow": ["llm-task"]}},
        ),
        model="claude-sonnet-4-6",
    ),
    Leak(
        "plugin-model-of-active-memory",
        "The model in the settings of the plugin active-memory",
        Turn(text="What did I say about my ship last week?"),
        ("plugin-model",),
        (REWRITTEN, *KERNEL),
        config=_plugin(
            "active-memory",
            config={
                "agents": ["main"],
                "mode": "always",
                "model": "anthropic/claude-haiku-4-5",
                "allowedChatTypes": ["direct", "explicit"],
            },
        ),
        model="claude-haiku-4-5",
    ),
    # Providers and endpoints
    Leak(
        "model-base-url",
        "A model of the proxy's provider with an address of its own",
        Turn(),
        ("model-base-url",),
        (REWRITTEN, *KERNEL),
        config=_proxy_model(baseUrl="https://api.anthropic.com"),
        model="claude-opus-4.6",
    ),
    Leak(
        "provider-base-url",
        "The proxy's provider has another address",
        Turn(),
        ("provider-base-url",),
        (REWRITTEN, *KERNEL),
        config=_provider(baseUrl="https://api.anthropic.com"),
        model="claude-opus-4.6",
    ),
    Leak(
        "provider-of-another-name",
        "Another provider with Anthropic's address, and a model of it",
        Turn(agent="ops"),
        ("agent-model", "other-provider"),
        (REFUSED, REWRITTEN, *KERNEL),
        config=_merged(
            {
                "models": {
                    "providers": {
                        "mine": {
                            "baseUrl": "https://api.anthropic.com",
                            "api": "anthropic-messages",
                            "apiKey": SECOND_KEY,
                            "models": [{"id": "claude-opus-5", "name": "claude-opus-5"}],
                        }
                    }
                }
            },
            _agent(model="mine/claude-opus-5"),
        ),
        model="claude-opus-5",
        key=SECOND_KEY,
    ),
    Leak(
        "provider-anthropic-with-the-plugin-denied",
        "A provider entry named anthropic works although the plugin anthropic is denied",
        Turn(agent="ops"),
        ("agent-model", "other-provider"),
        (REFUSED, REWRITTEN, *KERNEL),
        config=_merged(
            {
                "plugins": {"deny": ["anthropic"]},
                "models": {
                    "providers": {
                        "anthropic": {
                            "baseUrl": "https://api.anthropic.com",
                            "api": "anthropic-messages",
                            "apiKey": SECOND_KEY,
                            "models": [{"id": "claude-opus-5", "name": "claude-opus-5"}],
                        }
                    }
                },
            },
            _agent(model="anthropic/claude-opus-5"),
        ),
        model="claude-opus-5",
    ),
    Leak(
        "other-vendor-fallback",
        "A fallback to Claude at another vendor, for which there is a key",
        Turn(fault=FAILS),
        ("credential-environment", "default-model-fallbacks"),
        (REWRITTEN, STRICT_EGRESS),
        config=_defaults(model=_with_fallback("openrouter/anthropic/claude-sonnet-4.6")),
        environment={"OPENROUTER_API_KEY": OTHER_VENDOR_KEY},
        arrives_at=ELSEWHERE,
        key=OTHER_VENDOR_KEY,
    ),
    # Ways of writing it
    Leak(
        "included-file",
        "An agent's model in a file that the configuration includes",
        Turn(agent="ops"),
        ("agent-model",),
        (REFUSED, *KERNEL),
        config={"$include": "./more.json"},
        files={".openclaw/more.json": '{"agents": {"entries": {"ops": {"model": "anthropic/claude-opus-5"}}}}\n'},
        model="claude-opus-5",
    ),
    Leak(
        "variable-in-the-configuration",
        "An agent's model is taken from a variable of the environment",
        Turn(agent="ops"),
        ("agent-model",),
        (REFUSED, REWRITTEN, *KERNEL),
        config=_agent(model="${PLANTED_MODEL}"),
        model="claude-sonnet-5",
    ),
    # Outside the configuration
    Leak(
        "dotenv-key",
        "A key in the .env file of the state directory",
        Infer(("--model", "anthropic/claude-opus-5")),
        ("credential-dotenv",),
        KERNEL,
        files={".openclaw/.env": f"ANTHROPIC_API_KEY={DOTENV_KEY}\n"},
        model="claude-opus-5",
        key=DOTENV_KEY,
    ),
    Leak(
        "configured-key",
        "A key in the configuration's own environment, and a model named on the command line",
        Infer(("--model", "anthropic/claude-opus-5")),
        ("credential-config", "model-policy-open", "pdf-model-implicit"),
        (REWRITTEN, *KERNEL),
        config={"env": {"vars": {"ANTHROPIC_API_KEY": SECOND_KEY}}},
        layout="plain",
        model="claude-opus-5",
        key=SECOND_KEY,
    ),
    Leak(
        "model-on-the-command-line",
        "infer model run --model, which no policy stops",
        Infer(("--model", "anthropic/claude-opus-5")),
        ("credential-environment",),
        KERNEL,
        environment={"ANTHROPIC_API_KEY": ENVIRONMENT_KEY},
        model="claude-opus-5",
        key=ENVIRONMENT_KEY,
    ),
    Leak(
        "session-override",
        "A conversation that was switched to another model, for good",
        Turn(session=PLANTED_SESSION),
        ("session-override",),
        (REFUSED, *KERNEL),
        session=True,
        model="claude-opus-5",
    ),
    Leak(
        "cron-model",
        "A scheduled turn with a model of its own",
        Cron(),
        ("cron-model",),
        (REFUSED, *KERNEL),
        cron={"kind": "agentTurn", "message": "hi", "model": "anthropic/claude-opus-5"},
        model="claude-opus-5",
        settle=6,
    ),
    Leak(
        "cron-fallback",
        "A scheduled turn with fallbacks of its own, taken when the proxy fails",
        Cron(fault=FAILS),
        ("cron-model",),
        KERNEL,
        cron={"kind": "agentTurn", "message": "hi", "fallbacks": ["anthropic/claude-sonnet-4-6"]},
        model="claude-sonnet-4-6",
        settle=6,
    ),
    Leak(
        "forward-proxy-without-no-proxy",
        "HTTP_PROXY without NO_PROXY: requests to the proxy are handed to the forward proxy",
        Infer(),
        ("forward-proxy-environment",),
        (STRICT_EGRESS,),
        environment={"HTTP_PROXY": FORWARD_PROXY, "http_proxy": FORWARD_PROXY, "NO_PROXY": "", "no_proxy": ""},
        arrives_at=FORWARD,
    ),
    Leak(
        "mcp-server",
        "An MCP server is a program of its own, here the Claude program",
        Turn(),
        ("code-mcp-server",),
        KERNEL,
        config={"mcp": {"servers": {"planted": {"command": "claude", "args": ["--print", "hello"]}}}},
        model="claude-by-the-claude-program",
        settle=3,
    ),
    Leak(
        "local-service",
        "A program that OpenClaw starts for a provider, here the Claude program",
        Turn(),
        ("code-local-service",),
        KERNEL,
        config=_provider(
            localService={
                "command": "{home}/bin/claude",
                "args": ["--print", "hello"],
                "healthUrl": "http://127.0.0.1:3456/no-health",
                "readyTimeoutMs": 2000,
            }
        ),
        model="claude-by-the-claude-program",
    ),
    Leak(
        "restored-configuration",
        "OpenClaw puts its older, leaky copy in the place of a configuration that has no meta",
        Restore(),
        ("configuration-restore",),
        (REFUSED, *KERNEL),
        config={"meta": None},
        files={".openclaw/openclaw.json.bak": '{"agents": {"defaults": {"model": "anthropic/claude-opus-5"}}}\n'},
        model="claude-sonnet-5",
    ),
)

BY_ID = {leak.id: leak for leak in LEAKS}


def chosen(*, everything: bool) -> Sequence[Leak]:
    """The leaks of the long run, or of the short one."""
    return [leak for leak in LEAKS if everything or leak.in_ci]


def table() -> str:
    """The leaks as the README shows them."""
    controls = (REFUSED, REWRITTEN, DEFAULT_EGRESS, STRICT_EGRESS)
    head = [
        "leak",
        "what it is",
        "finding",
        "refused",
        "remediated",
        "default egress",
        "strict egress",
        "CI",
    ]
    rows = [head, ["---"] * len(head)]
    for leak in LEAKS:
        marks = [*(control in leak.stopped_by for control in controls), leak.in_ci]
        findings = ", ".join(f"`{finding}`" for finding in leak.findings)
        rows.append([f"`{leak.id}`", leak.summary, findings, *("yes" if mark else "" for mark in marks)])
    return "".join(f"| {' | '.join(row)} |\n".replace("|  |", "| |") for row in rows)


if __name__ == "__main__":
    print(table(), end="")
