# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine of openclaw_config against a real OpenClaw.

Needs FAILCLOSED_NODE (a node executable) and FAILCLOSED_OPENCLAW (the directory of an installed
openclaw package), and fails without them.
"""

from __future__ import annotations

import copy
import json
import os
import random
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.failclosed.openclaw.plugins.module_utils import (
    _config_edit,
    _files,
    _json5,
    _openclaw,
    _redact,
)
from ansible_collections.failclosed.openclaw.plugins.module_utils._config_edit import (
    ConfigEditError,
    ConfigFile,
    DesiredState,
    EditResult,
    Validation,
)
from ansible_collections.failclosed.openclaw.plugins.modules import openclaw_config
from ansible_collections.failclosed.openclaw.tests.unit.plugins.module_utils import node_process
from ansible_collections.failclosed.openclaw.tests.unit.plugins.module_utils.fake_openclaw import (
    FakeOpenClaw,
)

pytestmark = pytest.mark.openclaw

CANARY = "CANARY-7f3a-do-not-show"
TEXT = """\
// by hand
{
  meta: { migrations: { modelPolicyAllowlist: true, utilityModelSeparation: true } },
  gateway: { mode: "local", bind: "loopback", port: 18999 }, // local only
}
"""
PROVIDER = {
    "baseUrl": "http://127.0.0.1:3456",
    "api": "anthropic-messages",
    "apiKey": "proxy-local",
    "models": [{"id": "claude-opus-4.6", "name": "Claude Opus 4.6", "input": ["text", "image"]}],
}
ROUTE: dict[str, Any] = {
    "models": {"providers": {"anthropic-max-proxy": PROVIDER}},
    "agents": {
        "defaults": {
            "model": {"primary": "anthropic-max-proxy/claude-opus-4.6", "fallbacks": []},
            "imageModel": {"primary": "anthropic-max-proxy/claude-opus-4.6", "fallbacks": []},
            "pdfModel": {"primary": "anthropic-max-proxy/claude-opus-4.6", "fallbacks": []},
            "utilityModel": "",
            "modelPolicy": {"allow": ["anthropic-max-proxy/*"]},
            "models": {"anthropic-max-proxy/claude-opus-4.6": {"alias": "claude-max-proxy"}},
        }
    },
}
REFERENCE = "anthropic-max-proxy/claude-opus-4.6"
PUBLIC = ["models.providers.anthropic-max-proxy.apiKey"]


class Host:
    def __init__(self, root: Path, package: Path | None = None) -> None:
        self.root = root
        self.state = root / "home" / ".openclaw"
        self.state.mkdir(parents=True, mode=0o700)
        self.path = self.state / "openclaw.json"
        self.write(TEXT)
        self.command = [str(node_process.node()), str((package or node_process.openclaw()) / "openclaw.mjs")]

    def write(self, text: str) -> None:
        self.path.write_text(text)
        self.path.chmod(0o600)

    def value(self) -> Any:
        return _json5.loads(self.path.read_text())

    def edit(
        self, *, check_mode: bool = False, when_invalid: str = "fail", asking: bool = True, **desired: Any
    ) -> EditResult:
        return _config_edit.apply(
            ConfigFile(path=str(self.path), backup_directory=str(self.root / "backups")),
            DesiredState(public_paths=PUBLIC, **desired),
            Validation(openclaw_command=self.command if asking else (), when_invalid=when_invalid),
            cache_directory=str(self.root / "cache"),
            check_mode=check_mode,
        )

    def refused(self, **options: Any) -> ConfigEditError:
        before = self.path.read_bytes()
        with pytest.raises(ConfigEditError) as caught:
            self.edit(**options)
        assert self.path.read_bytes() == before
        return caught.value

    def openclaw(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *arguments],
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(self.root / "home"),
                "OPENCLAW_STATE_DIR": str(self.state),
                "NODE_DISABLE_COMPILE_CACHE": "1",
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_the_whole_route_is_valid_to_all_three(host: Host) -> None:
    result = host.edit(patch=ROUTE)
    assert result.validated == ["managed_schema", "exported_schema", "program"]
    assert result.openclaw_version == _openclaw.installed_version(host.command)
    assert result.findings == []
    assert host.path.read_text().startswith("// by hand\n") and "// local only" in host.path.read_text()
    # OpenClaw reads what was meant, and neither rewrites nor restores the file.
    status = host.openclaw("models", "status", "--json", OPENCLAW_CONFIG_READONLY="1")
    assert json.loads(status.stdout)["defaultModel"] == "anthropic-max-proxy/claude-opus-4.6"
    assert _files.digest_of(host.path.read_bytes()) == result.digest
    assert not host.edit(patch=ROUTE).changed


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        # Each is legal in the exported schema: only the program itself knows.
        ({"agents": {"entries": {"a": {"name": "A"}, "b": {"name": "B"}}}}, "ownership"),
        ({"models": {"providers": {"mine": {"baseUrl": "http://127.0.0.1:1"}}}}, "models"),
    ],
)
def test_the_program_has_the_last_word(host: Host, patch: dict[str, Any], message: str) -> None:
    error = host.refused(patch=patch)
    assert message in str(error)
    assert [each["source"] for each in error.findings if each["severity"] == "error"] == ["program"]


def test_the_exported_schema_is_used(host: Host) -> None:
    error = host.refused(patch={"gateway": {"bogusKey": 1}})
    assert {each["source"] for each in error.findings} == {"exported_schema"}
    assert "gateway.bogusKey: this key is not known here" in str(error)


def test_what_the_schema_refuses_and_the_program_accepts_is_a_warning_elsewhere(host: Host) -> None:
    host.write('{ meta: {}, gateway: { mode: "local" }, agents: { list: [ { id: "main" } ] } }')
    result = host.edit(patch={"gateway": {"bind": "loopback"}})
    assert ("agents.list", "exported_schema") in {(each["path"], each["source"]) for each in result.findings}


def test_an_invalid_file_is_repaired_only_if_that_is_wanted(host: Host) -> None:
    host.write('{ meta: {}, gateway: { mode: "local", bind: "nonsense" } }')
    assert "on this host: gateway.bind" in str(host.refused(patch={"gateway": {"bind": "loopback"}}))
    assert host.edit(patch={"gateway": {"bind": "loopback"}}, when_invalid="repair").changed


def test_settings_of_an_installed_plugin_are_checked(host: Host) -> None:
    plugin = host.state / "extensions" / "demo"
    plugin.mkdir(parents=True, mode=0o755)
    (plugin / "index.js").write_text('export default { id: "demo", name: "demo", register() {} };\n')
    (plugin / "package.json").write_text(
        json.dumps({"name": "demo", "version": "1.0.0", "type": "module", "openclaw": {"extensions": ["./index.js"]}})
    )
    schema = {"type": "object", "additionalProperties": False, "properties": {"port": {"type": "integer"}}}
    (plugin / "openclaw.plugin.json").write_text(json.dumps({"id": "demo", "configSchema": schema}))
    entry = {"enabled": True, "config": {"port": CANARY}}
    error = host.refused(patch={"plugins": {"entries": {"demo": entry}}})
    assert "plugins.entries.demo.config.port" in str(error) and CANARY not in str(error)
    assert host.edit(patch={"plugins": {"entries": {"demo": {"enabled": True, "config": {"port": 1}}}}}).changed


def test_missing_variables_and_secret_references_are_no_obstacle(host: Host) -> None:
    reference = {"source": "file", "provider": "files", "id": "value"}
    patch = {
        "gateway": {"auth": {"mode": "token", "token": "${A_TOKEN_THAT_ONLY_THE_GATEWAY_HAS}"}},
        "secrets": {"providers": {"files": {"source": "file", "path": "/run/none/key", "mode": "singleValue"}}},
        "models": {"providers": {"anthropic-max-proxy": {**PROVIDER, "apiKey": reference}}},
    }
    assert host.edit(patch=patch).findings == []


def test_validating_leaves_the_state_as_it_was(host: Host) -> None:
    # A state with a database, as a gateway leaves it.
    assert host.openclaw("config", "set", "gateway.port", "18998").returncode == 0
    assert (host.state / "state" / "openclaw.sqlite").exists()

    def seen() -> dict[str, Any]:
        return {
            str(path.relative_to(host.root)): path.read_bytes()
            for path in sorted((host.root / "home").rglob("*"))
            if path.is_file() and not path.name.endswith(("-wal", "-shm"))
        }

    before = seen()
    places = {place: set(os.listdir(place)) for place in ("/tmp", "/var/tmp", "/run")}
    assert host.edit(patch=ROUTE, check_mode=True).changed
    assert seen() == before
    for place, names in places.items():
        new = {name for name in set(os.listdir(place)) - names if "failclosed" in name or "node-compile" in name}
        assert not new, place


def test_openclaw_does_not_put_an_older_copy_back(host: Host) -> None:
    assert host.openclaw("config", "set", "gateway.port", "18998").returncode == 0
    assert (host.state / "openclaw.json.bak").exists()
    result = host.edit(patch=ROUTE)
    for arguments in (("models", "status", "--json"), ("plugins", "list", "--json")):
        assert host.openclaw(*arguments).returncode == 0
    assert _files.digest_of(host.path.read_bytes()) == result.digest
    assert not list(host.state.glob("*.clobbered*"))


@pytest.mark.long
def test_no_update_is_lost_against_config_set(host: Host) -> None:
    """OpenClaw's own writer in a loop, ours in another, a key of its own for each edit: what was done, stays."""
    host.edit(patch=ROUTE)
    theirs: set[str] = set()
    refusals: list[str] = []
    ended = threading.Semaphore(1)

    def call_config_set() -> None:
        for number in range(10):
            done = host.openclaw("config", "set", f"channels.modelByChannel.theirs.k{number}", REFERENCE)
            if done.returncode == 0:
                theirs.add(f"k{number}")
            else:
                refusals.append(done.stderr)
            ended.release()

    writer = threading.Thread(target=call_config_set)
    writer.start()
    draw = random.Random(0)
    ours: set[str] = set()
    gave_up: list[str] = []
    number = met = 0
    while writer.is_alive():
        # OpenClaw refuses if the file changed since it read it, seconds ago: edits at any moment, but not at every one.
        if not ended.acquire(timeout=1) or draw.random() < 0.3:
            continue
        time.sleep(draw.uniform(0, 4))
        for _each in range(6):
            number += 1
            try:
                patch = {"channels": {"modelByChannel": {"ours": {f"k{number}": REFERENCE}}}}
                result = host.edit(patch=patch, asking=False)
            except ConfigEditError as error:
                gave_up.append(str(error))
            else:
                ours.add(f"k{number}")
                met += any("at the same time" in finding["message"] for finding in result.findings)
            time.sleep(0.2)
    writer.join()
    found = host.value()["channels"]["modelByChannel"]
    # OpenClaw may refuse after it has written; then what it wrote may stay.
    assert (set(found["ours"]), theirs - set(found["theirs"])) == (ours, set())
    assert all("kept changing" in each for each in gave_up)
    assert len(theirs) >= 3 and len(ours) > 20, "one of the two hardly wrote: the test shows nothing"
    assert refusals or gave_up or met, "the two did not meet: the test shows nothing"


