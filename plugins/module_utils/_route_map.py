# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection failclosed.openclaw: not for use from outside it.

"""Every place from which a model request of OpenClaw takes its way, as data.

A test walks the schema of each supported OpenClaw release and fails when a path that looks like a model, a
provider, an endpoint or a key is neither here nor listed as irrelevant with a reason. Another one reproduces on
a real OpenClaw what ``expectations`` says.

Paths are written as in ``agents.entries.*.model`` and ``hooks.mappings[].model``: ``*`` is any key, ``[]`` any
element. Routes outside ``openclaw.json`` have none.
"""

from __future__ import annotations

from typing import NamedTuple

# What a route's value is, which decides how it is looked at.
MODEL = "model"  # a reference, or an object with primary and fallbacks
VENDOR = "vendor"  # the name of a service that speech, search or memory uses
ENDPOINT = "endpoint"  # an address to which content is sent
RUNTIME = "runtime"  # the program that runs a model's turns
CODE = "code"  # something that runs code of its own, with a network of its own
SWITCH = "switch"  # one of `values` opens the route
SPECIAL = "special"  # looked at by a function of its own

# What becomes of a route under the configuration that this collection writes.
REFUSED = "refused-by-openclaw"
REWRITTEN = "rewritten-by-remediation"
DEFAULT_EGRESS = "blocked-by-default-egress"
STRICT_EGRESS = "blocked-by-strict-egress"
AUDIT_ONLY = "audit-only"

# How remediation closes a route.
PIN = "pin"  # to the default model of the proxy, without fallbacks
OFF = "off"  # an empty text
REMOVE = "remove"


class Route(NamedTuple):
    """One kind of place.

    ``id``: the stable id of its findings; fallbacks of a MODEL have ``<id>-fallbacks``. ``summary``: what the place
    is, for the documentation. ``values``: for SWITCH, those that open it. ``remediation``: PIN, OFF, REMOVE or
    empty. ``by_default``: whether it is remediated without being asked for.
    """

    id: str
    kind: str
    paths: tuple[str, ...]
    summary: str
    expectations: tuple[str, ...]
    remediation: str = ""
    by_default: bool = False
    values: tuple[object, ...] = ()


_KERNEL = (DEFAULT_EGRESS, STRICT_EGRESS)

