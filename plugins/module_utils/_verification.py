# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prove on one host that OpenClaw's Claude route is the proxy and nothing else. Private to this collection.

A check passes, fails, or is unknown; unknown never counts as passed. What starts node is done again only when something
that it depends on has changed since the receipt was written; the receipt says when that was.
"""

from __future__ import annotations

import calendar
import hashlib
import ipaddress
import json
import os
import posixpath
import socket
import stat
import time
import typing as t
from dataclasses import asdict, dataclass, field
from urllib.parse import urlsplit

from ansible_collections.failclosed.openclaw.plugins.module_utils import (
    _audit,
    _files,
    _listening,
    _openclaw,
    _readiness,
)

RECEIPT_FORMAT = 2
_RECEIPT_LIMIT = 1_000_000
# LSB's "program is not installed", which systemctl gives for a unit that it does not know.
_UNIT_NOT_LOADED = 5
PASSED, FAILED, UNKNOWN = "passed", "failed", "unknown"
SEPARATE_USERS = "separate-users"
TRANSPORT = "proxy-transport"


class VerificationError(Exception):
    """The verification itself could not be done; the message says why and what to do."""


@dataclass(frozen=True)
class Check:
    """One proof: ``id`` is stable, ``detail`` one line without secrets, ``remedy`` what to do about a failure."""

    id: str
    result: str
    detail: str
    remedy: str = ""


@dataclass(frozen=True)
class Expectation:
    """What the host must show.

    ``proxy_uid`` None means that the proxy is on another machine, where its owner cannot be seen from here.
    """

    provider: str
    default_model: str
    fallbacks: tuple[str, ...]
    alias: str
    proxy_host: str
    proxy_port: int
    proxy_uid: int | None
    proxy_liveness_url: str
    gateway_ready_url: str
    base_url: str = ""
    proxy_authority: str = ""


@dataclass(frozen=True)
class Subject:
    """Whose OpenClaw is verified: the command line, the account that runs it, its configuration and state."""

    command: tuple[str, ...]
    account: _openclaw.Account
    config_path: str
    state_dir: str


@dataclass
class Report:
    """Everything that was found.

    ``reused`` names the checks whose result comes from the last receipt. ``routes`` is what the audit found, ``health``
    what is known of the proxy.
    ``tolerated``: checks that may fail because somebody wanted it so; they still keep the host from being compliant.
    """

    checks: list[Check] = field(default_factory=list)
    routes: dict[str, t.Any] = field(default_factory=dict)
    health: dict[str, dict[str, str]] = field(default_factory=dict)
    tolerated: frozenset[str] = frozenset()
    versions: dict[str, str] = field(default_factory=dict)
    inputs: str = ""
    proved_at: str = ""
    reused: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether every check passed: nothing less is a proof."""
        return self.compliant is True

    @property
    def functional(self) -> bool:
        """Whether everything holds but what somebody tolerates."""
        return bool(self.checks) and not self.failures

    @property
    def failures(self) -> list[Check]:
        """The checks that did not pass and have to."""
        return [check for check in self.checks if check.result != PASSED and check.id not in self.tolerated]

    @property
    def compliant(self) -> bool | None:
        """True when every check passed, False when one failed, None when one is unknown."""
        results = {check.result for check in self.checks}
        return False if FAILED in results else None if UNKNOWN in results or not results else True

    def as_receipt(self) -> dict[str, t.Any]:
        return {
            "format": RECEIPT_FORMAT,
            "passed": self.passed,
            "functional": self.functional,
            "compliant": self.compliant,
            "routes": self.routes,
            "health": self.health,
            "proved_at": self.proved_at,
            "inputs": self.inputs,
            "versions": self.versions,
            "checks": [asdict(check) for check in self.checks],
        }


def _foreign_uids(host: str, port: int, uid: int) -> list[int]:
    """Return the other uids that listen where a connection to the host's port arrives; raises OSError."""
    found = _listening.listeners(port)
    addresses = {str(info[4][0]) for info in socket.getaddrinfo(host, port)}
    reached = [listener for address in addresses for listener in _listening.reached_by(address, found)]
    return sorted({listener.uid for listener in reached if listener.uid != uid})


