# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every supported proxy states the same things, so that one that is added later is complete or fails here."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from ansible_collections.failclosed.openclaw.plugins.module_utils._release_npm import read_npm
from ansible_collections.failclosed.openclaw.plugins.module_utils._release_pip import normalize, read_requirements

ROLE = Path(__file__).resolve().parents[3] / "roles" / "openclaw_proxy"
FILES = sorted((ROLE / "vars" / "supported").glob("*.yml"))

TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
VARIABLE: dict[str, Any] = {"type": "string", "pattern": "^([A-Z][A-Z0-9_]*)?$"}
EXPRESSION: dict[str, Any] = {"type": "string", "pattern": r"^\{\{ [^\0]* \}\}$"}


def or_expression(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, EXPRESSION]}


def closed(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        **more,
    }


SCHEMA = closed(
    {
        "title": TEXT,
        "package": {"type": "string"},
        "manager": {"enum": ["npm", "pip", "none"]},
        "lock_dir": {"type": "string", "pattern": r"^(\{\{ role_path \}\}/files/[a-z0-9-]+)?$"},
        "python": {"type": "string", "pattern": r"^(3\.[0-9]+)?$"},
        "tools": or_expression({"type": "array", "items": {"enum": ["node", "bun", "claude"]}, "uniqueItems": True}),
        "command": or_expression({"type": "array", "items": TEXT, "minItems": 1}),
        "host_variable": VARIABLE,
        "port_variable": VARIABLE,
        "fixed_address": {"type": "string", "pattern": "^[0-9a-f.:]*$"},
        "api": or_expression({"enum": ["anthropic-messages", "openai-completions", "openai-responses"]}),
        "base_path": or_expression({"type": "string", "pattern": "^(/[a-z0-9]+)*$"}),
        "liveness_path": or_expression({"type": "string", "pattern": "^/[a-z/]*$"}),
        "login_command": or_expression({"type": "array", "items": TEXT}),
        "reload_signal": or_expression({"type": "string", "pattern": "^(SIG[A-Z0-9]+)?$"}),
        "inbound_key": or_expression({"type": "boolean"}),
        "inbound_key_passed": TEXT,
        "inbound_key_header": or_expression({"enum": ["x-api-key", "Authorization", ""]}),
        "upstream_credentials": {
            "type": "object",
            "properties": {"login": {"const": ""}, "token": VARIABLE, "api_key": VARIABLE},
            "additionalProperties": False,
            "minProperties": 1,
        },
        "upstream_default": {"enum": ["login", "token", "api_key"]},
        "upstream_url": {"type": "string", "pattern": "^(file|command|none|[A-Z][A-Z0-9_]*)$"},
        "models": closed(
            {
                "default": {"type": "array", "items": TEXT, "minItems": 1, "uniqueItems": True},
                "pattern": {"type": "string"},
                "rule": TEXT,
                "properties": {"type": "object"},
            }
        ),
        "environment": {
            "type": "object",
            "propertyNames": {"pattern": "^[A-Z][A-Z0-9_]*$"},
            "additionalProperties": {"type": "string"},
        },
        "credentials": or_expression(
            {"type": "object", "properties": {"inbound-key": VARIABLE}, "additionalProperties": False}
        ),
        "files": {"type": "array", "items": closed({"path": TEXT, "template": TEXT})},
        "programs": {"type": "array", "items": closed({"name": TEXT, "file": TEXT})},
        "defects": {"type": "array", "items": closed({"defect": TEXT, "setting": {"type": "string"}})},
    }
)


def read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))["openclaw_proxy_supported"]


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def proxy(request: pytest.FixtureRequest) -> dict[str, Any]:
    return read(request.param)


def test_the_six_are_there() -> None:
    assert [path.stem for path in FILES] == [
        "ccproxy-api",
        "claude-max-api-proxy",
        "custom",
        "litellm",
        "meridian",
        "opencode-claude-max-proxy",
    ]


