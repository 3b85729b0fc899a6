# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection failclosed.openclaw: not for use from outside it.

"""Our own JSON schema (draft-07) of the part of ``openclaw.json`` that this collection manages.

It is a Python value, so that it travels with the module. It is stricter than OpenClaw's: a model
reference names its provider, a model id has no space, a provider's address is an http(s) URL. It says
nothing about keys outside the managed part.
"""

from __future__ import annotations

from typing import Any

PROVIDER_ID = "anthropic-max-proxy"
_VARIABLE = r"\$\{[A-Z_][A-Z0-9_]*\}"


def _text(title: str, description: str, **rules: Any) -> dict[str, Any]:
    return {"type": "string", "title": title, "description": description, **rules}


def _object(title: str, description: str, properties: dict[str, Any], **rules: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "title": title,
        "description": description,
        "properties": properties,
        "additionalProperties": False,
        **rules,
    }


def _list(title: str, description: str, items: dict[str, Any], **rules: Any) -> dict[str, Any]:
    return {"type": "array", "title": title, "description": description, "items": items, **rules}


def _switch(title: str, description: str) -> dict[str, Any]:
    return {"type": "boolean", "title": title, "description": description}


def _count(title: str, description: str) -> dict[str, Any]:
    return {"type": "number", "exclusiveMinimum": 0, "title": title, "description": description}


_FREE_OBJECT: dict[str, Any] = {"type": "object"}

_SECRET_REFERENCE = _object(
    "SecretRef",
    "Names a secret that OpenClaw reads elsewhere: source env, file, exec or store, a provider, an id.",
    {
        "source": {"enum": ["env", "file", "exec", "store"], "title": "Source", "description": "Kind of provider."},
        "provider": _text("Provider", "A name below secrets.providers.", pattern=r"^[a-z][a-z0-9_-]{0,63}$"),
        "id": _text("Id", "What the provider calls the secret.", minLength=1),
    },
    required=["source", "provider", "id"],
)

_SECRET = {
    "title": "Secret",
    "description": "A SecretRef object, ${NAME}, or a literal (which is then in the file in plain text).",
    "anyOf": [{"type": "string", "minLength": 1}, _SECRET_REFERENCE],
}

_MODEL_REFERENCE = _text(
    "Model reference",
    "provider/model, for example anthropic-max-proxy/claude-opus-4.6. A name without a provider may"
    " resolve to another provider, so it is refused here.",
    pattern=rf"^(?:[^/\s]+/\S+|{_VARIABLE})(?![\s\S])",
)

_MODEL_CHOICE = {
    "title": "Model choice",
    "description": "Write the object form with fallbacks: [] to be sure that nothing else is tried.",
    "anyOf": [
        _MODEL_REFERENCE,
        _object(
            "Model with fallbacks",
            "The model, and what is tried when it fails.",
            {
                "primary": _MODEL_REFERENCE,
                "fallbacks": _list("Fallbacks", "Tried in this order; [] means that nothing is.", _MODEL_REFERENCE),
                "timeoutMs": {
                    "type": "integer",
                    "minimum": 1,
                    "title": "Timeout",
                    "description": "Milliseconds; for the image and PDF models.",
                },
            },
        ),
    ],
}

_ADDRESS = _text(
    "Base URL",
    "An http or https URL without user, query and fragment. For anthropic-messages without /v1.",
    pattern=rf"^(?:https?://[^\s/@?#]+(?:/[^\s?#]*)?|{_VARIABLE})(?![\s\S])",
)

_API = {
    "enum": [
        "openai-completions",
        "openai-responses",
        "openai-chatgpt-responses",
        "anthropic-messages",
        "google-generative-ai",
        "google-vertex",
        "github-copilot",
        "bedrock-converse-stream",
        "ollama",
        "pi-messages",
        "azure-openai-responses",
    ],
    "title": "API",
    "description": "The protocol that the provider speaks; the proxy speaks anthropic-messages.",
}

_RUNTIME = _object("Runtime", "Which agent runtime serves it.", {"id": _text("Id", "A runtime's id.", minLength=1)})