def check_gateway_ready(expectation: Expectation, gateway_uid: int, *, patience_seconds: float = 0.0) -> Check:
    """Whether the gateway is ready, and whether it is the gateway that says so.

    While it takes over a changed file it may say for some seconds that it is not.
    """
    identifier = "gateway-ready"
    readiness = _readiness.wait(expectation.gateway_ready_url, json_key="ready", timeout=patience_seconds)
    if not readiness.ok:
        return Check(identifier, FAILED, readiness.detail, "Look with: journalctl -u openclaw-gateway -n 50")
    parts = urlsplit(expectation.gateway_ready_url)
    try:
        foreign = _foreign_uids(parts.hostname or "", parts.port or 80, gateway_uid)
    except OSError as error:
        return Check(identifier, UNKNOWN, f"cannot see who listens: {error}", "Look with: ss --tcp --listening -p")
    if foreign:
        return Check(
            identifier,
            FAILED,
            f"uid {foreign[0]} listens at {parts.netloc}, not the gateway's user (uid {gateway_uid})",
            "Stop that process, or choose another openclaw_gateway_port.",
        )
    return Check(identifier, PASSED, readiness.detail)


def check_proxy(expectation: Expectation) -> list[Check]:
    """What can be seen of the proxy without a request to a model.

    On this host that is the owner of its socket, and its answer where a liveness address is given. On another
    machine it is the answer alone, so there the address must be given: what was not looked at has not passed.
    """
    checks = []
    if expectation.proxy_uid is not None:
        checks.append(check_proxy_owner(expectation, expectation.proxy_uid))
    elif expectation.base_url:
        checks.append(check_transport(expectation))
    if expectation.proxy_liveness_url:
        checks.append(check_proxy_alive(expectation))
    elif expectation.proxy_uid is None:
        checks.append(
            Check(
                "proxy-alive",
                UNKNOWN,
                f"the proxy is on {expectation.proxy_host}, and no path was given at which it could be asked",
                "Set openclaw_verify_proxy_liveness_path to a path that it answers with status 200.",
            )
        )
    return checks


def check_transport(expectation: Expectation) -> Check:
    """Whether what goes to a proxy on another machine is encrypted, and goes to the machine that is meant."""
    if not expectation.base_url.startswith("https:"):
        return Check(
            TRANSPORT,
            FAILED,
            f"prompts and the key cross the network to {expectation.proxy_host} in clear",
            "Put TLS in front of the proxy (role openclaw_ingress) and set openclaw_proxy_allow_cleartext to false.",
        )
    whose = "the given authority" if expectation.proxy_authority else "an authority that this host trusts"
    url = expectation.proxy_liveness_url
    if not url.startswith("https:"):
        return Check(TRANSPORT, UNKNOWN, "no address was given at which TLS could be tried", "Give the liveness path.")
    readiness = _readiness.probe(url, authority=expectation.proxy_authority)
    if readiness.ok:
        return Check(TRANSPORT, PASSED, f"TLS, with a certificate for {expectation.proxy_host} signed by {whose}")
    return Check(TRANSPORT, UNKNOWN, readiness.detail, "Look at the proxy's host: systemctl status openclaw-ingress")


def check_separate_users(proxy_uid: int, gateway_uid: int) -> Check:
    """Whether the gateway's user cannot do as the proxy does: it runs agents' tools."""
    if proxy_uid != gateway_uid:
        return Check(SEPARATE_USERS, PASSED, f"gateway (uid {gateway_uid}) and proxy (uid {proxy_uid}) are two users")
    return Check(
        SEPARATE_USERS,
        FAILED,
        f"gateway and proxy are one user (uid {gateway_uid}), so that whatever the gateway's agents run has the proxy's"
        " login and its way to the network",
        "Set openclaw_proxy_supervisor to systemd, which runs the proxy as a user of its own.",
    )


def check_proxy_owner(expectation: Expectation, proxy_uid: int) -> Check:
    """Whether the proxy's own user, and nobody else, listens where OpenClaw sends its requests."""
    identifier = "proxy-owner"
    try:
        addresses = {info[4][0] for info in socket.getaddrinfo(expectation.proxy_host, expectation.proxy_port)}
        found = _listening.listeners(expectation.proxy_port)
    except OSError as error:
        return Check(identifier, UNKNOWN, f"cannot see who listens: {error}", "Look with: ss --tcp --listening -p")
    for address in sorted(str(address) for address in addresses):
        reached = _listening.reached_by(address, found)
        foreign = sorted({listener.uid for listener in reached if listener.uid != proxy_uid})
        if foreign:
            return Check(
                identifier,
                FAILED,
                f"uid {foreign[0]} listens on {address} port {expectation.proxy_port}, not the proxy (uid {proxy_uid})",
                "Stop that process, or choose another openclaw_proxy_port.",
            )
    reached = [listener for address in addresses for listener in _listening.reached_by(str(address), found)]
    if not reached:
        return Check(
            identifier,
            FAILED,
            f"nothing listens on {expectation.proxy_host} port {expectation.proxy_port}",
            "Look with: systemctl status openclaw-proxy",
        )
    return Check(identifier, PASSED, f"uid {proxy_uid} alone listens on port {expectation.proxy_port}")