@pytest.fixture
def gateway(host: Host, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A running gateway on the host's file, with further variables if a test names some; gives its log."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    host.write(
        TEXT.replace("18999", str(port)).replace("// local only", "").replace("port:", 'auth: { mode: "none" }, port:')
    )
    log = host.root / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*host.command, "gateway", "run"],
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(host.root / "home"),
                "OPENCLAW_STATE_DIR": str(host.state),
                "OPENCLAW_CONFIG_READONLY": "1",
                "NODE_DISABLE_COMPILE_CACHE": "1",
                **getattr(request, "param", {}),
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until(lambda: is_ready(port), seconds=120, what=log)
        yield log
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(json.load(answer)["ready"])
    except (OSError, ValueError):
        return False


def wait_until(condition: Callable[[], bool], *, seconds: float, what: Path) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what.read_text()
        time.sleep(0.2)


def test_a_running_gateway_takes_every_edit_over(host: Host, gateway: Path) -> None:
    def applied() -> int:
        return gateway.read_text().count("config hot reload applied")

    for number, port in enumerate((3456, 9999, 3456), start=1):
        provider = {**PROVIDER, "baseUrl": f"http://127.0.0.1:{port}"}
        assert host.edit(patch={"models": {"providers": {"anthropic-max-proxy": provider}}}).changed
        wait_until(lambda number=number: applied() >= number, seconds=30, what=gateway)  # type: ignore[misc]
    assert "invalid config" not in gateway.read_text()
    assert not list(host.state.glob("*.clobbered*"))


