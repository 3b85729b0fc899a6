# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The route map against the real program: its schema, its bundled providers, its documentation's examples."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.failclosed.openclaw.plugins.module_utils import _json5, _merge_patch, _route_map, _routes
from ansible_collections.failclosed.openclaw.tests.unit.plugins.module_utils import node_process
from ansible_collections.failclosed.openclaw.tests.unit.plugins.module_utils.audited_host import CONVERGED, AuditedHost

LOOKS_LIKE_A_ROUTE = re.compile(
    r"model|provider|baseurl|endpoint|api_?key|fallback|url$|command$|token$|runtime|proxy|harness|host$|^env$",
    re.IGNORECASE,
)
IRRELEVANT = yaml.safe_load(Path(__file__).with_name("irrelevant_paths.yml").read_text())
Parts = tuple[str, ...]


def schema_paths(schema: Mapping[str, Any]) -> dict[Parts, set[str]]:
    """Every path of a schema with the types at it; `*` for any key, `[]` for any element."""
    found: dict[Parts, set[str]] = {}

    def walk(node: Any, path: Parts, base: Any, above: frozenset[int]) -> None:
        if not isinstance(node, Mapping):
            return
        # References are relative to the plugin's own schema that brought them in.
        base = node if "$defs" in node else base
        while "$ref" in node:
            target = base
            for part in node["$ref"].split("/")[1:]:
                target = target[part]
            node = target
        if id(node) in above:
            return
        above |= {id(node)}
        found.setdefault(path, set()).add(str(node.get("type")))
        for key in ("anyOf", "oneOf", "allOf"):
            for each in node.get(key, ()):
                walk(each, path, base, above)
        for key, each in node.get("properties", {}).items():
            walk(each, (*path, key), base, above)
        for each in (node.get("additionalProperties"), *node.get("patternProperties", {}).values()):
            walk(each, (*path, "*"), base, above)
        items = node.get("items")
        for each in items if isinstance(items, list) else [items]:
            walk(each, (*path, "[]"), base, above)

    walk(schema, (), schema, frozenset())
    return found


def parts_of(pattern: str) -> Parts:
    return tuple(pattern.replace("[]", ".[]").replace("..", ".").split("."))


def fits(path: Parts, pattern: Parts) -> bool:
    return len(path) == len(pattern) and all(there == "*" or here == there for here, there in zip(path, pattern))


def fits_irrelevant(path: Parts, pattern: Parts) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(fits_irrelevant(path[start:], pattern[1:]) for start in range(len(path) + 1))
    if not path:
        return False
    here = path[0] == pattern[0] or (pattern[0] != "[]" and fnmatchcase(path[0], pattern[0]))
    return here and fits_irrelevant(path[1:], pattern[1:])


def route_of(path: Parts) -> str | None:
    for route in _route_map.ROUTES:
        for pattern in map(parts_of, route.paths):
            if fits(path, pattern):
                return route.id
            rest = set(path[len(pattern) :])
            if (
                route.kind == _route_map.MODEL
                and fits(path[: len(pattern)], pattern)
                and rest <= {"primary", "fallbacks", "[]"}
            ):
                return route.id
            if route.id == "plugin-model" and fits(path[:4], pattern) and "model" in path[-1].lower():
                return route.id
            if route.id == "plugin-model" and fits(path[:4], pattern) and path[-1].endswith("Provider"):
                return route.id
    return None


def candidates(schema: Mapping[str, Any]) -> Iterator[Parts]:
    for path, types in schema_paths(schema).items():
        names = [part for part in path if part not in ("*", "[]")]
        # What only holds other paths is looked at through them.
        if names and LOOKS_LIKE_A_ROUTE.search(names[-1]) and not types <= {"object", "array"}:
            yield path


def unexplained(schema: Mapping[str, Any]) -> list[str]:
    patterns = [tuple(pattern.split(".")) for entry in IRRELEVANT for pattern in entry["paths"]]
    return [
        ".".join(path)
        for path in candidates(schema)
        if route_of(path) is None and not any(fits_irrelevant(path, pattern) for pattern in patterns)
    ]