_MODEL = _object(
    "Model",
    "One model that the provider offers.",
    {
        "id": _text("Id", "What the provider calls the model; no space.", pattern=r"^\S+(?![\s\S])"),
        "name": _text("Name", "What people see.", minLength=1),
        "api": _API,
        "baseUrl": _ADDRESS,
        "reasoning": _switch("Reasoning", "Whether the model can think."),
        "input": _list(
            "Input", "What the model accepts.", {"enum": ["text", "image", "video", "audio"]}, uniqueItems=True
        ),
        "cost": {
            "type": "object",
            "title": "Cost",
            "description": "US dollars for a million tokens.",
            "properties": {
                "input": {"type": "number", "minimum": 0},
                "output": {"type": "number", "minimum": 0},
                "cacheRead": {"type": "number", "minimum": 0},
                "cacheWrite": {"type": "number", "minimum": 0},
                "tieredPricing": {"type": "array"},
            },
            "additionalProperties": False,
        },
        "contextWindow": _count("Context window", "Tokens."),
        "contextTokens": _count("Context tokens", "Tokens that OpenClaw plans with."),
        "maxTokens": _count("Maximum output", "Tokens."),
        "thinkingLevelMap": _FREE_OBJECT,
        "params": _FREE_OBJECT,
        "agentRuntime": _RUNTIME,
        "headers": _FREE_OBJECT,
        "compat": _FREE_OBJECT,
        "mediaInput": _FREE_OBJECT,
        "metadataSource": {"type": "string"},
    },
    required=["id", "name"],
)

_PROVIDER_PROPERTIES: dict[str, Any] = {
    "baseUrl": _ADDRESS,
    "apiKey": _SECRET,
    "auth": {
        "enum": ["api-key", "aws-sdk", "oauth", "token"],
        "title": "Authentication",
        "description": "How requests are authenticated.",
    },
    "api": _API,
    "maxTokens": _count("Maximum output", "Tokens, for models that do not say."),
    "timeoutSeconds": {
        "type": "integer",
        "minimum": 1,
        "title": "Timeout",
        "description": "Seconds that one request may take.",
    },
    "region": _text("Region", "For providers that have regions.", minLength=1),
    "injectNumCtxForOpenAICompat": _switch("Inject num_ctx", "For Ollama behind the OpenAI protocol."),
    "params": _FREE_OBJECT,
    "agentRuntime": _RUNTIME,
    "localService": {
        "type": "object",
        "title": "Local service",
        "description": "A command that OpenClaw starts on demand.",
        "properties": {"command": _text("Command", "Absolute path.", pattern=r"^/")},
        "required": ["command"],
    },
    "headers": {
        "type": "object",
        "title": "Headers",
        "description": "Sent with each request.",
        "additionalProperties": _SECRET,
    },
    "authHeader": _switch("Authorization header", "Send the key as Authorization: Bearer."),
    "request": _FREE_OBJECT,
    "models": _list("Models", "What the provider offers; at least one.", _MODEL, minItems=1),
}

_PROVIDER = _object("Provider", "One entry of models.providers.", _PROVIDER_PROPERTIES)
_PROXY_PROVIDER = _object(
    "The proxy provider",
    "Claude through the local proxy: address, API and models are required.",
    _PROVIDER_PROPERTIES,
    required=["baseUrl", "api", "models"],
)

_MODEL_SETTINGS = _object(
    "Model settings",
    "Settings for one provider/model.",
    {
        "alias": _text("Alias", "A short name; no space and no slash.", pattern=r"^[^\s/]+(?![\s\S])"),
        "params": _FREE_OBJECT,
        "agentRuntime": _RUNTIME,
        "pickerRuntimes": _list("Picker runtimes", "Runtimes offered to the user.", {"type": "string"}),
        "codeMode": _switch("Code mode", "OpenClaw's code mode for this model."),
        "streaming": _switch("Streaming", "Whether answers stream."),
    },
)

_AGENT_MODELS = {
    "model": _MODEL_CHOICE,
    "imageModel": _MODEL_CHOICE,
    "pdfModel": _MODEL_CHOICE,
    "utilityModel": {
        "title": "Utility model",
        "description": "For short internal tasks; the empty text switches them off.",
        "anyOf": [{"const": ""}, _MODEL_REFERENCE],
    },
    "modelPolicy": _object(
        "Model policy",
        "Which models a run may ask for.",
        {
            "allow": _list(
                "Allowed models",
                "provider/model, provider/* or an alias; an empty list allows every model.",
                {"type": "string", "pattern": r"^\S+(?![\s\S])"},
            )
        },
    ),
    "models": {
        "type": "object",
        "title": "Settings by model",
        "description": "provider/model -> alias and settings.",
        "additionalProperties": _MODEL_SETTINGS,
        "propertyNames": {"pattern": r"^\S+(?![\s\S])"},
    },
}

_PLUGIN_ID = _text("Plugin id", "The id in the plugin's manifest; no space.", pattern=r"^\S+(?![\s\S])")

