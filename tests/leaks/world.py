# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real OpenClaw, the proxy and a private internet; plants leaks in it, sets them off, and sees what arrives where."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import json
import struct
import subprocess
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import private_network
import real_openclaw
import simulators
from leaks import (
    DEFAULT_MODEL,
    ENVIRONMENT_KEY,
    HOOK_TOKEN,
    MODEL_VARIABLE,
    OTHER_VENDOR_KEY,
    PLANTED_SESSION,
    PROFILE_KEY,
    Compact,
    Cron,
    Hook,
    Infer,
    Leak,
    Restore,
    Tool,
    Turn,
)

from ansible_collections.failclosed.openclaw.plugins.module_utils import _audit, _merge_patch, _openclaw

TODAY = datetime.date(2026, 11, 26)
PROXY_URL = f"http://127.0.0.1:{simulators.PROXY_PORT}"
# As in roles/openclaw_provider/vars/main.yml.
REPLACED = ("models.providers.anthropic-max-proxy", "agents.defaults.model")
# A key is there in every test, so that what stops a leak is never the lack of one.
GATEWAY_ENVIRONMENT = {
    "ANTHROPIC_API_KEY": ENVIRONMENT_KEY,
    "OPENROUTER_API_KEY": OTHER_VENDOR_KEY,
    **MODEL_VARIABLE,
}
ROOT = Path(__file__).resolve().parents[2]
# The program that a gateway's user may have on its PATH: it asks Anthropic by itself, with a login of its own.
CLAUDE_PROGRAM = """\
#!/usr/bin/python3 -I
import json, ssl, sys, urllib.request
if "--print" in sys.argv:
    body = {{"model": "claude-opus-5", "max_tokens": 1, "messages": [{{"role": "user", "content": "hi"}}]}}
    headers = {{"x-api-key": "login", "anthropic-version": "2023-06-01", "user-agent": "claude-program"}}
    request = urllib.request.Request("https://api.anthropic.com/v1/messages", json.dumps(body).encode(), headers)
    urllib.request.urlopen(request, timeout=10, context=ssl.create_default_context(cafile={authority!r})).read()
sys.exit(1)
"""
PDF = (
    "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    "3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 100]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
)
# What the tests drive the gateway with; no model and no provider is in it.
DRIVEN: dict[str, Any] = {
    "gateway": {
        "mode": "local",
        "bind": "loopback",
        "port": real_openclaw.GATEWAY_PORT,
        "auth": {"mode": "token", "token": real_openclaw.TOKEN},
        "http": {"endpoints": {"chatCompletions": {"enabled": True}}},
    },
    "telemetry": {"enabled": False},
    "update": {"checkOnStart": False},
    "hooks": {"enabled": True, "token": HOOK_TOKEN, "path": "/hooks"},
    "tools": {"toolSearch": False},
    "agents": {
        "ownership": "explicit",
        "entries": {"main": {}, "ops": {}},
        "defaults": {"systemAgent": {"agentId": "main"}},
    },
}
_PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  vars_files:
    - {role}/defaults/main.yml
    - {role}/vars/main.yml
  tasks:
    - ansible.builtin.copy:
        dest: "{target}/{{{{ item }}}}.json"
        mode: "0644"
        content: >-
          {{{{ lookup('ansible.builtin.template', '{role}/templates/provider.json.j2') | from_json
             | combine(lookup('ansible.builtin.template', '{role}/templates/model_defaults.json.j2',
                              template_vars={{'openclaw_provider_fail_closed': item == 'closed'}}) | from_json,
                       recursive=True) | to_json }}}}
      loop: [plain, closed]