def check_proxy_alive(expectation: Expectation) -> Check:
    readiness = _readiness.probe(expectation.proxy_liveness_url, authority=expectation.proxy_authority)
    where = "" if expectation.proxy_uid is not None else f" on {expectation.proxy_host}"
    return Check(
        "proxy-alive",
        PASSED if readiness.ok else FAILED,
        readiness.detail,
        "" if readiness.ok else f"Look{where} with: journalctl -u openclaw-proxy -n 50",
    )


def check_loopback(expectation: Expectation) -> bool:
    """Whether the proxy's host is an address of this machine's loopback."""
    try:
        return ipaddress.ip_address(expectation.proxy_host).is_loopback
    except ValueError:
        return expectation.proxy_host == "localhost"


class CommandLine:
    """OpenClaw's command line as the gateway's user runs it, with the live configuration, read-only."""

    def __init__(self, subject: Subject, *, timeout_seconds: float) -> None:
        self._subject = subject
        self._timeout_seconds = timeout_seconds

    def run(self, *arguments: str) -> _openclaw.Completed:
        """Run one subcommand; raises OpenClawError when it cannot be started or does not end in time."""
        subject = self._subject
        with _openclaw.scratch_directory(subject.account) as (_directory, temporary):
            environment = _openclaw.environment_for(
                subject.account,
                command=subject.command,
                config=subject.config_path,
                state=subject.state_dir,
                temporary=temporary,
            )
            return _openclaw.run(
                [*subject.command, *arguments],
                account=subject.account,
                environment=environment,
                timeout_seconds=self._timeout_seconds,
            )


def _json_object(text: str) -> dict[str, t.Any] | None:
    # Notices may precede the document, which OpenClaw prints last and indented from column 0.
    start = 0 if text.startswith("{") else text.find("\n{") + 1
    try:
        document = json.loads(text[start:])
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def judge_models_status(document: dict[str, t.Any], expectation: Expectation) -> list[Check]:
    """Compare the answer of ``openclaw models status --json`` with what is expected."""
    default = document.get("resolvedDefault") or document.get("defaultModel")
    fallbacks = document.get("fallbacks")
    aliases = document.get("aliases")
    remedy = "Run site.yml again; if it comes back, another program writes openclaw.json."
    checks = [
        Check(
            "default-model",
            PASSED if default == expectation.default_model else FAILED,
            f"OpenClaw's default model is {default}",
            "" if default == expectation.default_model else f"Expected {expectation.default_model}. {remedy}",
        ),
        Check(
            "fallbacks",
            PASSED if fallbacks == list(expectation.fallbacks) else FAILED,
            f"OpenClaw's fallbacks are {fallbacks if fallbacks else 'none'}",
            ""
            if fallbacks == list(expectation.fallbacks)
            else f"Expected {list(expectation.fallbacks) or 'none'}. {remedy}",
        ),
    ]
    if expectation.alias:
        target = aliases.get(expectation.alias) if isinstance(aliases, dict) else None
        checks.append(
            Check(
                "alias",
                PASSED if target == expectation.default_model else FAILED,
                f"the alias {expectation.alias} leads to {target}",
                "" if target == expectation.default_model else f"Expected {expectation.default_model}. {remedy}",
            )
        )
    return checks


def check_models_status(command_line: CommandLine, expectation: Expectation) -> list[Check]:
    arguments = ("models", "status", "--json")
    try:
        completed = command_line.run(*arguments)
    except _openclaw.OpenClawError as error:
        return [Check("default-model", UNKNOWN, str(error))]
    document = _json_object(completed.stdout)
    if completed.returncode != 0 or document is None:
        return [Check("default-model", UNKNOWN, _openclaw.failure_text(["openclaw", *arguments], completed))]
    return judge_models_status(document, expectation)