@pytest.fixture(scope="module")
def exported_schema(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return schema_of(node_process.openclaw(), tmp_path_factory.mktemp("home"))


def schema_of(package: Path, home: Path) -> Any:
    completed = subprocess.run(
        [node_process.node(), str(package / "openclaw.mjs"), "config", "schema"],
        env={"PATH": os.environ["PATH"], "HOME": str(home), "OPENCLAW_STATE_DIR": str(home)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return json.loads(completed.stdout)


@pytest.mark.openclaw
def test_every_path_that_looks_like_a_route_is_known(exported_schema: Any) -> None:
    assert len(list(candidates(exported_schema))) > 500
    assert unexplained(exported_schema) == []


@pytest.mark.long
@pytest.mark.openclaw
@pytest.mark.parametrize("version", node_process.OLDER_RELEASES)
def test_so_is_every_such_path_of_an_older_release(tmp_path: Path, version: str) -> None:
    schema = schema_of(node_process.openclaw_releases()[version], tmp_path)
    assert len(list(candidates(schema))) > 500
    assert unexplained(schema) == []


@pytest.mark.openclaw
@pytest.mark.parametrize(
    "path",
    ["agents.defaults.dreamModel", "tools.newTool.provider", "models.providers.*.mirrorUrl", "x.fallbacks"],
)
def test_a_new_path_would_be_seen(exported_schema: Any, path: str) -> None:
    schema = json.loads(json.dumps(exported_schema))
    node = schema
    *above, name = path.split(".")
    for part in above:
        if part == "*":
            node = node["additionalProperties"]
        else:
            node = node.setdefault("properties", {}).setdefault(part, {"type": "object"})
    node.setdefault("properties", {})[name] = {"type": "string"}
    assert unexplained(schema) == [path]


@pytest.mark.openclaw
def test_every_route_is_a_path_of_the_program_or_of_its_older_notation(exported_schema: Any) -> None:
    known = set(schema_paths(exported_schema))
    generic = {"channels", "plugins", "agents"}
    for route in _route_map.ROUTES:
        for pattern in map(parts_of, route.paths):
            if pattern[:2] == ("agents", "list") or pattern[:2] == ("env", "*"):
                continue
            exists = any(fits(path, pattern) for path in known)
            assert exists or pattern[0] in generic, f"{route.id}: OpenClaw has no path {'.'.join(pattern)}"


@pytest.mark.openclaw
def test_every_key_that_a_bundled_provider_takes_from_the_environment_is_known() -> None:
    names = set()
    manifests = list((node_process.openclaw() / "dist" / "extensions").glob("*/openclaw.plugin.json"))
    assert len(manifests) > 40
    for manifest in manifests:
        setup = json.loads(manifest.read_text()).get("setup") or {}
        for provider in setup.get("providers") or []:
            names |= set(provider.get("envVars") or [])
    # Speech services speak and listen; their keys open no conversation model.
    speech = {name for name in names if name.startswith(("AZURE_SPEECH", "SPEECH_"))}
    assert names - speech - set(_route_map.CREDENTIAL_VARIABLES) == set()


@pytest.mark.openclaw
def test_no_false_alarm_on_the_documentations_examples() -> None:
    """What OpenClaw's own documentation shows is moved to the proxy; then nothing but other services may be left."""
    checked = 0
    for text in documentation_examples():
        config = _json5.loads(text)
        if not isinstance(config, dict) or not set(config) & {"agents", "gateway", "channels", "tools", "models"}:
            continue
        checked += 1
        moved = to_the_proxy(config)
        for hit in _routes.Routes(moved, provider="anthropic-max-proxy").hits():
            allowed = hit.resolves_to == _routes.OTHER or hit.id.startswith("code-") or hit.id in ELSEWHERE
            assert allowed, (hit, text)
    assert checked > 50


# By what OpenClaw's documentation says of each section: it concerns this host, its agents' prompts, or a messenger, and
# names no service that a prompt, a picture or a voice goes to. Models may be named; those are moved.
LOCAL_SECTIONS = (
    "accessGroups",
    "agents.defaults.blockStreamingBreak",
    "agents.defaults.blockStreamingChunk",
    "agents.defaults.blockStreamingCoalesce",
    "agents.defaults.blockStreamingDefault",
    "agents.defaults.bootstrapMaxChars",
    "agents.defaults.bootstrapTotalMaxChars",
    "agents.defaults.contextInjection",
    "agents.defaults.contextLimits",
    "agents.defaults.contextPruning",
    "agents.defaults.decisionModel",
    "agents.defaults.elevatedDefault",
    "agents.defaults.heartbeat",
    "agents.defaults.humanDelay",
    "agents.defaults.imageMaxDimensionPx",
    "agents.defaults.imageModel",
    "agents.defaults.imageQuality",
    "agents.defaults.maxConcurrent",
    "agents.defaults.mediaMaxMb",
    "agents.defaults.mediaModels",
    "agents.defaults.model",
    "agents.defaults.modelPolicy",
    "agents.defaults.modelSelectionScope",
    "agents.defaults.pdfMaxMb",
    "agents.defaults.pdfMaxPages",
    "agents.defaults.pdfModel",
    "agents.defaults.reasoningDefault",
    "agents.defaults.repoRoot",
    "agents.defaults.skills",
    "agents.defaults.skipBootstrap",
    "agents.defaults.startupContext",
    "agents.defaults.subagents",
    "agents.defaults.thinkingDefault",
    "agents.defaults.timeoutSeconds",
    "agents.defaults.toolProgressDetail",
    "agents.defaults.typingIntervalSeconds",
    "agents.defaults.typingMode",
    "agents.defaults.userTimezone",
    "agents.defaults.utilityModel",
    "agents.defaults.verboseDefault",
    "agents.defaults.workspace",
    "agents.entries.*.agentDir",
    "agents.entries.*.cwd",
    "agents.entries.*.decisionModel",
    "agents.entries.*.default",
    "agents.entries.*.groupChat",
    "agents.entries.*.heartbeat",
    "agents.entries.*.identity",
    "agents.entries.*.model",
    "agents.entries.*.name",
    "agents.entries.*.skills",
    "agents.entries.*.subagents",
    "agents.entries.*.tools",
    "agents.entries.*.utilityModel",
    "agents.entries.*.workspace",
    "agents.ownership",
    "approvals",
    "bindings",
    "broadcast",
    "channels",
    "commands",
    "discovery",
    "gateway.auth",
    "gateway.bind",
    "gateway.controlUi",
    "gateway.http",
    "gateway.nodes",
    "gateway.port",
    "gateway.publicOrigin",
    "gateway.reload",
    "gateway.roles",
    "gateway.tailscale",
    "gateway.tls",
    "gateway.tools",
    "gateway.trustedProxies",
    "logging",
    "messages.ackReaction",
    "messages.ackReactionScope",
    "messages.groupChat",
    "messages.queue",
    "messages.responsePrefix",
    "messages.visibleReplies",
    "session",
    "tools.agentToAgent",
    "tools.allow",
    "tools.alsoAllow",
    "tools.deny",
    "tools.elevated",
    "tools.exec",
    "tools.fs",
    "tools.loopDetection",
    "tools.profile",
    "tools.sessions",
    "tools.subagents",
    "tools.toolSearch",
)
# Of messengers: what speaks and listens, and the judge that Reef asks about each message.
SPEAKING_CHANNELS = ("channels.*.voice", "channels.*.tts", "channels.*.stt", "channels.reef")


def only_uses_local_sections(config: dict[str, Any]) -> bool:
    def below(path: Parts, sections: tuple[str, ...]) -> bool:
        return any(fits(path[: len(section)], section) for section in map(parts_of, sections))

    def leaves(value: Any, path: Parts) -> Iterator[Parts]:
        if isinstance(value, dict) and value:
            for key, member in value.items():
                yield from leaves(member, (*path, key))
        else:
            yield path

    return all(below(path, LOCAL_SECTIONS) and not below(path, SPEAKING_CHANNELS) for path in leaves(config, ()))


@pytest.mark.long
@pytest.mark.openclaw
def test_the_audit_has_nothing_to_say_about_the_examples_that_use_only_allowed_routes(tmp_path: Path) -> None:
    """A host of the roles whose own settings are the example: the whole audit, on its files."""
    host = AuditedHost(tmp_path)
    compliant = other = with_models = 0
    for text in documentation_examples():
        config = _json5.loads(text)
        if not isinstance(config, dict) or not set(config) & {"agents", "gateway", "channels", "tools", "models"}:
            continue
        if not only_uses_local_sections(config):
            other += 1
            continue
        moved = to_the_proxy(config)
        with_models += moved != {**config, "models": moved["models"]}
        report = host.write(_merge_patch.apply(moved, CONVERGED)).audit()
        assert (report.compliant, report.findings, report.unknown) == (True, [], []), text
        compliant += 1
    # The others are there, too: the list of sections does not just take everything.
    assert compliant > 400 and with_models > 40 and other > 200, (compliant, with_models, other)


# What these examples are about is another way on purpose.
ELSEWHERE = frozenset(
    {
        "channel-guard",
        "credential-config",
        "credential-shell-environment",
        "external-harness",
        "forward-proxy",
        "media-model",
        "memory-search-provider",
        "model-runtime",
        "other-provider",
        "plugin-model",
        "plugin-model-choice",
        "remote-inference",
        "speech-provider",
    }
)


def documentation_examples() -> Iterator[str]:
    for page in sorted((node_process.openclaw() / "docs").rglob("*.md")):
        for match in re.finditer(r"^```json5?\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
            try:
                _json5.loads(match.group(1))
            except ValueError:
                continue
            yield match.group(1)


def to_the_proxy(config: dict[str, Any]) -> dict[str, Any]:
    """The example with every model reference replaced by the proxy's, and with the proxy as its provider."""
    moved: dict[str, Any] = json.loads(json.dumps(config))
    for route in _route_map.ROUTES:
        if route.kind != _route_map.MODEL:
            continue
        for pattern in route.paths:
            for path, value in list(_routes.matches(pattern, moved)):
                holder: Any = moved
                for part in path[:-1]:
                    holder = holder[part]
                reference = "anthropic-max-proxy/claude-opus-4.6"
                if isinstance(value, str) and value:
                    holder[path[-1]] = reference
                elif isinstance(value, dict):
                    holder[path[-1]] = {"primary": reference, "fallbacks": []}
    if isinstance(moved.get("agents"), dict) and isinstance(moved["agents"].get("defaults"), dict):
        for name in ("models", "modelPolicy"):
            moved["agents"]["defaults"].pop(name, None)
    if not isinstance(moved.get("models"), dict) or not isinstance(moved["models"].get("providers"), dict):
        moved["models"] = {"providers": {}}
    proxy = {"baseUrl": "http://127.0.0.1:3456", "models": [{"id": "claude-opus-4.6"}]}
    moved["models"]["providers"] = {"anthropic-max-proxy": proxy, **moved["models"]["providers"]}
    return moved