ROUTES: tuple[Route, ...] = (
    # Models of agents
    Route(
        "default-model",
        MODEL,
        ("agents.defaults.model",),
        "The model of every agent that has none of its own",
        (REFUSED, REWRITTEN, *_KERNEL),
        PIN,
    ),
    Route(
        "agent-model",
        MODEL,
        ("agents.entries.*.model", "agents.list[].model"),
        "An agent's own model",
        (REFUSED, REWRITTEN, *_KERNEL),
        PIN,
        by_default=True,
    ),
    Route(
        "subagent-model",
        MODEL,
        (
            "agents.defaults.subagents.model",
            "agents.entries.*.subagents.model",
            "agents.list[].subagents.model",
        ),
        "The model of agents that an agent starts",
        (REWRITTEN, *_KERNEL),
        PIN,
    ),
    Route(
        "utility-model",
        MODEL,
        ("agents.defaults.utilityModel", "agents.entries.*.utilityModel", "agents.list[].utilityModel"),
        "The model of recaps and titles, asked in the background",
        (REWRITTEN, *_KERNEL),
        OFF,
    ),
    Route(
        "decision-model",
        MODEL,
        ("agents.defaults.decisionModel", "agents.entries.*.decisionModel", "agents.list[].decisionModel"),
        "The model of typed decisions",
        (REWRITTEN, *_KERNEL),
        REMOVE,
    ),
    Route(
        "heartbeat-model",
        MODEL,
        ("agents.defaults.heartbeat.model", "agents.entries.*.heartbeat.model", "agents.list[].heartbeat.model"),
        "The model of the regular heartbeat turn",
        (REFUSED, REWRITTEN, *_KERNEL),
        REMOVE,
    ),
    Route(
        "compaction-model",
        MODEL,
        ("agents.defaults.compaction.model", "agents.defaults.compaction.memoryFlush.model"),
        "The model that shortens a long conversation",
        (REWRITTEN, *_KERNEL),
        REMOVE,
    ),
    Route(
        "failover-model",
        MODEL,
        ("agents.defaults.embeddedAgent.cyberFailover.model",),
        "The model that takes over after a refusal",
        (REWRITTEN, *_KERNEL),
        REMOVE,
    ),
    Route(
        "reviewer-model",
        MODEL,
        (
            "tools.exec.reviewer.model",
            "agents.entries.*.tools.exec.reviewer.model",
            "agents.list[].tools.exec.reviewer.model",
        ),
        "The model that reviews commands before they run",
        (REWRITTEN, *_KERNEL),
        REMOVE,
    ),
    # Models of media
    Route(
        "image-model",
        MODEL,
        ("agents.defaults.imageModel", "agents.entries.*.imageModel", "agents.list[].imageModel"),
        "The model that looks at pictures",
        (REWRITTEN, *_KERNEL),
        PIN,
    ),
    Route(
        "pdf-model",
        MODEL,
        ("agents.defaults.pdfModel", "agents.entries.*.pdfModel", "agents.list[].pdfModel"),
        "The model that reads PDF files",
        (REWRITTEN, *_KERNEL),
        PIN,
    ),
    Route(
        "voice-model",
        MODEL,
        ("agents.defaults.voiceModel",),
        "The model of voice conversations",
        (REWRITTEN, *_KERNEL),
        REMOVE,
    ),
    Route(
        "media-generation-model",
        MODEL,
        (
            "agents.defaults.mediaModels.image",
            "agents.defaults.mediaModels.video",
            "agents.defaults.mediaModels.music",
        ),
        "The models that make pictures, video and music",
        (REWRITTEN, STRICT_EGRESS),
        REMOVE,
    ),
    Route(
        "media-model",
        SPECIAL,
        ("tools.media.models[]",),
        "A model or a command that turns media into text",
        (REWRITTEN, *_KERNEL),
        REMOVE,
    ),
    Route(
        "media-preferred-model",
        MODEL,
        (
            "tools.media.image.preferredModel",
            "tools.media.audio.preferredModel",
            "tools.media.video.preferredModel",
        ),
        "The preferred model that turns media into text",
        (REWRITTEN, *_KERNEL),
        REMOVE,
    ),
    Route(
        "media-endpoint",
        ENDPOINT,
        ("tools.media.image.baseUrl", "tools.media.audio.baseUrl", "tools.media.video.baseUrl"),
        "Where media are sent to become text",
        (REWRITTEN, *_KERNEL),
        REMOVE,
    ),
    # Names for models, and what may be chosen
    Route(
        "alias",
        SPECIAL,
        ("agents.defaults.models.*.alias", "agents.entries.*.models.*.alias", "agents.list[].models.*.alias"),
        "A short name that leads to a model elsewhere",
        (REFUSED, REWRITTEN, *_KERNEL),
        REMOVE,
        by_default=True,
    ),
    Route(
        "model-policy",
        SPECIAL,
        (
            "agents.defaults.modelPolicy.allow",
            "agents.entries.*.modelPolicy.allow",
            "agents.list[].modelPolicy.allow",
        ),
        "The list of models that may be chosen in a conversation; an empty list of an agent allows every model",
        (REWRITTEN, *_KERNEL),
        PIN,
    ),
    Route(
        "model-policy-open",
        SPECIAL,
        (),
        "No list of models that may be chosen, while a credential for another way is present",
        (REFUSED, REWRITTEN, *_KERNEL),
    ),
    Route(
        "model-runtime",
        RUNTIME,
        (
            "agents.defaults.models.*.agentRuntime.id",
            "agents.defaults.models.*.pickerRuntimes[]",
            "agents.entries.*.models.*.agentRuntime.id",
            "agents.entries.*.models.*.pickerRuntimes[]",
            "agents.list[].models.*.agentRuntime.id",
            "agents.list[].models.*.pickerRuntimes[]",
            "models.providers.*.agentRuntime.id",
            "models.providers.*.models[].agentRuntime.id",
        ),
        "Another program that runs a model's turns, such as claude-cli",
        (REFUSED, REWRITTEN, *_KERNEL),
        REMOVE,
    ),
    Route(
        "image-model-implicit",
        SPECIAL,
        (),
        "No image model while the default model takes no pictures and a credential for another way is present",
        (REFUSED, REWRITTEN, *_KERNEL),
    ),
    Route(
        "pdf-model-implicit",
        SPECIAL,
        (),
        "No PDF model while a credential for another way is present: OpenClaw then chooses a direct one",
        (REFUSED, REWRITTEN, *_KERNEL),
    ),
    # Models elsewhere in the configuration
    Route(
        "hook-model",
        MODEL,
        ("hooks.mappings[].model", "hooks.gmail.model"),
        "The model of a turn that a hook starts",
        (REFUSED, REWRITTEN, *_KERNEL),
        REMOVE,
    ),
    Route(
        "channel-model",
        MODEL,
        (
            "channels.modelByChannel.*.*",
            "channels.*.model",
            "channels.*.accounts.*.model",
            "channels.*.voice.model",
            "channels.*.accounts.*.voice.model",
        ),
        "The model of one channel, account or conversation",
        (REFUSED, REWRITTEN, *_KERNEL),
        REMOVE,
    ),
    Route(
        "channel-guard",
        SPECIAL,
        ("channels.*.guard", "channels.*.accounts.*.guard"),
        "The model that guards a channel, with a provider and a key of its own",
        (REWRITTEN, *_KERNEL),
        REMOVE,
    ),
    Route(
        "speech-summary-model",
        MODEL,
        (
            "tts.summaryModel",
            "agents.entries.*.tts.summaryModel",
            "agents.list[].tts.summaryModel",
            "channels.*.tts.summaryModel",
            "channels.*.accounts.*.tts.summaryModel",
            "channels.*.voice.tts.summaryModel",
            "channels.*.accounts.*.voice.tts.summaryModel",
        ),
        "The model that shortens a text before it is spoken",
        (REWRITTEN, *_KERNEL),
        REMOVE,
    ),
    Route(
        "plugin-model",
        SPECIAL,
        ("plugins.entries.*.config",),
        "A model, or an address of the direct API, in the settings of a plugin",
        (REWRITTEN, *_KERNEL),
        REMOVE,
    ),
    Route(
        "plugin-model-choice",
        SPECIAL,
        (
            "plugins.entries.*.llm.allowedModels",
            "plugins.entries.*.llm.allowedCompletionModels",
            "plugins.entries.*.subagent.allowedModels",
            "plugins.entries.*.llm.allowModelOverride",
            "plugins.entries.*.subagent.allowModelOverride",
        ),
        "A plugin that may choose models elsewhere",
        (REWRITTEN, *_KERNEL),
        REMOVE,
    ),
    # Services of other vendors that are no conversation models
    Route(
        "memory-search-provider",
        VENDOR,
        (
            "memory.search.provider",
            "memory.search.fallback",
            "agents.entries.*.memory.search.provider",
            "agents.entries.*.memory.search.fallback",
            "agents.list[].memory.search.provider",
            "agents.list[].memory.search.fallback",
            "agents.defaults.compaction.provider",
        ),
        "The service that makes embeddings of the agent's memory, or compacts conversations",
        (REWRITTEN, STRICT_EGRESS),
        REMOVE,
    ),
    Route(
        "memory-search-endpoint",
        ENDPOINT,
        (
            "memory.search.remote.baseUrl",
            "agents.entries.*.memory.search.remote.baseUrl",
            "agents.list[].memory.search.remote.baseUrl",
        ),
        "Where the agent's memory is sent for embeddings",
        (REWRITTEN, STRICT_EGRESS),
        REMOVE,
    ),
    Route(
        "speech-provider",
        VENDOR,
        (
            "tts.provider",
            "tts.personas.*.provider",
            "agents.entries.*.tts.provider",
            "agents.entries.*.tts.personas.*.provider",
            "agents.list[].tts.provider",
            "talk.provider",
            "talk.realtime.provider",
            "channels.*.tts.provider",
            "channels.*.accounts.*.tts.provider",
            "channels.*.voice.tts.provider",
            "channels.*.accounts.*.voice.tts.provider",
            "channels.*.voice.tts.personas.*.provider",
            "channels.*.accounts.*.voice.tts.personas.*.provider",
            "channels.*.voice.realtime.provider",
            "channels.*.accounts.*.voice.realtime.provider",
        ),
        "The service that speaks or listens",
        (REWRITTEN, STRICT_EGRESS),
        REMOVE,
    ),
    Route(
        "speech-model",
        MODEL,
        (
            "talk.realtime.model",
            "channels.*.voice.realtime.model",
            "channels.*.accounts.*.voice.realtime.model",
        ),
        "The model of a live conversation",
        (REWRITTEN, STRICT_EGRESS),
        REMOVE,
    ),
    # Providers and endpoints
    Route(
        "provider-base-url",
        SPECIAL,
        ("models.providers.*.baseUrl", "plugins.entries.*.config.host"),
        "The address of the proxy's provider is not the proxy",
        (REWRITTEN, *_KERNEL),
    ),
    Route(
        "provider-transport",
        SPECIAL,
        ("models.providers.*.baseUrl", "models.providers.*.request.tls.insecureSkipVerify"),
        "A proxy on another machine is reached without TLS, or any certificate is believed, in the configuration or by"
        " NODE_TLS_REJECT_UNAUTHORIZED in the gateway's environment",
        (AUDIT_ONLY,),
    ),
    Route(
        "model-base-url",
        SPECIAL,
        ("models.providers.*.models[].baseUrl",),
        "A model of the proxy's provider with an address of its own",
        (REWRITTEN, *_KERNEL),
        REMOVE,
    ),
    Route(
        "provider-credential",
        SPECIAL,
        (
            "models.providers.*.apiKey",
            "models.providers.*.headers",
            "models.providers.*.models[].headers",
            "models.providers.*.request.auth",
            "models.providers.*.request.headers",
        ),
        "A credential of the direct API that is sent to the proxy",
        (AUDIT_ONLY,),
    ),
    Route(
        "provider-request-proxy",
        SPECIAL,
        ("models.providers.*.request.proxy",),
        "A forward proxy between OpenClaw and the proxy",
        (REFUSED, REWRITTEN),
        REMOVE,
    ),
    Route(
        "other-provider",
        SPECIAL,
        ("models.providers.*",),
        "A provider that is not the proxy",
        (REFUSED, REWRITTEN, *_KERNEL),
        REMOVE,
    ),
    Route(
        "forward-proxy",
        SWITCH,
        ("proxy.loopbackMode",),
        "Requests to the proxy are handed to a forward proxy",
        (REWRITTEN, STRICT_EGRESS),
        REMOVE,
        values=("proxy",),
    ),
    Route(
        "remote-inference",
        SPECIAL,
        ("gateway.mode", "cloudWorkers.profiles.*", "cloudWorkers.projectProfiles.*"),
        "Agents that run on another machine, with what that machine has",
        (AUDIT_ONLY, STRICT_EGRESS),
    ),
    Route(
        "external-harness",
        SPECIAL,
        (
            "agents.entries.*.runtime.type",
            "agents.list[].runtime.type",
            "bindings[].type",
            "bindings[].acp",
            "acp",
            "acp.enabled",
            "acp.backend",
            "acp.fallbacks",
            "acp.defaultAgent",
            "acp.allowedAgents",
            "acp.dispatch.enabled",
            "gateway.cliAgents.enabled",
        ),
        "Another agent program, such as Claude Code, with credentials of its own",
        (AUDIT_ONLY, *_KERNEL),
    ),
    # Credentials for another way
    Route(
        "credential-config",
        SPECIAL,
        ("env.vars.*", "env.*"),
        "A key for another provider in the configuration's own environment",
        (REWRITTEN, *_KERNEL),
        REMOVE,
    ),
    Route(
        "credential-shell-environment",
        SWITCH,
        ("env.shellEnv.enabled",),
        "Keys are taken from the login shell",
        (REWRITTEN, *_KERNEL),
        REMOVE,
        values=(True,),
    ),
    Route(
        "credential-environment",
        SPECIAL,
        (),
        "A key for another provider in the gateway's environment: unit, drop-in, or running process",
        _KERNEL,
    ),
    Route(
        "credential-dotenv",
        SPECIAL,
        (),
        "A key for another provider in a file that OpenClaw reads its environment from",
        _KERNEL,
    ),
    Route(
        "credential-auth-profile",
        SPECIAL,
        (),
        "A stored sign-in for another provider",
        _KERNEL,
    ),
    Route(
        "credential-secret-store",
        SPECIAL,
        (),
        "A key for another provider in OpenClaw's own secret store",
        _KERNEL,
    ),
    Route(
        "claude-login",
        SPECIAL,
        (),
        "A login of the Claude program that belongs to the gateway's user",
        _KERNEL,
    ),
    # What OpenClaw keeps by itself
    Route(
        "session-override",
        SPECIAL,
        (),
        "A conversation that was switched to another model, for good",
        (REFUSED, AUDIT_ONLY, *_KERNEL),
    ),
    Route(
        "cron-model",
        SPECIAL,
        (),
        "A scheduled turn with a model or fallbacks of its own",
        (REFUSED, AUDIT_ONLY, *_KERNEL),
    ),
    Route(
        "agent-models-file",
        SPECIAL,
        (),
        "An agent's models.json, where the configuration has no provider for the proxy",
        (AUDIT_ONLY, *_KERNEL),
    ),
    Route(
        "forward-proxy-environment",
        SPECIAL,
        (),
        "HTTP_PROXY without a NO_PROXY that names the proxy: OpenClaw sends the requests to the forward proxy",
        (AUDIT_ONLY, STRICT_EGRESS),
    ),
    Route(
        "other-configuration",
        SPECIAL,
        (),
        "The running gateway uses another configuration or state directory than the one that is looked at",
        (AUDIT_ONLY,),
    ),
    Route(
        "configuration-restore",
        SPECIAL,
        (),
        "OpenClaw would put an older copy with a way around the proxy in the place of this configuration",
        (REFUSED, AUDIT_ONLY, *_KERNEL),
    ),
    Route(
        "kernel-rule",
        SPECIAL,
        (),
        "The kernel rule that closes the gateway's direct ways is not loaded as it was probed",
        (AUDIT_ONLY,),
    ),
    Route(
        "exception-expired",
        SPECIAL,
        (),
        "An exception whose date has passed",
        (AUDIT_ONLY,),
    ),
    # Code with a network of its own: covered by strict egress alone
    Route("code-mcp-server", CODE, ("mcp.servers.*", "nodeHost.mcp.servers.*"), "An MCP server", (STRICT_EGRESS,)),
    Route(
        "code-hook",
        CODE,
        ("hooks.transformsDir", "hooks.mappings[].transform.module", "hooks.internal.load.extraDirs[]"),
        "Code of a hook",
        (STRICT_EGRESS,),
    ),
    Route(
        "code-hook-environment",
        CODE,
        ("hooks.internal.entries.*.env.*",),
        "An environment that a hook gets",
        (STRICT_EGRESS,),
    ),
    Route("code-link-command", CODE, ("tools.links.models[]",), "A command that reads links", (STRICT_EGRESS,)),
    Route(
        "code-skill",
        CODE,
        ("skills.entries.*.apiKey", "skills.entries.*.env.*"),
        "A skill with a key or an environment of its own",
        (STRICT_EGRESS,),
    ),
    Route(
        "code-local-service",
        CODE,
        ("models.providers.*.localService.command",),
        "A program that OpenClaw starts for a provider",
        (STRICT_EGRESS,),
    ),
    Route(
        "code-sandbox-environment",
        CODE,
        (
            "agents.defaults.sandbox.docker.env.*",
            "agents.entries.*.sandbox.docker.env.*",
            "agents.list[].sandbox.docker.env.*",
        ),
        "An environment that an agent's sandbox gets; containers have a network that the kernel rule does not see",
        (AUDIT_ONLY,),
    ),
    Route(
        "code-secret-command",
        CODE,
        ("secrets.providers.*.command",),
        "A command that fetches secrets",
        (STRICT_EGRESS,),
    ),
    Route(
        "code-browser-command",
        CODE,
        ("browser.profiles.*.mcpCommand",),
        "A command that drives a browser",
        (STRICT_EGRESS,),
    ),
    Route(
        "code-install-policy",
        CODE,
        ("security.installPolicy.exec.command",),
        "A command that judges what may be installed",
        (STRICT_EGRESS,),
    ),
    Route("code-media-command", CODE, (), "A command that turns media into text", (STRICT_EGRESS,)),
    Route("code-cron-command", CODE, (), "A scheduled command or script", (STRICT_EGRESS,)),
    Route(
        "code-plugin",
        CODE,
        ("plugins.load.paths[]",),
        "A plugin that did not come with OpenClaw",
        (STRICT_EGRESS,),
    ),
)

