# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin in a real OpenClaw: it loads, signs in, routes, supervises, and is silent when told to."""

from __future__ import annotations

import json
import os
import pwd
import re
import signal
import socket
import sys
import time
from pathlib import Path

import pytest
from openclaw_under_test import (
    PLUGIN_ID,
    PLUGIN_SOURCE,
    OpenClaw,
    accepts,
    free_port,
    processes_with,
    wait_until,
)
from standin_proxy import ANSWER

from ansible_collections.failclosed.openclaw.plugins.module_utils import _plugin_package, _plugin_state

pytestmark = pytest.mark.openclaw

STANDIN = str(Path(__file__).resolve().parent / "standin_proxy.py")
LOGIN = ["models", "auth", "login", "--provider", PLUGIN_ID, "--set-default"]
# OpenClaw says this of every plugin that it has no install record of.
UNTRACKED = "can't verify where this plugin came from"


def answers(*, port: str = "", models: str = "", key_file: str = "") -> list[tuple[str, str]]:
    """What is typed in the sign-in; "" accepts what is there."""
    return [
        ("Proxy host", ""),
        ("Proxy port", port),
        ("Model ids", models),
        ("File with the proxy's key", key_file),
    ]


def ask(openclaw: OpenClaw, *arguments: str) -> dict:
    return openclaw.run_json("infer", "model", "run", "--prompt", "ping", "--json", *arguments)


def test_it_loads_and_registers_without_a_warning_of_its_own(openclaw):
    openclaw.write_config(plugin_config={"autoStart": False})
    validated = openclaw.run_json("config", "validate", "--json")
    assert (validated["valid"], validated["warnings"]) == (True, [])
    inspected = openclaw.run_json("plugins", "inspect", PLUGIN_ID, "--runtime", "--json")
    plugin = inspected["plugin"]
    assert (plugin["status"], plugin["enabled"], plugin["providerIds"]) == ("loaded", True, [PLUGIN_ID])
    assert plugin["services"] == ["anthropic-max-proxy-service"]
    assert inspected["compatibility"] == []
    schema = plugin["configJsonSchema"]
    assert all(setting["description"] for setting in schema["properties"].values())
    foreign = [entry for entry in inspected["diagnostics"] if UNTRACKED not in entry["message"]]
    assert foreign == []


@pytest.mark.parametrize(
    ("config", "path", "message"),
    [
        ({"port": 70000}, "port", "65535"),
        ({"port": "3456"}, "port", "integer"),
        ({"host": "http://127.0.0.1"}, "host", "pattern"),
        ({"models": []}, "models", "fewer than 1"),
        ({"models": ["claude opus"]}, "models", "pattern"),
        ({"autostart": False}, "", "autostart"),
    ],
)
def test_wrong_settings_are_refused_with_their_name(openclaw, config, path, message):
    openclaw.write_config(plugin_config=config)
    completed = openclaw.run("config", "validate", "--json")
    assert completed.returncode == 1
    issues = json.loads(completed.stdout)["issues"]
    assert len(issues) == 1
    assert issues[0]["path"].startswith(f"plugins.entries.{PLUGIN_ID}.config")
    assert path in issues[0]["path"] + issues[0]["message"]
    assert message in issues[0]["message"]


def test_the_plugin_alone_routes_its_models(openclaw, proxy):
    openclaw.write_config(plugin_config={"autoStart": False, "port": proxy.port})
    answer = ask(openclaw, "--model", f"{PLUGIN_ID}/claude-sonnet-4.5")
    assert (answer["ok"], answer["provider"], answer["outputs"][0]["text"]) == (True, PLUGIN_ID, ANSWER)
    assert proxy.requests == [{"path": "/v1/messages", "model": "claude-sonnet-4.5", "key": "proxy-local"}]