MANAGED_SCHEMA: dict[str, Any] = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "The managed part of openclaw.json",
    "description": "What the collection failclosed.openclaw writes. Other keys are OpenClaw's business.",
    "type": "object",
    "properties": {
        "meta": {
            "type": "object",
            "title": "Metadata",
            "description": "OpenClaw's own marks. A file that lost them is replaced by an older copy.",
        },
        "gateway": {
            "type": "object",
            "title": "Gateway",
            "description": "The server.",
            "properties": {
                "mode": {
                    "enum": ["local", "remote"],
                    "title": "Mode",
                    "description": "local: this host runs the agents. Without it the gateway does not start.",
                },
                "bind": {
                    "enum": ["auto", "lan", "loopback", "custom", "tailnet"],
                    "title": "Bind",
                    "description": "Where the server listens; loopback unless the gateway is meant to be reached.",
                },
                "port": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": 65535,
                    "title": "Port",
                    "description": "A TCP port from 1 to 65535.",
                },
                "auth": {
                    "type": "object",
                    "title": "Authentication",
                    "description": "How clients of the gateway prove who they are.",
                    "properties": {
                        "mode": {
                            "enum": ["none", "token", "password", "trusted-proxy"],
                            "title": "Mode",
                            "description": "What clients present.",
                        },
                        "token": _SECRET,
                        "password": _SECRET,
                    },
                },
                "reload": _object(
                    "Reload",
                    "What happens when the file changes.",
                    {"mode": {"enum": ["off", "hybrid"], "title": "Mode", "description": "hybrid applies edits."}},
                ),
            },
        },
        "models": {
            "type": "object",
            "title": "Models",
            "description": "Providers and their models.",
            "properties": {
                "mode": {
                    "enum": ["merge", "replace"],
                    "title": "Mode",
                    "description": "merge keeps the built-in providers.",
                },
                "providers": {
                    "type": "object",
                    "title": "Providers",
                    "description": "Provider id -> provider.",
                    "properties": {PROVIDER_ID: _PROXY_PROVIDER},
                    "additionalProperties": _PROVIDER,
                    "propertyNames": {"pattern": r"^[^\s/]+(?![\s\S])"},
                },
            },
        },
        "agents": {
            "type": "object",
            "title": "Agents",
            "description": "Defaults, and each agent's own settings.",
            "properties": {
                "defaults": {
                    "type": "object",
                    "title": "Defaults",
                    "description": "What holds for every agent that does not say otherwise.",
                    "properties": _AGENT_MODELS,
                },
                "entries": {
                    "type": "object",
                    "title": "Agents",
                    "description": "Agent id -> settings.",
                    "additionalProperties": {"type": "object", "properties": _AGENT_MODELS},
                },
            },
        },
        "plugins": _object(
            "Plugins",
            "Which plugins load, and their settings.",
            {
                "enabled": _switch("Enabled", "Whether any plugin loads."),
                "allow": _list(
                    "Allowed",
                    "Once this list exists, a plugin that it does not name is off, the bundled ones included.",
                    _PLUGIN_ID,
                    uniqueItems=True,
                ),
                "deny": _list("Denied", "Never loaded.", _PLUGIN_ID, uniqueItems=True),
                "load": _FREE_OBJECT,
                "slots": _FREE_OBJECT,
                "entries": {
                    "type": "object",
                    "title": "Entries",
                    "description": "Plugin id -> settings.",
                    "propertyNames": {"pattern": r"^\S+(?![\s\S])"},
                    "additionalProperties": _object(
                        "Plugin",
                        "Settings of one plugin.",
                        {
                            "enabled": _switch("Enabled", "Whether this plugin loads."),
                            "hooks": _FREE_OBJECT,
                            "subagent": _FREE_OBJECT,
                            "llm": _FREE_OBJECT,
                            "config": {
                                "type": "object",
                                "title": "Configuration",
                                "description": "What the plugin's own schema describes; OpenClaw checks it.",
                            },
                        },
                    ),
                },
            },
        ),
        "secrets": {
            "type": "object",
            "title": "Secrets",
            "description": "Where SecretRefs lead.",
            "properties": {
                "providers": {
                    "type": "object",
                    "title": "Secret providers",
                    "description": "Name -> provider.",
                    "propertyNames": {"pattern": r"^[a-z][a-z0-9_-]{0,63}(?![\s\S])"},
                    "additionalProperties": {
                        "type": "object",
                        "title": "Secret provider",
                        "description": "A source and what it needs.",
                        "properties": {
                            "source": {
                                "enum": ["env", "file", "exec", "store"],
                                "title": "Source",
                                "description": "Kind of provider.",
                            },
                            "path": _text("Path", "For source file: an absolute path.", pattern=r"^(?:/|~/|\$\{)"),
                        },
                        "required": ["source"],
                    },
                },
            },
        },
    },
}