# What to do about a finding that no edit of openclaw.json closes, or not in the way that people would want.
REMEDIES: dict[str, str] = {
    "provider-base-url": "Run site.yml, or set openclaw_provider_base_url to where the proxy is.",
    "provider-transport": "Put TLS in front of the proxy (role openclaw_ingress) and run site.yml. Where the path names"
    " NODE_TLS_REJECT_UNAUTHORIZED, remove it there and restart the gateway.",
    "provider-credential": "Give the proxy a key of its own (openclaw_provider_inbound_key), none of the direct API.",
    "remote-inference": "Run agents on this gateway, or look at the other machine, too.",
    "external-harness": "Switch it off; it does not use the proxy's provider.",
    "credential-environment": "Remove it from the unit or the drop-in and restart the gateway.",
    "credential-dotenv": "Remove the line and restart the gateway.",
    "credential-auth-profile": "Remove it with: openclaw models auth list, then openclaw models auth logout.",
    "credential-secret-store": "Remove it from OpenClaw's secret store.",
    "claude-login": "Log that user out (claude auth logout); the proxy has a user and a login of its own.",
    "session-override": "Reset the conversation's model: send /model default in it, or delete the session.",
    "cron-model": "Edit the job (openclaw cron list, openclaw cron edit) so that it names no model of its own.",
    "agent-models-file": "Run site.yml: a provider in openclaw.json has the last word.",
    "forward-proxy-environment": "Name the proxy's host in NO_PROXY (openclaw_gateway_no_proxy) and restart.",
    "other-configuration": "Restart the gateway with this configuration, or audit the one that it uses.",
    "configuration-restore": "Remove openclaw.json.bak, or keep the member meta in openclaw.json.",
    "code-sandbox-environment": "Remove it, or list an exception: strict egress does not see containers.",
    "kernel-rule": "Run site.yml: the role openclaw_egress loads the rule and probes it.",
    "exception-expired": "Close the route, or renew the exception with a later date.",
}
_CODE_REMEDY = "Switch on strict egress (openclaw_egress_strict: true), remove it, or list an exception."


