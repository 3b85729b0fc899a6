# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from ansible.module_utils import basic

from ansible_collections.failclosed.openclaw.plugins.modules import openclaw_config
from ansible_collections.failclosed.openclaw.tests.unit.plugins.module_utils.fake_openclaw import (
    FakeOpenClaw,
)

CANARY = "CANARY-7f3a-do-not-show"
TEXT = f"""\
// hand-written, {"x" * 40}
{{
  meta: {{}},
  gateway: {{ mode: "local", auth: {{ token: "old {CANARY}" }} }}, // mine
}}
"""
COLLECTIONS = next(
    path for path in map(Path, sys.path) if (path / "ansible_collections" / "failclosed" / "openclaw").is_dir()
)


class Host:
    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "state").mkdir(mode=0o700)
        self.path = root / "state" / "openclaw.json"
        self.path.write_text(TEXT)
        self.path.chmod(0o600)
        self.fake = FakeOpenClaw()

    def arguments(self, **options: Any) -> dict[str, Any]:
        return {
            "path": str(self.path),
            "cache_dir": str(self.root / "cache"),
            "backup_dir": str(self.root / "backups"),
            "openclaw_command": self.fake.command,
            **options,
        }


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


class Run:
    """Runs the module in this process, as Ansible would start it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *, check_mode: bool = False, **arguments: Any) -> dict[str, Any]:
        given = {"ANSIBLE_MODULE_ARGS": {**arguments, "_ansible_check_mode": check_mode, "_ansible_diff": True}}
        self._monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps(given).encode())
        self._monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        with pytest.raises(SystemExit):
            openclaw_config.main()
        printed = self._capsys.readouterr()
        assert CANARY not in printed.err
        result: dict[str, Any] = json.loads(printed.out)
        return result


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(monkeypatch, capsys)


PATCH = {"gateway": {"port": 18790}}
RETURNED = set(yaml.safe_load(openclaw_config.RETURN))


def test_returns_what_the_documentation_says(host: Host, run: Run) -> None:
    result = run(**host.arguments(patch=PATCH))
    assert set(result) - {"invocation", "warnings", "changed"} == RETURNED
    assert result["changed"] is True
    assert result["changed_paths"] == ["gateway.port"]
    assert result["validated"] == ["managed_schema", "exported_schema", "program"]
    assert result["openclaw_version"] == "2026.9.6"
    assert Path(result["backup_file"]).read_text() == TEXT
    assert "plugin not found: gone" in json.dumps(result["warnings"])
    again = run(**host.arguments(patch=PATCH))
    assert (again["changed"], again["diff"], again["digest"]) == (False, [], result["digest"])


def test_a_file_that_is_right_and_known_needs_no_parser(host: Host, run: Run) -> None:
    arguments = host.arguments(patch=PATCH)
    run(**arguments)
    host.fake.commands()
    code = (
        "import json, sys\n"
        "from ansible.module_utils import basic\n"
        f"basic._ANSIBLE_ARGS = {json.dumps({'ANSIBLE_MODULE_ARGS': arguments}).encode()!r}\n"
        "basic._ANSIBLE_PROFILE = 'legacy'\n"
        "from ansible_collections.failclosed.openclaw.plugins.modules import openclaw_config\n"
        "try:\n    openclaw_config.main()\n"
        "finally: print([name for name in sys.modules if name.endswith(('._json5', '._config_edit')) "
        "or name == 'jsonschema'], file=sys.stderr)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    result = json.loads(done.stdout)
    assert result["changed"] is False and result["validated"][-1] == "program"
    assert done.stderr.strip() == "[]"
    assert host.fake.calls() == []


def test_check_mode_predicts(host: Host, run: Run) -> None:
    predicted = run(**host.arguments(patch=PATCH), check_mode=True)
    assert host.path.read_text() == TEXT
    real = run(**host.arguments(patch=PATCH))
    for key in ("changed", "changed_paths", "diff", "digest", "validated"):
        assert predicted[key] == real[key]


def test_absent_takes_back_and_never_deletes(host: Host, run: Run) -> None:
    run(**host.arguments(patch=PATCH))
    result = run(**host.arguments(patch=PATCH, state="absent"))
    assert result["changed_paths"] == ["gateway.port"]
    assert "port" not in host.path.read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch": {"gateway": {"port": 70000}}}, "gateway.port: must be at most 65535"),
        ({"patch": {"gateway": {"auth": {"token": "literal"}}}}, "patch: gateway.auth.token holds a literal"),
        ({"patch": {"ui": {"note": "INVALID"}}}, "would not be valid to OpenClaw 2026.9.6: gateway.bind"),
        ({"mode": "600!"}, "mode: '600!' must be three octal digits"),
        ({"mode": "0666"}, "mode: '0666' lets everybody write"),
        ({"mode": "1600"}, "mode: '1600' must be three octal digits"),
        ({"backup_keep": -1}, "backup_keep: -1 must be 0 or more"),
        ({"command_timeout": 0}, "command_timeout: 0 must be 1 or more"),
        ({"owner": "no-such-user", "patch": PATCH}, "user 'no-such-user' does not exist"),
    ],
)
def test_failures_change_nothing(host: Host, run: Run, options: dict[str, Any], message: str) -> None:
    result = run(**host.arguments(**options))
    assert result["failed"] is True
    assert message in result["msg"]
    assert isinstance(result["findings"], list)
    assert CANARY not in json.dumps(result)
    assert host.path.read_text() == TEXT
    assert os.listdir(host.path.parent) == ["openclaw.json"]


def test_mode_is_given_as_text(host: Host, run: Run) -> None:
    run(**host.arguments(patch=PATCH, mode="0640"))
    assert stat.S_IMODE(host.path.stat().st_mode) == 0o640


def test_options_are_documented_as_they_are() -> None:
    documented = yaml.safe_load(openclaw_config.DOCUMENTATION)["options"]
    specified = openclaw_config.argument_spec()
    assert set(documented) == set(specified)
    for name, option in documented.items():
        spec = specified[name]
        for key in ("type", "default", "choices", "elements", "required"):
            assert option.get(key) == spec.get(key), (name, key)


def test_examples_are_accepted_by_the_engine(run: Run, host: Host) -> None:
    """Every example runs in check mode against a file in which it makes sense."""
    tasks = yaml.safe_load(openclaw_config.EXAMPLES.replace('"{{ my_provider }}"', json.dumps(PROVIDER)))
    assert len(tasks) >= 10
    for task in tasks:
        options = task["failclosed.openclaw.openclaw_config"]
        providers = {"anthropic-max-proxy": {**PROVIDER, "region": "x"}, "old.proxy": {"region": "x"}}
        text = {
            "models": {"providers": providers},
            "gateway": {"mode": "local", "legacyKey": 1},
            "agents": {"defaults": {"model": {"primary": "a/b", "fallbacks": ["anthropic/claude-opus-5"]}}},
            "plugins": {"allow": ["x"]},
        }
        host.path.write_text(json.dumps(text))
        for name in ("owner", "group", "user"):
            options.pop(name, None)
        result = run(**{**options, **host.arguments()}, check_mode=True)
        assert result.get("changed") is True, (task["name"], result.get("msg"))


PROVIDER = {
    "baseUrl": "http://127.0.0.1:3456",
    "api": "anthropic-messages",
    "models": [{"id": "claude-opus-4.6", "name": "Claude Opus 4.6"}],
}


# A /dev with a log of our own, so that what a module writes into the system's log arrives here, whatever runs there.
PRIVATE_DEV = """\
set -eu
dev=$1 log=$2
shift 2
mount -t tmpfs -o mode=755 tmpfs "$dev"
for name in null zero full random urandom tty; do
  : >"$dev/$name"
  mount --bind "/dev/$name" "$dev/$name"