def test_a_file_states_everything_and_nothing_else(proxy: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(proxy)


@pytest.mark.parametrize("change", ["missing", "extra", "nested"])
def test_the_schema_refuses_what_is_incomplete(change: str) -> None:
    proxy = read(ROLE / "vars/supported/meridian.yml")
    if change == "missing":
        del proxy["liveness_path"]
    elif change == "extra":
        proxy["livenes_path"] = "/"
    else:
        del proxy["defects"][0]["setting"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate(proxy)


def test_what_a_file_says_fits_together(proxy: dict[str, Any]) -> None:
    assert proxy["upstream_default"] in proxy["upstream_credentials"]
    assert (proxy["package"] == "") == (proxy["manager"] == "none")
    if isinstance(proxy["inbound_key"], bool):
        assert proxy["inbound_key"] == ("inbound-key" in proxy["credentials"])
        assert proxy["inbound_key"] == (proxy["inbound_key_header"] != "")
    if proxy["inbound_key_header"] in ("x-api-key", "Authorization"):
        assert proxy["inbound_key_header"] in proxy["inbound_key_passed"]
    if "login" in proxy["upstream_credentials"] and proxy["manager"] != "none":
        assert proxy["login_command"] == ["{{ openclaw_proxy_claude_binary }}", "auth", "status"]
        assert "claude" in proxy["tools"]
    for kind, variable in proxy["upstream_credentials"].items():
        if kind != "login" and proxy["manager"] != "none":
            assert variable, f"{kind} needs a variable"
    for model in proxy["models"]["default"]:
        assert re.match(proxy["models"]["pattern"], model)
    if proxy["host_variable"] == "" and not proxy["fixed_address"] and isinstance(proxy["command"], list):
        assert "{{ openclaw_proxy_command_address }}" in proxy["command"]
    if proxy["port_variable"] == "" and isinstance(proxy["command"], list):
        assert "{{ openclaw_proxy_command_port | string }}" in proxy["command"]
    # A setting that avoids a defect is not only written down.
    for defect in proxy["defects"]:
        name, equals, value = defect["setting"].partition("=")
        if equals and re.fullmatch("[A-Z][A-Z0-9_]*", name):
            assert proxy["environment"][name] == value


def test_no_command_looks_a_package_up_when_it_starts(proxy: dict[str, Any]) -> None:
    if isinstance(proxy["command"], list):
        assert not {"bunx", "npx", "uvx", "pipx"} & {word.rpartition("/")[2] for word in proxy["command"]}


def test_a_lock_in_the_role_pins_the_package(proxy: dict[str, Any]) -> None:
    if not proxy["lock_dir"]:
        return
    directory = Path(proxy["lock_dir"].replace("{{ role_path }}", str(ROLE)))
    name = proxy["package"].partition("[")[0]
    if proxy["manager"] == "npm":
        check_npm(directory, name)
    else:
        assert normalize(name) in read_requirements((directory / "requirements.txt").read_text()).versions


def check_npm(directory: Path, name: str) -> None:
    for machine in ("x86_64", "aarch64"):
        lock = read_npm(
            (directory / "package.json").read_text(), (directory / "package-lock.json").read_text(), machine
        )
        assert name in lock.versions
    # No address of a registry: a host takes its own, or a mirror.
    assert "resolved" not in json.dumps(lock.lock)


@pytest.mark.parametrize(("directory", "name"), [("bun", "bun"), ("claude", "@anthropic-ai/claude-code")])
def test_tools_are_locked_for_both_machines(directory: str, name: str) -> None:
    check_npm(ROLE / "files" / directory, name)


def test_templates_and_programs_exist(proxy: dict[str, Any]) -> None:
    for file in proxy["files"]:
        assert (ROLE / "templates" / file["template"]).is_file()
    for program in proxy["programs"]:
        assert (ROLE / "files" / program["file"]).is_file()


@pytest.mark.parametrize("page", ["README.md", "roles/openclaw_proxy/README.md", "docs/docsite/rst/proxies.rst"])
def test_every_proxy_is_documented(page: str) -> None:
    text = (ROLE.parents[1] / page).read_text(encoding="utf-8")
    assert [path.stem for path in FILES if f"`{path.stem}`" not in text] == []