def test_the_sign_in_corrects_answers_closes_fallbacks_and_starts_with_what_is_there(openclaw):
    leaky = {"primary": "anthropic/claude-opus-5", "fallbacks": ["anthropic/claude-opus-5", "openai/gpt-5.5"]}
    foreign = {"baseUrl": "http://127.0.0.1:1", "api": "anthropic-messages", "models": [{"id": "m", "name": "m"}]}
    openclaw.write_config(
        plugin_config={"autoStart": False},
        agents={"defaults": {"model": leaky, "models": {"anthropic/claude-opus-5": {"alias": "mine"}}}},
        models={"providers": {"foreign": foreign}},
    )
    wrong = [
        ("Proxy host", "http://x"),
        ("no http://", "localhost"),
        ("Proxy port", "70000"),
        ("from 1 to 65535", "9999"),
        ("Model ids", "claude one"),
        ("spaces are not", "claude-b, claude-a"),
        ("File with the proxy's key", ""),
    ]
    status, screen = openclaw.converse(LOGIN, wrong)
    assert status == 0, screen
    config = openclaw.config()
    assert config["models"]["providers"][PLUGIN_ID]["baseUrl"] == "http://localhost:9999"
    assert config["agents"]["defaults"]["model"] == {"primary": f"{PLUGIN_ID}/claude-b", "fallbacks": []}
    assert config["models"]["providers"]["foreign"] == foreign
    assert config["agents"]["defaults"]["models"]["anthropic/claude-opus-5"] == {"alias": "mine"}
    assert config["plugins"]["entries"][PLUGIN_ID]["config"]["autoStart"] is False
    before = config
    status, screen = openclaw.converse(LOGIN, answers())
    assert status == 0, screen
    for text in ("localhost", "9999", "claude-b, claude-a"):
        assert text in screen
    assert openclaw.config() == before
    status, _screen = openclaw.converse(LOGIN, answers(port="9998", models="claude-a, claude-b"))
    assert status == 0
    models = openclaw.config()["agents"]["defaults"]["models"]
    aliases = {reference for reference, entry in models.items() if entry.get("alias") == "claude-max-proxy"}
    assert aliases == {f"{PLUGIN_ID}/claude-a"}
    assert openclaw.config()["models"]["providers"][PLUGIN_ID]["baseUrl"] == "http://localhost:9998"
    listed = {model["key"]: model for model in openclaw.run_json("models", "list", "--json")["models"]}
    ours = {reference: model for reference, model in listed.items() if reference.startswith(f"{PLUGIN_ID}/")}
    assert set(ours) == {f"{PLUGIN_ID}/claude-a", f"{PLUGIN_ID}/claude-b"}
    assert all(model["available"] and not model.get("missing") for model in ours.values())
    assert {"default", "alias:claude-max-proxy"} <= set(ours[f"{PLUGIN_ID}/claude-a"]["tags"])


def reply_to(openclaw: OpenClaw, message: str) -> str:
    """What the gateway answers in the Control UI's conversation, which needs no channel."""

    def call(method: str, **parameters: object) -> dict:
        where = {"sessionKey": "agent:main:main", **parameters}
        return openclaw.run_json(
            "gateway", "call", method, "--token", "test-token", "--json", "--params", json.dumps(where)
        )

    def answers_since() -> list[str]:
        messages = call("chat.history")["messages"]
        asked = [number for number, each in enumerate(messages) if each["role"] == "user"]
        if len(asked) <= before:
            return []
        return [json.dumps(each["content"]) for each in messages[asked[-1] :] if each["role"] == "assistant"]

    before = sum(each["role"] == "user" for each in call("chat.history")["messages"])
    call("chat.send", message=message, idempotencyKey=f"turn-{before}")
    return wait_until(answers_since, seconds=90, what=f"an answer to {message}")[-1]