def judge_agents(document: dict[str, t.Any], expectation: Expectation) -> Check:
    """Compare the agents that the running gateway knows (``agents.list``) with what is expected.

    The default agent must use the expected route exactly. Where no fallback is expected, no agent may use another
    provider.
    """
    identifier = "gateway-route"
    agents = document.get("agents")
    if not isinstance(agents, list) or not agents:
        return Check(identifier, UNKNOWN, "the gateway names no agents", "Look with: openclaw gateway call agents.list")
    wrong = []
    for agent in agents:
        model = agent.get("model") or {}
        primary, fallbacks = model.get("primary"), model.get("fallbacks") or []
        routes = [str(route) for route in (primary, *fallbacks)]
        if agent.get("id") == document.get("defaultId"):
            right = primary == expectation.default_model and fallbacks == list(expectation.fallbacks)
        else:
            own_provider = f"{expectation.provider}/"
            right = bool(expectation.fallbacks) or all(route.startswith(own_provider) for route in routes)
        if not right:
            wrong.append(f"{agent.get('id')}: {', '.join(routes)}")
    if wrong:
        return Check(
            identifier,
            FAILED,
            f"the running gateway uses other routes: {'; '.join(wrong)}",
            "It has not taken over openclaw.json, or an agent has its own model. Restart it, or correct the agent.",
        )
    return Check(
        identifier, PASSED, f"the running gateway sends all of its {len(agents)} agents to {expectation.provider}"
    )


def check_gateway_route(
    command_line: CommandLine, expectation: Expectation, *, patience_seconds: float, pause_seconds: float = 3.0
) -> Check:
    """Ask the gateway itself, because the commands above read the file and not what the gateway made of it.

    It takes over a changed file by itself after some seconds, so a wrong answer counts only after
    ``patience_seconds``.
    """
    arguments = ("gateway", "call", "agents.list", "--json")
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            completed = command_line.run(*arguments)
        except _openclaw.OpenClawError as error:
            return Check("gateway-route", UNKNOWN, str(error), "Look with: openclaw gateway call agents.list")
        document = _json_object(completed.stdout)
        if completed.returncode != 0 or document is None:
            text = _openclaw.failure_text(["openclaw", *arguments], completed)
            check = Check("gateway-route", UNKNOWN, text, "Look with: openclaw gateway call agents.list")
        else:
            check = judge_agents(document, expectation)
        if check.result == PASSED or time.monotonic() >= deadline:
            return check
        time.sleep(pause_seconds)


def check_model_run(command_line: CommandLine, expectation: Expectation) -> Check:
    """Spend one real request: the only proof that the whole route works."""
    arguments = ("infer", "model", "run", "--prompt", "ping", "--json")
    remedy = (
        "Look with: journalctl -u openclaw-proxy -n 50. The upstream's key, quota or model ids are the usual causes."
    )
    try:
        completed = command_line.run(*arguments)
    except _openclaw.OpenClawError as error:
        return Check("model-run", FAILED, str(error), remedy)
    document = _json_object(completed.stdout)
    if completed.returncode != 0 or document is None or document.get("ok") is not True:
        return Check("model-run", FAILED, _openclaw.failure_text(["openclaw", *arguments], completed), remedy)
    if document.get("provider") != expectation.provider:
        return Check(
            "model-run", FAILED, f"the request went to provider {document.get('provider')}", "Run site.yml again."
        )
    return Check(
        "model-run", PASSED, f"a request to {expectation.default_model} was answered through {expectation.provider}"
    )


def check_fails_closed(command_line: CommandLine, stopped: StoppedService) -> list[Check]:
    """Send the request again while the proxy is stopped.

    A proxy that cannot be stopped, or does not come back, is a result like any other and must reach the receipt.
    """
    checks = []
    try:
        with stopped:
            checks.append(check_model_run_fails(command_line))
    except VerificationError as error:
        # Without a result it was not stopped; with one it did not come back.
        identifier = "proxy-started-again" if checks else "fails-closed"
        result = FAILED if checks else UNKNOWN
        checks.append(Check(identifier, result, str(error), "Look with: systemctl status openclaw-proxy"))
    return checks


