# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way that plugin/README.md describes, typed word for word into a shell on a terminal beside a running gateway."""

from __future__ import annotations

import json
import re
import shutil
import signal

import pytest
from openclaw_under_test import PLUGIN_ID, PLUGIN_SOURCE, OpenClaw, Terminal, wait_until
from standin_proxy import ANSWER, StandinProxy

pytestmark = [pytest.mark.openclaw, pytest.mark.long]

MODELS = ["claude-opus-4.6", "claude-sonnet-4.5", "claude-3.7-sonnet"]
README = (PLUGIN_SOURCE / "README.md").read_text()


def documented(heading: str, language: str) -> list[list[str]]:
    """The lines of each block of a language in a section."""
    section = re.search(rf"^## {heading}\n(.*?)(?=^## )", README, re.MULTILINE | re.DOTALL)
    assert section is not None
    return [
        block.strip().splitlines() for block in re.findall(rf"```{language}\n(.*?)```", section.group(1), re.DOTALL)
    ]


@pytest.fixture
def openclaw(tmp_path):
    under_test = OpenClaw(tmp_path / "home")
    under_test.write_config(plugin_config=None)
    under_test.start_gateway()
    yield under_test
    under_test.stop_gateway(signal.SIGKILL)


@pytest.fixture
def terminal(openclaw, tmp_path):
    clone = tmp_path / "clone"
    clone.mkdir()
    shutil.copytree(PLUGIN_SOURCE, clone / "plugin")
    shell = Terminal(openclaw, clone)
    yield shell
    shell.close()


def answers(port: int) -> list[tuple[str, str]]:
    return [("Proxy host", ""), ("Proxy port", str(port)), ("Model ids", ""), ("File with the proxy's key", "")]


def test_the_documented_way(openclaw, terminal, proxy):
    installing, no_autostart, packing, looking = documented("By hand", "sh")
    ((default, fallbacks, aliases),) = documented("By hand", "text")
    install, enable, restart, login, status, ask = installing

    assert f"Installed plugin: {PLUGIN_ID}" in terminal.type(install)
    assert f'Enabled plugin "{PLUGIN_ID}"' in terminal.type(enable)
    assert "restart request sent" in terminal.type(restart)
    wait_until(lambda: openclaw.log().count("[gateway] ready") == 2, seconds=90, what="the gateway has restarted")
    # Nothing runs the default command here, and both places that the README names say so.
    wait_until(lambda: 'program "bunx" was not found' in openclaw.log(), seconds=60, what="the error in the log")
    health, inspect, profiles = looking
    assert 'program \\"bunx\\" was not found' in terminal.type(health)
    assert "Status: loaded" in terminal.type(inspect)
    terminal.type(*no_autostart)

    terminal.type(login, answers(proxy.port))
    assert PLUGIN_ID in terminal.type(profiles)
    shown = terminal.type(status)
    for line in (default, fallbacks, aliases):
        assert line in shown
    config = openclaw.config()
    provider = config["models"]["providers"][PLUGIN_ID]
    assert (provider["baseUrl"], provider["api"]) == (f"http://127.0.0.1:{proxy.port}", "anthropic-messages")
    assert [model["id"] for model in provider["models"]] == MODELS
    assert config["agents"]["defaults"]["model"] == {"primary": f"{PLUGIN_ID}/claude-opus-4.6", "fallbacks": []}
    assert config["plugins"]["entries"][PLUGIN_ID]["config"]["autoStart"] is False
    assert ANSWER in terminal.type(ask)
    assert proxy.requests == [{"path": "/v1/messages", "model": MODELS[0], "key": "proxy-local"}]

    with StandinProxy() as other:
        terminal.type(login, answers(other.port))
        assert ANSWER in terminal.type(ask)
        assert (len(proxy.requests), len(other.requests)) == (1, 1)

        config = openclaw.config()
        config["models"]["providers"][PLUGIN_ID]["baseUrl"] = f"http://127.0.0.1:{proxy.port}"
        openclaw.config_path.write_text(json.dumps(config, indent=2))
        assert ANSWER in terminal.type(ask)
        assert (len(proxy.requests), len(other.requests)) == (2, 1)

    pack, install_archive = packing
    terminal.type(pack)
    assert f"Installed plugin: {PLUGIN_ID}" in terminal.type(install_archive)
    after = openclaw.config()
    assert after["models"] == config["models"] and after["agents"] == config["agents"]
    wait_until(openclaw.is_ready, seconds=60, what="the gateway is ready")
