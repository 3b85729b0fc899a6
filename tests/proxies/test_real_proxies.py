# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns of a real OpenClaw through the real proxies, with the simulator as the API behind them.

The packages come from the role's locks, by the module that the role uses. The proxies run under the role's supervisor
with the settings that the role writes, as a user of their own. It takes minutes, most of them for the registries.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import role_output
from ansible.module_utils.testing import patch_module_args
from openclaw_under_test import OpenClaw, free_port, required_environment
from running_simulator import RunningSimulator

from ansible_collections.failclosed.openclaw.plugins.modules import locked_release

pytestmark = [pytest.mark.openclaw, pytest.mark.registry, pytest.mark.long]

FILES = role_output.ROOT / "roles/openclaw_proxy/files"
UID = 64322
UPSTREAM_KEY = "sk-ant-simulator-000000000000"
INBOUND_KEY = "sk-inbound-7d1f0c"
ANSWER = "SIMULATOR-upstream-OK"


@dataclass
class Proxy:
    """One proxy under its supervisor."""

    directory: Path
    variables: dict[str, Any]
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    provider: dict[str, Any] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.directory / "home"

    def start(self, simulator: RunningSimulator) -> None:
        files, self.provider = role_output.render(
            self.directory,
            {
                "openclaw_proxy_port": self.port,
                "openclaw_proxy_install_dir": str(self.directory.parent / "install"),
                "openclaw_proxy_config_dir": str(self.directory / "etc"),
                "openclaw_proxy_home": str(self.home),
                "openclaw_proxy_node": required_environment("FAILCLOSED_NODE"),
                "openclaw_proxy_upstream_api_key": UPSTREAM_KEY,
                "openclaw_proxy_upstream_url": simulator.url("upstream"),
                "openclaw_provider_plugin": False,
                "openclaw_provider_credentials_dir": str(self.directory / "gateway"),
                **self.variables,
            },
        )
        self.home.mkdir()
        os.chown(self.home, UID, UID)
        credentials = self.directory / "credentials"
        for directory in (credentials, self.directory / "gateway"):
            directory.mkdir()
        for name, value in (("upstream-key", UPSTREAM_KEY), ("inbound-key", INBOUND_KEY)):
            (credentials / name).write_text(value)
            (credentials / name).chmod(0o444)
        (self.directory / "gateway/proxy-inbound-key").write_text(INBOUND_KEY)
        (self.directory / "gateway/proxy-inbound-key").chmod(0o400)
        configuration = ""
        for file in files:
            if file["path"].startswith("/usr/local/"):
                continue
            path = Path(file["path"])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file["content"])
            # The group of the role's files is the proxy's.
            path.chmod(0o755 if path.parent.name == "bin" else 0o644)
            configuration = str(path) if path.name == "supervisor.json" else configuration
        supervisor = role_output.ROOT / "roles/openclaw_proxy/files/openclaw_proxy_supervisor.py"
        program = shutil.copy(supervisor, self.directory)
        with (self.directory / "log").open("wb") as log:
            self.process = subprocess.Popen(
                ["/usr/bin/python3", "-I", program, "--configuration", configuration],
                env={
                    "CREDENTIALS_DIRECTORY": str(credentials),
                    "PATH": "/usr/bin:/bin",
                    "ANTHROPIC_API_KEY": "sk-stray",
                },
                cwd=self.home,
                stdout=log,
                stderr=subprocess.STDOUT,
                user=UID,
                group=UID,
                extra_groups=[],
            )
        deadline = time.monotonic() + 240
        while "event=alive" not in self.log():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.2)

    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """A directory that every user can reach."""
    path = Path(tempfile.mkdtemp(prefix="real-proxies-", dir="/var/tmp"))
    path.chmod(0o755)
    old = os.umask(0o022)
    (path / "install").mkdir()
    yield path
    os.umask(old)
    shutil.rmtree(path)


@pytest.fixture
def simulator() -> Iterator[RunningSimulator]:
    running = RunningSimulator(["name=upstream,port=0"])
    yield running
    running.simulator.stop()


def install(capsys: pytest.CaptureFixture[str], **options: Any) -> None:
    with patch_module_args({"timeout": 1200, **options}), pytest.raises(SystemExit):
        locked_release.main()
    result = json.loads(capsys.readouterr().out)
    assert not result.get("failed"), result


def install_npm(capsys: pytest.CaptureFixture[str], path: Path, name: str, links: dict[str, str]) -> None:
    install(
        capsys,
        path=str(path),
        manager="npm",
        package_json=(FILES / name / "package.json").read_text(),
        package_lock=(FILES / name / "package-lock.json").read_text(),
        node=required_environment("FAILCLOSED_NODE"),
        links=links,
    )