def check_model_run_fails(command_line: CommandLine) -> Check:
    """With the proxy down a request must fail; an answer would have come from somewhere else."""
    arguments = ("infer", "model", "run", "--prompt", "ping", "--json")
    try:
        completed = command_line.run(*arguments)
    except _openclaw.OpenClawError as error:
        return Check("fails-closed", UNKNOWN, str(error))
    document = _json_object(completed.stdout)
    if completed.returncode == 0 or (document is not None and document.get("ok") is True):
        return Check(
            "fails-closed",
            FAILED,
            "with the proxy stopped a request was answered all the same",
            "Run the audit: a fallback or another provider answers while the proxy is down.",
        )
    return Check("fails-closed", PASSED, "with the proxy stopped the same request failed")


def _contents(path: str) -> t.Iterator[str]:
    parent, name = posixpath.split(path.rstrip("/"))
    try:
        with _files.open_directory(parent) as descriptor:
            is_directory = stat.S_ISDIR(os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode)
            found = None if is_directory else _files.read_file(descriptor, name)
        if found is not None:
            yield f"{path} {found.digest}"
            return
        with _files.open_directory(path) as descriptor:
            names = sorted(os.listdir(descriptor))
    except FileNotFoundError:
        yield f"{path} absent"
        return
    except (OSError, _files.FileError):
        yield f"{path} unreadable"
        return
    for each in names:
        yield from _contents(posixpath.join(path, each))