# Without polling, OpenClaw's watcher (chokidar 5.0.0) hears of nothing more once the file was replaced within 5 ms of
# what it noticed before, whoever writes.
@pytest.mark.long
@pytest.mark.parametrize("gateway", [{"CHOKIDAR_USEPOLLING": "1"}], indirect=True)
def test_a_running_gateway_reads_no_torn_file_among_rapid_edits(host: Host, gateway: Path) -> None:
    """What it takes over is always one whole edit, and in the end the last one."""
    log_before = len(gateway.read_text())
    draw = random.Random(0)
    for number in range(80):
        # Long enough that a file which is read before it is whole would lack its end.
        models = [{"id": f"claude-{number}", "name": "x" * (20_000 if number % 2 else 12_000)}]
        provider = {**PROVIDER, "models": models}
        assert host.edit(patch={"models": {"providers": {"anthropic-max-proxy": provider}}}, asking=False).changed
        # It reads a file that has not changed for 0.2 s; sometimes that has to happen in between.
        time.sleep(draw.choice((0, 0.05, 0.2, 0.5)))

    def has_the_last_one() -> bool:
        called = host.openclaw("gateway", "call", "config.get", "--json", "--params", "{}")
        snapshot = json.loads(called.stdout)
        assert snapshot["valid"], snapshot["issues"]
        models = snapshot["config"]["models"]["providers"]["anthropic-max-proxy"]["models"]
        return [model["id"] for model in models] == ["claude-79"]

    wait_until(has_the_last_one, seconds=60, what=gateway)
    told = gateway.read_text()[log_before:]
    assert told.count("config hot reload applied") > 2, told
    for complaint in ("invalid", "parse", "clobber", "restored", "reload skipped", "reload failed"):
        assert complaint not in told.lower(), told
    assert not list(host.state.glob("*.clobbered*"))