done
mkdir --mode=1777 "$dev/shm"
mkdir "$dev/pts"
mount --bind /dev/pts "$dev/pts"
ln -s /proc/self/fd "$dev/fd"
: >"$dev/log"
mount --bind "$log" "$dev/log"
mount --move "$dev" /dev
exec "$@"
"""


class Played(NamedTuple):
    """A finished playbook: status, and all that could be seen of it from outside."""

    returncode: int
    output: str
    # Of Ansible on the controller, of the target's syslog, and every command line with its environment.
    log: str
    syslog: str
    commands: str

    def everything(self) -> str:
        return "".join(self[1:])


class TestThroughAnsible:
    """The module as it travels (AnsiballZ), with everything printed that Ansible can print."""

    def play(self, host: Host, options: dict[str, Any], *flags: str) -> Played:
        if os.geteuid() != 0:
            pytest.fail("this test mounts a /dev of its own: run it as root")
        playbook = host.root / "play.yml"
        task = {"failclosed.openclaw.openclaw_config": host.arguments(**options), "register": "outcome"}
        show = {"ansible.builtin.debug": {"var": "outcome"}}
        playbook.write_text(
            yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": [task, show]}], sort_keys=False)
        )
        playbook.chmod(0o600)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(host.root),
            "LANG": "C.UTF-8",
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            "ANSIBLE_LOG_PATH": str(host.root / "log"),
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        }
        (host.root / "dev").mkdir(exist_ok=True)
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", PRIVATE_DEV, "sh"]
        command += [str(host.root / "dev"), str(host.root / "syslog")]
        command += [
            "strace",
            "-f",
            "-qq",
            "-v",
            "-s",
            "100000",
            "-e",
            "trace=execve",
            "-o",
            str(host.root / "commands"),
        ]
        command += [str(Path(sys.executable).with_name("ansible-playbook")), str(playbook), *flags]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
            listening.bind(str(host.root / "syslog"))
            listening.settimeout(0)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=120, check=False, cwd="/"
            )
            syslog = []
            with suppress(BlockingIOError):
                while True:
                    syslog.append(listening.recv(1 << 20).decode("utf-8", "replace"))
        (host.root / "syslog").unlink()
        log = (host.root / "log").read_text()
        commands = (host.root / "commands").read_text()
        return Played(done.returncode, done.stdout + done.stderr, log, "\n".join(syslog), commands)

    def check_hidden(self, host: Host, played: Played, *, is_logged: bool = True) -> None:
        """The canary is nowhere, and whoever looks there would have seen it."""
        assert CANARY not in played.everything()
        assert (f"path={host.path}" in played.syslog) is is_logged
        assert "AnsiballZ_openclaw_config.py" in played.commands and str(host.path) in played.log
        for path in (each for each in host.root.rglob("*") if each.is_file()):
            if CANARY.encode() in path.read_bytes():
                assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
                assert path in (host.path, host.root / "play.yml") or host.root / "backups" in path.parents, path

    @pytest.mark.parametrize("flags", [("--check", "--diff", "-vvv"), ("--diff", "-vvv")])
    def test_no_secret_is_printed_or_logged(self, host: Host, flags: tuple[str, ...]) -> None:
        options = {"patch": PATCH, "secrets": {"gateway.auth.token": f"new {CANARY}"}, "secure_logging": False}
        before = {place: set(os.listdir(place)) for place in ("/tmp", "/var/tmp", "/run")}
        played = self.play(host, options, *flags)
        assert played.returncode == 0, played.output
        assert "changed=1" in played.output and "<redacted" in played.output and "18790" in played.output
        self.check_hidden(host, played)
        assert '"config", "validate", "--json"' in played.commands
        assert "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER" in played.output and "NOT_LOGGING_PARAMETER" in played.syslog
        for place, names in before.items():
            for new in (Path(place, name) for name in set(os.listdir(place)) - names):
                files = [new] if new.is_file() else [each for each in new.rglob("*") if each.is_file()]
                assert not [path for path in files if CANARY.encode() in path.read_bytes()]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            # What the program says about it quotes the file.
            ({"patch": {"ui": {"note": "INVALID"}}, "secrets": {"channels.x.token": f"new {CANARY}"}}, "not be valid"),
            # The secret itself is the invalid value.
            ({"secrets": {"gateway.port": f"new {CANARY}"}}, "gateway.port: is a string"),
            ({"secrets": {"channels.x.token": {"inner": CANARY}}}, "secrets: channels.x.token must be a text"),
            ({"secrets": CANARY}, "secrets"),
            ({"assert_paths": {"gateway.auth.token": "a guess"}}, "assert_paths: gateway.auth.token holds a literal"),
        ],
    )
    def test_no_secret_is_printed_when_it_fails(self, host: Host, options: dict[str, Any], message: str) -> None:
        played = self.play(host, options, "--diff", "-vvv")
        assert played.returncode != 0 and message in played.output
        # A module whose options cannot be read ends before it logs them.
        self.check_hidden(host, played, is_logged=options != {"secrets": CANARY})
        assert host.path.read_text() == TEXT

    def test_the_log_would_show_it(self, host: Host) -> None:
        """The control: an option that is not a secret appears in all of these places."""
        options = {"patch": {**PATCH, "ui": {"note": "no-secret-7f3a"}}}
        played = self.play(host, options, "--diff", "-vvv")
        for place in (played.output, played.log, played.syslog):
            assert "no-secret-7f3a" in place

    def test_a_second_run_is_no_change(self, host: Host) -> None:
        for expected in ("changed=1", "changed=0"):
            done = self.play(host, {"patch": PATCH}, "--diff")
            assert expected in done.output
        # The no-op started neither node nor anything else of OpenClaw.
        assert [call["argv"] for call in host.fake.calls()] == [
            ["config", "schema"],
            ["config", "validate", "--json"],
            ["config", "validate", "--json"],
        ]