@pytest.mark.long
def test_a_conversation_shows_its_models_and_takes_its_alias_for_one(openclaw, proxy):
    openclaw.write_config(plugin_config={"autoStart": False})
    models = "claude-sonnet-4.5, claude-opus-4.6"
    assert openclaw.converse(LOGIN, answers(port=str(proxy.port), models=models))[0] == 0
    # So that the alias leads to another model than no choice at all.
    config = openclaw.config()
    config["agents"]["defaults"]["model"]["primary"] = f"{PLUGIN_ID}/claude-opus-4.6"
    openclaw.config_path.write_text(json.dumps(config))
    openclaw.start_gateway()
    assert f"Current: {PLUGIN_ID}/claude-opus-4.6" in reply_to(openclaw, "/model")
    listed = reply_to(openclaw, f"/models {PLUGIN_ID}")
    assert all(f"{PLUGIN_ID}/{model}" in listed for model in ("claude-opus-4.6", "claude-sonnet-4.5")), listed
    assert ANSWER in reply_to(openclaw, "ping")
    assert f"({PLUGIN_ID}/claude-sonnet-4.5)" in reply_to(openclaw, "/model claude-max-proxy")
    assert ANSWER in reply_to(openclaw, "ping")
    assert [request["model"] for request in proxy.requests] == ["claude-opus-4.6", "claude-sonnet-4.5"]


@pytest.mark.long
def test_a_key_in_a_file_reaches_the_proxy_and_stands_nowhere_else(openclaw, proxy):
    openclaw.write_config(plugin_config={"autoStart": False})
    assert openclaw.converse(LOGIN, answers(port=str(proxy.port)))[0] == 0
    key = openclaw.home / "proxy-key"
    key.write_text("sk-canary-of-the-proxy")
    key.chmod(0o600)
    status, screen = openclaw.converse(LOGIN, answers(key_file=str(key)))
    assert status == 0, screen
    assert ask(openclaw)["outputs"][0]["text"] == ANSWER
    # The profile of the first sign-in, without a key, does not outrank the reference.
    assert [request["key"] for request in proxy.requests] == ["sk-canary-of-the-proxy"]
    holders = [
        path.name
        for path in openclaw.state.rglob("*")
        if path.is_file() and path.stat().st_size < 50_000_000 and b"sk-canary" in path.read_bytes()
    ]
    assert holders == []


def lines_of_the_plugin(openclaw: OpenClaw) -> list[str]:
    lines = [line for line in openclaw.log().splitlines() if f"{PLUGIN_ID}:" in line]
    return [line for line in lines if UNTRACKED not in line]


def test_a_gateway_with_autostart_off_is_silent(openclaw, proxy):
    port = free_port()
    openclaw.write_config(plugin_config={"autoStart": False, "port": port, "command": [sys.executable, STANDIN]})
    openclaw.start_gateway()
    time.sleep(3)
    assert lines_of_the_plugin(openclaw) == []
    assert processes_with(f"CLAUDE_PROXY_PORT={port}") == []
    assert not accepts(port)
    openclaw.stop_gateway()
    assert lines_of_the_plugin(openclaw) == []


def supervised(openclaw: OpenClaw, port: int, **settings: object) -> None:
    openclaw.write_config(
        plugin_config={
            "autoStart": True,
            "port": port,
            "restartDelayMs": 300,
            "stopTimeoutMs": 2000,
            "command": [sys.executable, STANDIN],
            **settings,
        }
    )


def children(port: int) -> list[int]:
    return processes_with(f"CLAUDE_PROXY_PORT={port}")


def proxy_process(port: int) -> int | None:
    for pid in children(port):
        if Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[1:2] == [STANDIN.encode()]:
            return pid
    return None


def test_a_gateway_supervises_its_proxy(openclaw):
    port = free_port()
    supervised(openclaw, port)
    openclaw.start_gateway()
    wait_until(lambda: accepts(port), seconds=20, what="the proxy answers")
    assert f"{PLUGIN_ID}: starting proxy ({sys.executable}) on 127.0.0.1:{port}" in openclaw.log()
    environment = re.search(rf"{PLUGIN_ID}: environment (\S+)", openclaw.log())
    assert environment is not None
    assert "UNRELATED_SERVICE_TOKEN" not in environment.group(1)

    first = proxy_process(port)
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: accepts(port) and proxy_process(port) not in (first, None), seconds=20, what="the proxy is back")
    assert f"{PLUGIN_ID}: exited (code=null, signal=SIGKILL)" in openclaw.log()
    assert len(children(port)) == 3, "shell, its watcher, and one proxy"

    config = openclaw.config()
    other = free_port()
    config["plugins"]["entries"][PLUGIN_ID]["config"]["port"] = other
    openclaw.config_path.write_text(json.dumps(config))
    wait_until(lambda: accepts(other), seconds=40, what="the proxy moved")
    wait_until(lambda: not children(port), seconds=10, what="the old proxy is gone")

    openclaw.stop_gateway()
    assert children(other) == []