def remedy_of(identifier: str) -> str:
    """What to do about a finding with this id; one sentence."""
    if identifier in REMEDIES:
        return REMEDIES[identifier]
    route = BY_ID.get(identifier)
    if route is not None and route.kind == CODE:
        return _CODE_REMEDY
    if identifier.endswith("-fallbacks") or (route is not None and route.by_default):
        return "Run site.yml, which closes it, or correct it by hand."
    return "Set openclaw_provider_remediate to all and run site.yml, or correct it by hand."


BY_ID: dict[str, Route] = {route.id: route for route in ROUTES}

# Providers whose only models are Claude's.
CLAUDE_PROVIDERS = frozenset(
    {"anthropic", "anthropic-vertex", "anthropic-bedrock", "claude", "claude-cli", "claude-code"}
)
# Providers that serve Claude among others.
CLAUDE_RESELLERS = frozenset(
    {
        "aimlapi",
        "amazon-bedrock",
        "bedrock",
        "clawrouter",
        "cloudflare-ai-gateway",
        "copilot-proxy",
        "github-copilot",
        "huggingface",
        "kilocode",
        "litellm",
        "microsoft-foundry",
        "opencode",
        "opencode-go",
        "opencode-zen",
        "openrouter",
        "poe",
        "requesty",
        "venice",
        "vercel-ai-gateway",
    }
)
# Services that serve no Claude. A name that is in none of the three is unknown.
OTHER_VENDORS = frozenset(
    {
        "alibaba",
        "apple-fm",
        "azure",
        "azure-speech",
        "byteplus",
        "cerebras",
        "deepgram",
        "deepseek",
        "elevenlabs",
        "fal",
        "gemini",
        "google",
        "google-gemini-cli",
        "google-vertex",
        "groq",
        "lmstudio",
        "microsoft",
        "minimax",
        "minimax-portal",
        "mistral",
        "moonshot",
        "nvidia",
        "ollama",
        "ollama-cloud",
        "openai",
        "openai-codex",
        "perplexity",
        "qwen",
        "runway",
        "senseaudio",
        "sglang",
        "together",
        "vllm",
        "volcengine",
        "voyage",
        "xai",
        "xiaomi",
        "zai",
    }
)
# Values of a VENDOR that send nothing away.
LOCAL_VENDORS = frozenset({"auto", "default", "disabled", "local", "none", "off", "system", "tts-local-cli", ""})
# Runtimes that send a turn where the model's provider says.
OWN_RUNTIMES = frozenset({"auto", "embedded", "openclaw", "pi"})