def test_runs_as_an_unprivileged_user(host: Host) -> None:
    if os.geteuid() != 0:
        pytest.fail("this test drops from root to another user: run it as root")
    account = _openclaw.account_of("nobody")
    for folder in (host.root, *host.root.parents):
        if folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    (host.root / "home").chmod(0o755)
    for path in (host.state, host.path):
        os.chown(path, account.uid, account.gid)
    assert host.edit(patch=ROUTE).validated[-1] == "program"
    assert (host.path.stat().st_uid, host.path.stat().st_gid) == (account.uid, account.gid)


def test_every_place_that_takes_a_secret_reference_counts_as_sensitive(host: Host) -> None:
    schema = json.loads(host.openclaw("config", "schema").stdout)
    places: list[tuple[Any, ...]] = []

    def walk(node: Any, path: tuple[Any, ...]) -> None:
        if not isinstance(node, dict) or "$ref" in node:
            return
        branches = [branch for branch in node.get("anyOf", []) if isinstance(branch, dict)]
        if any("source" in choice.get("properties", {}) for branch in branches for choice in branch.get("oneOf", [])):
            places.append(path)
            return
        for branch in (*branches, *node.get("oneOf", []), *node.get("allOf", [])):
            walk(branch, path)
        for name, member in node.get("properties", {}).items():
            walk(member, (*path, name))
        walk(node.get("additionalProperties"), (*path, "any"))
        walk(node.get("items"), (*path, 0))

    walk(schema, ())
    assert len(places) > 100
    assert [path for path in places if not _redact.is_sensitive_path(path)] == []