def inputs_digest(
    subject: Subject, expectation: Expectation, demanded: t.Sequence[str], depends_on: t.Sequence[str] = ()
) -> str:
    """A digest of everything that the node checks depend on and that root can see without starting node.

    ``depends_on``: files, and directories with everything below them, that the route takes its settings from.
    """
    parent, name = posixpath.split(subject.config_path)
    with _files.open_directory(parent) as descriptor:
        config = _files.read_file(descriptor, name)
    parts = {
        "config": config.digest if config else "",
        "command": list(subject.command),
        "version": _openclaw.installed_version(subject.command) or "",
        "release": os.path.realpath(subject.command[-1]),
        "plugins": _openclaw.plugins_fingerprint(subject.state_dir),
        # OpenClaw takes keys and settings from it.
        "environment": list(_contents(posixpath.join(subject.state_dir, ".env"))),
        "depends_on": [line for path in depends_on for line in _contents(path)],
        "expectation": asdict(expectation),
        "demanded": list(demanded),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def read_receipt(path: str) -> dict[str, t.Any] | None:
    """Return the last receipt, None when there is none that this version can read."""
    parent, name = posixpath.split(path)
    try:
        with _files.open_directory(parent) as descriptor:
            found = _files.read_file(descriptor, name, limit=_RECEIPT_LIMIT)
            # A receipt that somebody else could have written proves nothing.
            if found is None or found.uid != os.geteuid() or found.mode & 0o022:
                return None
    except (FileNotFoundError, _files.FileError):
        return None
    try:
        document = json.loads(found.content)
    except ValueError:
        return None
    return document if isinstance(document, dict) and document.get("format") == RECEIPT_FORMAT else None


def receipt_bytes(receipt: dict[str, t.Any]) -> bytes:
    """The receipt as it stands in its file, on the host and on the controller."""
    return (json.dumps(receipt, indent=2, sort_keys=True) + "\n").encode()


def write_receipt(path: str, receipt: dict[str, t.Any]) -> None:
    """Replace the receipt atomically, root-owned and readable by everybody: it holds no secret."""
    parent, name = posixpath.split(path)
    content = receipt_bytes(receipt)
    with _files.private_directory(parent) as descriptor:
        found = _files.read_file(descriptor, name, limit=_RECEIPT_LIMIT)
        _files.replace_file(
            descriptor, name, content, _files.Ownership(os.geteuid(), os.getegid(), 0o644), expected=found
        )


def check_routes(routes: _audit.Report, policy: str) -> Check:
    """The audit's word on the routes of this host as one check."""
    if routes.compliant:
        accepted = f", {len(routes.accepted)} accepted by exceptions" if routes.accepted else ""
        return Check("routes", PASSED, f"no route leads around the proxy (policy {policy}{accepted})")
    if routes.findings:
        named = "; ".join(f"{each.id} at {each.path}: {each.detail}" for each in routes.findings[:5])
        more = f"; and {len(routes.findings) - 5} more" if len(routes.findings) > 5 else ""
        return Check("routes", FAILED, f"{named}{more}", routes.findings[0].remedy)
    named = "; ".join(f"{each.id} at {each.path}: {each.reason}" for each in routes.unknown[:5])
    return Check("routes", UNKNOWN, named, routes.unknown[0].remedy)


def metrics(receipt: dict[str, t.Any]) -> str:
    """The receipt for the textfile collector of Prometheus' node exporter.

    See https://prometheus.io/docs/instrumenting/exposition_formats/.
    """
    compliant = receipt["compliant"]
    state = "compliant" if compliant else "unknown" if compliant is None else "drifted"
    routes = receipt["routes"]
    proved = calendar.timegm(time.strptime(receipt["proved_at"], "%Y-%m-%dT%H:%M:%SZ")) if receipt["proved_at"] else 0
    lines = [
        "# HELP openclaw_failclosed_compliant 1 if every check passed. Unknown is not compliant.",
        "# TYPE openclaw_failclosed_compliant gauge",
        f"openclaw_failclosed_compliant {int(compliant is True)}",
        "# HELP openclaw_failclosed_state The state of the host.",
        "# TYPE openclaw_failclosed_state gauge",
        *(
            f'openclaw_failclosed_state{{state="{each}"}} {int(each == state)}'
            for each in ("compliant", "drifted", "unknown")
        ),
        "# HELP openclaw_failclosed_findings Routes around the proxy that the policy does not allow.",
        "# TYPE openclaw_failclosed_findings gauge",
        f'openclaw_failclosed_findings{{severity="error"}} {len(routes.get("findings", ()))}',
        "# HELP openclaw_failclosed_unknown Places that could not be looked at, or lead where nobody can tell.",
        "# TYPE openclaw_failclosed_unknown gauge",
        f"openclaw_failclosed_unknown {len(routes.get('unknown', ()))}",
        "# HELP openclaw_failclosed_proved_timestamp_seconds When the route was last proven with OpenClaw itself.",
        "# TYPE openclaw_failclosed_proved_timestamp_seconds gauge",
        f"openclaw_failclosed_proved_timestamp_seconds {proved}",
    ]
    return "\n".join(lines) + "\n"


def write_metrics(path: str, receipt: dict[str, t.Any]) -> bool:
    """Replace the metrics when they differ; False when their directory is not there."""
    parent, name = posixpath.split(path)
    content = metrics(receipt).encode()
    try:
        with _files.open_directory(parent) as descriptor:
            found = _files.read_file(descriptor, name, limit=_RECEIPT_LIMIT)
            if found is None or found.content != content:
                wanted = _files.Ownership(os.geteuid(), os.getegid(), 0o644)
                _files.replace_file(descriptor, name, content, wanted, expected=found)
    except FileNotFoundError:
        return False
    return True


def now() -> str:
    """The time in UTC, ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class StoppedService:
    """A service that is stopped inside a with block and runs again after it, whatever happens to this process.

    ``disturbed``: whether systemd was told to stop it, also where that failed.
    """

    def __init__(self, name: str, run: t.Callable[[list[str]], tuple[int, str, str]], *, restore_seconds: int) -> None:
        self.disturbed = False
        self._unit = f"{name}.service"
        self._timer = f"failclosed-restore-{name}"
        self._run = run
        self._restore_seconds = restore_seconds

    def _require(self, command: list[str]) -> None:
        code, _output, error = self._run(command)
        if code != 0:
            raise VerificationError(f"{' '.join(command)} failed with status {code}: {error.strip()}")

    def __enter__(self) -> StoppedService:
        # The timer is set first: from here on the service comes back even if this process or the controller dies.
        self._require(
            [
                "systemd-run",
                "--quiet",
                "--collect",
                f"--unit={self._timer}",
                f"--on-active={self._restore_seconds}",
                # The default lets a timer be a minute late.
                "--timer-property=AccuracySec=1s",
                # StartLimitBurst counts this start, too, and must not refuse it.
                "/bin/sh",
                "-c",
                'systemctl reset-failed "$1"; exec systemctl start "$1"',
                "restore",
                self._unit,
            ]
        )
        self.disturbed = True
        try:
            self._require(["systemctl", "stop", self._unit])
        except VerificationError:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        # StartLimitBurst counts this start as well, and a proxy that is left stopped is worse than one that falls over.
        self._run(["systemctl", "reset-failed", self._unit])
        self._require(["systemctl", "start", self._unit])
        code, _output, error = self._run(["systemctl", "stop", f"{self._timer}.timer"])
        # A slow start gives the timer time to elapse, and then it is gone.
        if code not in (0, _UNIT_NOT_LOADED):
            raise VerificationError(f"systemctl stop {self._timer}.timer failed with status {code}: {error.strip()}")