"""


# The key is a file that only root may write, and the plugin routes nothing.
VARIABLES = {
    "openclaw_provider_models": ["claude-opus-4.6"],
    "openclaw_provider_inbound_key": False,
    "openclaw_provider_plugin": False,
}


def role_configurations(directory: Path) -> dict[str, dict[str, Any]]:
    """What the role openclaw_provider writes: ``plain`` as the plugin's instructions have it, ``closed`` by default."""
    directory.mkdir()
    playbook = directory / "render.yml"
    playbook.write_text(_PLAYBOOK.format(role=ROOT / "roles" / "openclaw_provider", target=directory))
    completed = subprocess.run(
        [
            "ansible-playbook",
            "--inventory=localhost,",
            "--connection=local",
            f"--extra-vars={json.dumps(VARIABLES)}",
            str(playbook),
        ],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return {name: json.loads((directory / f"{name}.json").read_text()) for name in ("plain", "closed")}


def _png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    pixels = zlib.compress((b"\0" + b"\xff\0\0" * 8) * 8)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def fingerprint(key: str) -> str:
    """How the simulator's records name a key."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]


@dataclasses.dataclass
class Seen:
    """What a trigger led to: requests at the proxy, at other places, and what the caller was told."""

    proxy: list[dict[str, Any]]
    direct: list[dict[str, Any]]
    answer: str

    def of(self, leak: Leak) -> list[dict[str, Any]]:
        """The requests that are this leak."""
        return [record for record in self.direct if is_of(record, leak)]


def is_of(record: Mapping[str, Any], leak: Leak) -> bool:
    if record["listener"] != leak.arrives_at:
        return False
    if leak.model == "claude-by-the-claude-program":
        return bool(record["user_agent"] == "claude-program")
    if leak.model is not None and record["model"] != leak.model:
        return False
    return leak.key is None or bool(record["key_fingerprint"] == fingerprint(leak.key))


class World:
    """What the tests talk to."""

    def __init__(
        self,
        openclaw: real_openclaw.RealOpenClaw,
        proxy: simulators.Proxy,
        internet: simulators.Internet,
        configurations: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self.openclaw = openclaw
        self.proxy = proxy
        self.internet = internet
        meta = {
            "migrations": {"modelPolicyAllowlist": True, "utilityModelSeparation": True},
            "lastTouchedVersion": openclaw.version,
        }
        self.bases: dict[str, dict[str, Any]] = {
            name: _merge_patch.apply({"meta": meta, **DRIVEN}, value) for name, value in configurations.items()
        }
        self.configurations = configurations
        self._jobs: dict[str, str] = {}
        self._phase = "plain"
        self._turns = 0
        self.patience = 180.0

    # Planting

    def config(self, base: str, leak: Leak) -> dict[str, Any]:
        """The configuration with the leak in it."""
        text = json.dumps(leak.config).replace("{home}", str(self.openclaw.home))
        patched: dict[str, Any] = _merge_patch.apply(self.bases[base], json.loads(text))
        return patched

    def start(self, config: Mapping[str, Any]) -> None:
        """Start the gateway with this configuration."""
        self.openclaw.write_config(config)
        self.openclaw.start_gateway(GATEWAY_ENVIRONMENT)

    def configure(self, config: Mapping[str, Any]) -> None:
        """Let the running gateway take this configuration."""
        # The gateway takes what is in the file, whoever wrote it, and says nothing about a file that says the same.
        if config != json.loads(self.openclaw.config_path.read_text()):
            self.openclaw.reconfigure(config)

    @contextlib.contextmanager
    def planted(self, base: str, leak: Leak) -> Iterator[None]:
        """The leak is on the host, on top of the configuration ``base``."""
        # That one has a home of its own.
        if not isinstance(leak.trigger, Restore):
            self.plant_state(leak)
            self.plant_configuration(base, leak)
        try:
            yield
        finally:
            (self.openclaw.state / ".env").unlink(missing_ok=True)
            if leak.auth_profile:
                removed = self.openclaw.run("models", "auth", "--agent", "main", "logout", "anthropic:manual", "--yes")
                assert removed.returncode == 0, removed.stderr + removed.stdout

    def plant_state(self, leak: Leak) -> None:
        """What the leak needs beside the configuration; databases are written by OpenClaw itself."""
        for name, text in leak.files.items():
            self.openclaw.write(self.openclaw.home / name, text)
        if leak.session or leak.cron is not None:
            # A policy would refuse to take them; what is there already stays.
            self.configure(self.config("plain", leak))
            if leak.session:
                self.openclaw.call("sessions.patch", {"key": PLANTED_SESSION, "model": "anthropic/claude-opus-5"})
            else:
                self._job(leak)
        if leak.auth_profile:
            self._store_key()

    def plant_configuration(self, base: str, leak: Leak) -> None:
        """The configuration with the leak in it, taken by the gateway."""
        self.configure(self.config(base, leak))

    def _store_key(self) -> None:
        completed = subprocess.run(
            self.openclaw.command("models", "auth", "--agent", "main", "paste-api-key", "--provider", "anthropic"),
            env=self.openclaw.environment,
            cwd=self.openclaw.home,
            input=PROFILE_KEY + "\n",
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert completed.returncode == 0, completed.stderr + completed.stdout

    def _job(self, leak: Leak) -> str:
        """The id of the leak's scheduled turn, which is made at the first call."""
        if leak.id not in self._jobs:
            added = self.openclaw.call(
                "cron.add",
                {
                    "name": leak.id,
                    "agentId": "main",
                    "schedule": {"kind": "every", "everyMs": 86400000},
                    "sessionTarget": "isolated",
                    "wakeMode": "now",
                    "payload": leak.cron,
                },
            )
            self._jobs[leak.id] = added["id"]
        return self._jobs[leak.id]

    def enter(self, phase: str) -> None:
        """Let what earlier phases have left in the background come to its end."""
        if phase != self._phase:
            self._phase = phase
            self.wait_until_quiet()

    # The rollout

    def audit(self, planned: _audit.Planned | None = None) -> _audit.Report:
        """The audit of the real host: as it is, or as the role openclaw_provider asks for it before it writes."""
        account = _openclaw.Account("gateway", real_openclaw.UID, real_openclaw.UID, (), str(self.openclaw.home))
        subject = _audit.Subject(account, str(self.openclaw.config_path), str(self.openclaw.state), base_url=PROXY_URL)
        return _audit.audit(subject, today=TODAY, remediate="all", planned=planned, unit_directories=[])

    def rolled_out(self) -> dict[str, Any]:
        """What the role would write now, with everything remediated."""
        planned = _audit.Planned(self.configurations["closed"], REPLACED)
        before = json.loads(self.openclaw.config_path.read_text())
        after: dict[str, Any] = _merge_patch.apply(planned.applied_to(before), self.audit(planned).patch)
        return after

    # Setting off

    def set_off(self, leak: Leak, base: str, *, expected: bool, patience: float = 180, reset: bool = True) -> Seen:
        """Set the leak off in the configuration ``base``; look as long as it is expected to take, or to settle.

        ``patience``: seconds after which nobody waits for the gateway's answer any more. ``reset``: forget what was
        seen before.
        """
        self.patience = patience
        if reset:
            self.proxy.control.reset()
            self.internet.reset()
        answer = self._trigger(leak, base)
        deadline = time.monotonic() + (max(leak.settle, 1.0) * 3 if expected else leak.settle)
        while True:
            seen = Seen(
                [record for record in self.proxy.control.requests() if record["method"] == "POST"],
                self.internet.model_requests(),
                answer,
            )
            if time.monotonic() >= deadline or (expected and seen.of(leak)):
                break
            time.sleep(0.2)
        if isinstance(leak.trigger, Cron) and not seen.direct and not seen.proxy:
            # The job's own record says whether it was refused or has not run at all.
            seen.answer += str(self.openclaw.call("cron.runs", {"id": self._job(leak), "limit": 1}))
        return seen

    def _trigger(self, leak: Leak, base: str) -> str:
        trigger = leak.trigger
        fault = getattr(trigger, "fault", None)
        if fault:
            self.proxy.control.fault(fault, count=1, match={"path": "/v1/messages"})
        if isinstance(trigger, Turn):
            return self.turn(trigger.agent, trigger.text, trigger.session, dict(trigger.headers))
        if isinstance(trigger, Tool):
            workspace = self.openclaw.state / "workspace"
            given = {key: value.replace("{workspace}", str(workspace)) for key, value in trigger.input.items()}
            self.proxy.control.reply(
                count=1,
                match={"tool_result": False},
                content=[{"type": "tool_use", "name": trigger.name, "input": given}],
            )
            return self.turn(trigger.agent)
        if isinstance(trigger, Hook):
            status, body = self.openclaw.post(
                trigger.path, trigger.document, headers={"Authorization": f"Bearer {HOOK_TOKEN}"}
            )
            return f"{status} {body}"
        if isinstance(trigger, Cron):
            return str(self.openclaw.call("cron.run", {"id": self._job(leak), "mode": "force"}))
        if isinstance(trigger, Compact):
            self._turns += 1
            session = f"agent:main:compact-{self._turns}"
            for _each in range(3):
                self.turn("main", "Tell me a story. " + "x" * 200, session)
            return str(self.openclaw.call("sessions.compact", {"key": session}))
        if isinstance(trigger, Infer):
            return self._infer(*trigger.arguments, environment=leak.environment)
        assert isinstance(trigger, Restore)
        return self._restore(base)

    def turn(
        self, agent: str, text: str = "hi", session: str | None = None, headers: Mapping[str, str] | None = None
    ) -> str:
        """A turn of an agent, and what came of it."""
        # The first turn right after a reload can fail once.
        status, body = 0, ""
        for _attempt in range(3):
            try:
                status, body = self.openclaw.turn(
                    agent=agent, text=text, session=session, headers=headers, timeout=self.patience
                )
            except TimeoutError:
                return "error: no answer yet"
            if "was superseded" not in body:
                break
        return f"{status} {body}"

    def _infer(self, *arguments: str, environment: Mapping[str, str]) -> str:
        completed = self.openclaw.run(
            *("infer", "model", "run", "--agent", "main", "--prompt", "ping", "--json"),
            *arguments,
            environment=environment,
        )
        return f"{completed.returncode} {completed.stdout}{completed.stderr}"

    def _restore(self, base: str) -> str:
        """In a home of its own; the closed configuration comes with the read-only environment of a managed gateway."""
        self._turns += 1
        openclaw = self.openclaw.sibling(f"restore-{self._turns}")
        environment = {"ANTHROPIC_API_KEY": ENVIRONMENT_KEY}
        leaky = _merge_patch.apply(
            self.bases["plain"],
            {"agents": {"defaults": {"model": {"primary": DEFAULT_MODEL, "fallbacks": ["anthropic/claude-sonnet-5"]}}}},
        )
        openclaw.write_config(leaky)
        written = openclaw.run("config", "set", "gateway.reload.mode", "hybrid")
        assert written.returncode == 0, written.stderr + written.stdout
        openclaw.write_config({key: value for key, value in self.bases[base].items() if key != "meta"})
        if base == "closed":
            environment["OPENCLAW_CONFIG_READONLY"] = "1"
        status = openclaw.run("models", "status", "--json", environment=environment)
        self.proxy.control.fault("not_found_error", match={"path": "/v1/messages"})
        ran = openclaw.run("agent", "--local", "--agent", "main", "-m", "hi", "--json", environment=environment)
        return f"{status.returncode} {status.stderr}\n{ran.returncode} {ran.stdout}{ran.stderr}"

    def wait_until_quiet(self, seconds: float = 6) -> None:
        """Nothing of an earlier test is on its way any more."""
        deadline = time.monotonic() + 60
        while True:
            self.internet.reset()
            time.sleep(seconds)
            if not self.internet.model_requests():
                return
            assert time.monotonic() < deadline, "requests go on and on"


@contextlib.contextmanager
def running_world(directory: Path, proxy: simulators.Proxy | None = None) -> Iterator[World]:
    """Everything is up, the gateway with the plain configuration; afterwards everything is gone."""
    directory.chmod(0o711)
    certificates = directory / "certificates"
    simulators.make_certificates(certificates)
    certificates.chmod(0o755)
    configurations = role_configurations(directory / "configurations")
    authority = certificates / "ca.crt"
    with private_network.private_network(), contextlib.ExitStack() as stack:
        names = private_network.NameServer()
        stack.callback(names.stop)
        proxy = proxy or simulators.Proxy()
        proxy.start()
        stack.callback(proxy.stop)
        internet = simulators.Internet(certificates)
        stack.callback(internet.simulator.stop)
        openclaw = real_openclaw.RealOpenClaw(
            directory / "home", mounts=private_network.resolver_files(directory / "resolver"), authority=authority
        )
        stack.callback(openclaw.remove)
        openclaw.write(openclaw.programs / "claude", CLAUDE_PROGRAM.format(authority=str(authority)), 0o755)
        world = World(openclaw, proxy, internet, configurations)
        world.start(world.bases["plain"])
        # Files in a new state directory would make OpenClaw believe that it is being upgraded.
        workspace = openclaw.state / "workspace"
        openclaw.write(workspace / "planted.pdf", PDF)
        (workspace / "planted.png").write_bytes(_png())
        openclaw.give(workspace / "planted.png")
        yield world