# What each release knows and another does not, as their exported schemas say.
KEYS = {
    "agents.defaults.decisionModel": ("anthropic-max-proxy/claude-opus-4.6", {"2026.9.6"}),
    "agents.defaults.cwd": ("/tmp", {"2026.9.2", "2026.9.6"}),
    "gateway.controlUi.toolTitles": (True, {"2026.8.1"}),
}


@pytest.mark.long
@pytest.mark.parametrize("version", ["2026.8.1", "2026.9.2", "2026.9.6"])
def test_several_releases(tmp_path: Path, version: str) -> None:
    """What we write is valid to each of them, or the module names the key that this version does not know."""
    releases = node_process.openclaw_releases()
    assert set(releases) == {"2026.8.1", "2026.9.2", "2026.9.6"}
    host = Host(tmp_path, releases[version])
    if version == "2026.8.1":
        # The file of a newer release, after a downgrade.
        error = host.refused(patch={"gateway": {"port": 18998}})
        assert f'invalid to OpenClaw {version} on this host: meta.migrations: Unrecognized key: "utility' in str(error)
    if version != "2026.9.6":
        host.write(TEXT.replace(", utilityModelSeparation: true", ""))
    patch: dict[str, Any] = copy.deepcopy({**ROUTE, "channels": {"telegram": {"enabled": False}}})
    for path, (value, known) in KEYS.items():
        if version in known:
            put(patch, path, value)
    result = host.edit(
        patch=patch,
        secrets={"channels.telegram.botToken": f"123456:{CANARY}-{'x' * 30}"},
        members_present={"plugins.deny": ["nobody-has-this"]},
        absent_paths=["wizard"],
    )
    assert result.validated == ["managed_schema", "exported_schema", "program"]
    assert result.openclaw_version == version
    for path, (value, known) in KEYS.items():
        if version not in known:
            unknown: dict[str, Any] = {}
            put(unknown, path, value)
            error = host.refused(patch=unknown)
            assert f"OpenClaw {version}: {path}: this key is not known here" in str(error)


def put(tree: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for part in parents:
        tree = tree.setdefault(part, {})
    tree[last] = value


def test_the_examples_satisfy_the_schema_of_the_installed_release(host: Host) -> None:
    """The stand-in accepts whatever the real schema accepts; what the real program says is shown above."""
    schema = json.loads(host.openclaw("config", "schema").stdout)
    fake = FakeOpenClaw()
    fake.set_schema(schema)
    host.command = fake.command
    provider = {key: value for key, value in PROVIDER.items() if key != "apiKey"}
    tasks = yaml.safe_load(openclaw_config.EXAMPLES.replace('"{{ my_provider }}"', json.dumps(provider)))
    state: dict[str, Any] = {
        "gateway": {"mode": "local", "legacyKey": 1},
        "models": {"providers": {"anthropic-max-proxy": PROVIDER, "old.proxy": provider}},
        "agents": {"defaults": {"model": {"primary": "a/b", "fallbacks": ["anthropic/claude-opus-5"]}}},
        "plugins": {"allow": ["x"]},
    }
    for task in tasks:
        options = task["failclosed.openclaw.openclaw_config"]
        host.write(json.dumps(state))
        desired = {key: options[key] for key in DesiredState._fields if key in options and key != "public_paths"}
        result = host.edit(**desired, reverse=options.get("state") == "absent", check_mode=True)
        assert "exported_schema" in result.validated, task["name"]
        broken = {each["path"] for each in result.findings if each["source"] == "exported_schema"}
        assert broken <= {"gateway.legacyKey"}, (task["name"], broken)