@pytest.fixture
def claude(directory: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    links = {"bin/claude": "node_modules/@anthropic-ai/claude-code-linux-*/claude"}
    install_npm(capsys, directory / "install/claude", "claude", links)
    return directory / "install/claude/current/bin/claude"


@pytest.fixture
def claude_max(
    directory: Path, claude: Path, simulator: RunningSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Proxy]:
    install_npm(capsys, directory / "install/release", "claude-max-api-proxy", {})
    place = directory / tmp_path.name
    place.mkdir()
    proxy = Proxy(
        place,
        {
            "openclaw_proxy_implementation": "claude-max-api-proxy",
            "openclaw_proxy_credential": "api_key",
            "openclaw_proxy_inbound_key": False,
        },
    )
    proxy.start(simulator)
    yield proxy
    proxy.stop()


@pytest.fixture
def litellm(
    directory: Path, simulator: RunningSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Proxy]:
    requirements = (FILES / "litellm/requirements.txt").read_text()
    install(capsys, path=str(directory / "install/release"), manager="pip", requirements=requirements)
    place = directory / tmp_path.name
    place.mkdir()
    proxy = Proxy(place, {"openclaw_proxy_implementation": "litellm"})
    proxy.start(simulator)
    yield proxy
    proxy.stop()


def turn(home: Path, proxy: Proxy, text: str) -> str:
    """The answer to one turn of a real OpenClaw that has the provider's configuration of the role and nothing else."""
    openclaw = OpenClaw(home)
    openclaw.write_config(plugin_config=None, **proxy.provider)
    completed = openclaw.run("agent", "--local", "--agent", "main", "--message", text, "--json")
    assert completed.returncode == 0, completed.stdout + completed.stderr + proxy.log()
    document = json.loads(completed.stdout[completed.stdout.index("{") :])
    answer = document.get("result", document)
    assert answer["meta"]["agentMeta"]["provider"] == "anthropic-max-proxy"
    return "\n".join(each["text"] for each in answer["payloads"])


def test_litellm_streams_and_passes_tools_on(litellm: Proxy, simulator: RunningSimulator, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("a note")
    simulator.reply(
        count=1,
        match={"tool": "read", "tool_result": False},
        content=[{"type": "tool_use", "name": "read", "input": {"path": str(note)}}],
    )
    assert ANSWER in turn(tmp_path / "home", litellm, "Read the note.")
    records = [record for record in simulator.requests() if record["path"] == "/v1/messages"]
    assert len(records) == 2, records
    assert all(record["stream"] and record["tools"] > 0 and record["status"] == 200 for record in records)
    # The second request carries what the tool read, in OpenClaw and not in the proxy.
    assert records[1]["bytes"] > records[0]["bytes"]
    assert {record["model"] for record in records} == {"claude-opus-4-6"}


def test_claude_max_api_proxy_streams_text_and_has_no_tools(
    claude_max: Proxy, simulator: RunningSimulator, tmp_path: Path
) -> None:
    assert ANSWER in turn(tmp_path / "home", claude_max, "Say hello.")
    records = [record for record in simulator.requests() if record["path"] == "/v1/messages"]
    assert len(records) == 1, records
    assert records[0]["stream"]
    assert records[0]["tools"] == 0
    assert records[0]["status"] == 200
    # The supervisor's own environment has another key, which would have been used unseen.
    assert records[0]["key_fingerprint"] == hashlib.sha256(UPSTREAM_KEY.encode()).hexdigest()[:12]
    assert "[object Object]" not in claude_max.log()


def chat(proxy: Proxy, prompt: str) -> int:
    request = urllib.request.Request(
        f"http://127.0.0.1:{proxy.port}/v1/chat/completions",
        json.dumps({"model": "claude-opus-4", "messages": [{"role": "user", "content": prompt}]}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_a_prompt_runs_no_command_in_the_proxy(claude_max: Proxy, claude: Path) -> None:
    mark = claude_max.home / "mark"
    hook = {"hooks": [{"type": "command", "command": f"/usr/bin/touch {mark}"}]}
    prompt = "--settings=" + json.dumps({"hooks": {"SessionStart": [hook]}})
    assert chat(claude_max, prompt) == 200
    assert not mark.exists()
    # The positive control: without the role's program before it, the same request runs the command.
    (claude_max.directory / "etc/bin/claude").unlink()
    chat(claude_max, prompt)
    assert mark.exists()


def test_the_real_claude_says_who_is_logged_in(claude: Path, tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "DISABLE_UPDATES": "1"}
    assert supervisor_says(claude, environment, tmp_path).startswith("logged-out (claude")
    environment["CLAUDE_CODE_OAUTH_TOKEN"] = "sk-ant-oat01-x"
    assert supervisor_says(claude, environment, tmp_path).startswith("logged-in (claude, oauth_token")


def supervisor_says(claude: Path, environment: dict[str, str], directory: Path) -> str:
    settings = {
        "command": ["/bin/true"],
        "environment": environment,
        "addresses": ["127.0.0.1"],
        "port": 3456,
        "liveness": {"path": "/"},
        "login": {"command": [str(claude), "auth", "status"], "timeout_seconds": 60},
    }
    path = directory / "supervisor.json"
    path.write_text(json.dumps(settings))
    program = Path(__file__).parents[2] / "roles/openclaw_proxy/files/openclaw_proxy_supervisor.py"
    command = [sys.executable, "-I", str(program), "--configuration", str(path), "--ask-login"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=90).stdout