# Name of an environment variable that OpenClaw takes a key from -> the provider that it opens.
CREDENTIAL_VARIABLES: dict[str, str] = {
    "ANTHROPIC_API_KEY": "anthropic",
    "ANTHROPIC_AUTH_TOKEN": "anthropic",
    "ANTHROPIC_OAUTH_TOKEN": "anthropic",
    "AWS_ACCESS_KEY_ID": "amazon-bedrock",
    "AWS_BEARER_TOKEN_BEDROCK": "amazon-bedrock",
    "AWS_PROFILE": "amazon-bedrock",
    "AWS_SECRET_ACCESS_KEY": "amazon-bedrock",
    "AWS_SESSION_TOKEN": "amazon-bedrock",
    "AZURE_OPENAI_API_KEY": "microsoft-foundry",
    "CLAUDE_CODE_OAUTH_TOKEN": "claude-cli",
    "CLAWROUTER_API_KEY": "clawrouter",
    "COPILOT_GITHUB_TOKEN": "github-copilot",
    "DASHSCOPE_API_KEY": "alibaba",
    "DEEPGRAM_API_KEY": "deepgram",
    "ELEVENLABS_API_KEY": "elevenlabs",
    "FAL_API_KEY": "fal",
    "FAL_KEY": "fal",
    "GEMINI_API_KEY": "google",
    "GH_TOKEN": "github-copilot",
    "GITHUB_TOKEN": "github-copilot",
    "GOOGLE_API_KEY": "google",
    "GOOGLE_APPLICATION_CREDENTIALS": "anthropic-vertex",
    "GOOGLE_CLOUD_API_KEY": "google-vertex",
    "GROQ_API_KEY": "groq",
    "HF_TOKEN": "huggingface",
    "HUGGINGFACE_HUB_TOKEN": "huggingface",
    "LITELLM_API_KEY": "litellm",
    "LM_API_TOKEN": "lmstudio",
    "MINIMAX_API_KEY": "minimax",
    "MINIMAX_CODE_PLAN_KEY": "minimax",
    "MINIMAX_CODING_API_KEY": "minimax",
    "MINIMAX_OAUTH_TOKEN": "minimax-portal",
    "MISTRAL_API_KEY": "mistral",
    "MODELSTUDIO_API_KEY": "alibaba",
    "NVIDIA_API_KEY": "nvidia",
    "OLLAMA_API_KEY": "ollama",
    "OPENAI_API_KEY": "openai",
    "OPENCODE_API_KEY": "opencode",
    "OPENCODE_ZEN_API_KEY": "opencode",
    "OPENROUTER_API_KEY": "openrouter",
    "QWEN_API_KEY": "alibaba",
    "RUNWAYML_API_SECRET": "runway",
    "RUNWAY_API_KEY": "runway",
    "SENSEAUDIO_API_KEY": "senseaudio",
    "SGLANG_API_KEY": "sglang",
    "TOGETHER_API_KEY": "together",
    "VLLM_API_KEY": "vllm",
    "XAI_API_KEY": "xai",
    "XI_API_KEY": "elevenlabs",
}