def test_a_running_gateway_loads_the_plugin_with_its_configuration(tmp_path):
    openclaw = OpenClaw(tmp_path / "home")
    openclaw.write_config(plugin_config=None)
    openclaw.start_gateway()
    try:
        openclaw.place_plugin()
        port = free_port()
        supervised(openclaw, port)
        if openclaw.version < "2026.9":
            # 2026.8.1 reloads the settings of a plugin that it has loaded, but loads no new one.
            openclaw.stop_gateway()
            openclaw.start_gateway()
        wait_until(lambda: accepts(port), seconds=40, what="the new plugin's proxy answers")
    finally:
        openclaw.stop_gateway(signal.SIGKILL)


@pytest.mark.long
def test_a_killed_gateway_leaves_no_orphan_and_the_next_one_starts_its_own(openclaw):
    # As on a host that this collection manages, where OpenClaw may not write its configuration.
    openclaw.environment["OPENCLAW_CONFIG_READONLY"] = "1"
    port = free_port()
    supervised(openclaw, port)
    openclaw.start_gateway()
    wait_until(lambda: accepts(port), seconds=20, what="the proxy answers")
    first = proxy_process(port)
    openclaw.stop_gateway(signal.SIGKILL)
    openclaw.start_gateway()
    wait_until(lambda: accepts(port), seconds=30, what="the second gateway's proxy answers")
    assert not Path(f"/proc/{first}").exists() or "(zombie)" in Path(f"/proc/{first}/status").read_text()
    assert len(children(port)) == 3
    openclaw.stop_gateway(signal.SIGKILL)
    wait_until(lambda: not children(port), seconds=15, what="nothing outlives the gateway")


@pytest.mark.long
def test_a_crash_loop_ends(openclaw):
    port = free_port()
    supervised(openclaw, port, restartDelayMs=100, maxRestarts=2, command=["/bin/false"])
    openclaw.start_gateway()
    wait_until(lambda: "stays stopped" in openclaw.log(), seconds=30, what="the supervisor gives up")
    time.sleep(2)
    assert openclaw.log().count("starting proxy") == 3
    assert openclaw.is_ready()
    errors = openclaw.run_json("health", "--json")["plugins"]["errors"]
    assert [(error["id"], error["failurePhase"]) for error in errors] == [(PLUGIN_ID, "service")]
    assert "stays stopped" in errors[0]["error"]


def test_a_port_held_by_somebody_else_is_one_error(openclaw):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        supervised(openclaw, port)
        openclaw.start_gateway()
        wait_until(lambda: "is held by another process" in openclaw.log(), seconds=60, what="the error")
        time.sleep(2)
        assert openclaw.log().count("is held by another process") == 1
        assert "starting proxy" not in openclaw.log()
        assert children(port) == []


def shipped_package() -> _plugin_package.Package:
    return _plugin_package.read_directory(str(PLUGIN_SOURCE), trusted_uids=None)


@pytest.mark.skipif(os.geteuid() != 0, reason="runs OpenClaw as another user")
def test_what_the_module_places_loads_for_an_unprivileged_gateway(tmp_path):
    nobody = pwd.getpwnam("nobody")
    openclaw = OpenClaw(tmp_path / "home", run_as=(nobody.pw_uid, nobody.pw_gid))
    openclaw.write_config(plugin_config={"autoStart": False})
    with _plugin_state.open_state_directory(str(openclaw.state)) as state:
        assert state.uid == nobody.pw_uid
        _plugin_state.place(state, shipped_package()).commit()
    validated = openclaw.run_json("config", "validate", "--json")
    assert validated["warnings"] == []
    inspected = openclaw.run_json("plugins", "inspect", PLUGIN_ID, "--runtime", "--json")
    assert inspected["plugin"]["status"] == "loaded"
    with _plugin_state.open_state_directory(str(openclaw.state)) as state:
        assert _plugin_state.look(state, PLUGIN_ID).problems == []
