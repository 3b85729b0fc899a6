# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pwd
import time
from pathlib import Path

import pytest

from ansible_collections.failclosed.openclaw.plugins.module_utils import _openclaw
from ansible_collections.failclosed.openclaw.tests.unit.plugins.module_utils.fake_openclaw import (
    FakeOpenClaw,
    interpreter,
)

CANARY = "CANARY-7f3a-do-not-show"


@pytest.fixture
def fake() -> FakeOpenClaw:
    return FakeOpenClaw()


@pytest.fixture
def nobody() -> _openclaw.Account:
    if os.geteuid() != 0:
        pytest.fail("this test drops from root to another user: run it as root")
    return _openclaw.account_of("nobody")


def myself() -> _openclaw.Account:
    return _openclaw.account_of(os.geteuid())


class TestVersions:
    def test_order(self) -> None:
        ordered = [
            "2026.2.26",
            "2026.5.7",
            "2026.7.1-beta.2",
            "2026.7.1-beta.10",
            "2026.7.1-rc.1",
            "2026.7.1",
            "2026.7.1-2",
            "2026.7.1-10",
            "2026.7.2",
            "2026.9.6",
            "2026.10.1",
            "2027.1.1",
        ]
        shuffled = [*ordered[1::2], *ordered[::2]]
        assert sorted(shuffled, key=_openclaw.parse_version) == ordered
        assert _openclaw.parse_version("v2026.9.0") == _openclaw.parse_version("2026.9")
        assert _openclaw.parse_version("2026.9.6+build.7") == _openclaw.parse_version("2026.9.6")

    @pytest.mark.parametrize("text", ["", "latest", "2026.x", "^2026.9.6", "2026.9.6!"])
    def test_refuses_what_is_none(self, text: str) -> None:
        with pytest.raises(ValueError, match="not a version"):
            _openclaw.parse_version(text)

    def test_at_least(self) -> None:
        assert _openclaw.is_at_least("2026.8.1", "2026.8.1")
        assert not _openclaw.is_at_least("2026.8.1-beta.1", "2026.8.1")

    def test_is_read_without_starting_anything(self, fake: FakeOpenClaw) -> None:
        assert _openclaw.installed_version(fake.command) == "2026.9.6"
        assert fake.calls() == []

    def test_follows_a_link_to_the_program(self, fake: FakeOpenClaw, tmp_path: Path) -> None:
        (tmp_path / "bin").symlink_to(fake.directory / "openclaw.mjs")
        assert _openclaw.installed_version([str(tmp_path / "bin")]) == "2026.9.6"

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "other", "version": "1"}', '{"name": "openclaw"}'])
    def test_is_unknown_when_the_package_does_not_say(self, fake: FakeOpenClaw, text: str) -> None:
        (fake.directory / "package.json").write_text(text)
        assert _openclaw.installed_version(fake.command) is None

    def test_a_fifo_in_place_of_the_package_does_not_block(self, fake: FakeOpenClaw) -> None:
        (fake.directory / "package.json").unlink()
        os.mkfifo(fake.directory / "package.json")
        assert _openclaw.installed_version(fake.command) is None

    def test_an_old_one_is_refused_with_both_versions(self, fake: FakeOpenClaw) -> None:
        fake.set_version("2026.5.7")
        with pytest.raises(_openclaw.OpenClawError, match=r"OpenClaw 2026\.5\.7 is installed, and 2026\.8\.1"):
            _openclaw.require_supported(fake.command)

    def test_one_that_is_no_version_is_refused(self, fake: FakeOpenClaw) -> None:
        fake.set_version("workspace:*")
        with pytest.raises(_openclaw.OpenClawError, match=r"package\.json: not a version: 'workspace:\*'"):
            _openclaw.require_supported(fake.command)


class TestPaths:
    # The table of the measured facts.
    @pytest.mark.parametrize(
        ("environment", "path"),
        [
            ({}, "/home/x/.openclaw/openclaw.json"),
            ({"OPENCLAW_CONFIG_PATH": "/etc/oc/x.json"}, "/etc/oc/x.json"),
            ({"OPENCLAW_STATE_DIR": "/var/lib/oc"}, "/var/lib/oc/openclaw.json"),
            ({"OPENCLAW_HOME": "/srv/oc"}, "/srv/oc/.openclaw/openclaw.json"),
            (
                {"OPENCLAW_CONFIG_PATH": "/etc/oc/x.json", "OPENCLAW_STATE_DIR": "/v", "OPENCLAW_HOME": "/s"},
                "/etc/oc/x.json",
            ),
            ({"OPENCLAW_STATE_DIR": "/v", "OPENCLAW_HOME": "/s"}, "/v/openclaw.json"),
            ({"OPENCLAW_PROFILE": "work"}, "/home/x/.openclaw/openclaw.json"),
        ],
    )
    def test_config_path(self, environment: dict[str, str], path: str) -> None:
        assert _openclaw.config_path("/home/x", environment) == path


class TestRun:
    def run(self, code: str, account: _openclaw.Account | None = None, **options: object) -> _openclaw.Completed:
        return _openclaw.run(
            [interpreter(), "-I", "-c", code],
            account=account or myself(),
            environment={"PATH": "/usr/bin:/bin"},
            timeout_seconds=float(str(options.pop("timeout_seconds", 30))),
            **options,  # type: ignore[arg-type]
        )

    def test_returns_output_and_status(self) -> None:
        done = self.run("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
        assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")

    def test_drops_every_privilege(self, nobody: _openclaw.Account) -> None:
        code = (
            "import os; print(os.getresuid(), os.getresgid(), os.getgroups(), os.getsid(0) == os.getpid());"
            "print([l for l in open('/proc/self/status') if l.startswith('CapEff')])"
        )
        done = self.run(code, nobody)
        uid, gid = nobody.uid, nobody.gid
        assert done.stdout.splitlines()[0] == f"{(uid,) * 3} {(gid,) * 3} {list(nobody.groups)} True"
        assert "0000000000000000" in done.stdout

    def test_cannot_write_where_root_could(self, nobody: _openclaw.Account, tmp_path: Path) -> None:
        done = self.run(f"open({str(tmp_path / 'x')!r}, 'w')", nobody)
        assert done.returncode == 1
        assert "PermissionError" in done.stderr

    def test_another_user_needs_root(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 1234)
        with pytest.raises(_openclaw.OpenClawError, match=r"cannot run .* as user root: this runs as uid 1234"):
            _openclaw.run(["/bin/true"], account=_openclaw.account_of(0), environment={}, timeout_seconds=1)

    def test_inherits_neither_environment_nor_input(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ANTHROPIC_API_KEY", CANARY)
        done = self.run("import os, sys; print(sorted(os.environ)); print(repr(sys.stdin.read()))")
        assert CANARY not in done.stdout
        assert set(eval(done.stdout.splitlines()[0])) <= {"PATH", "LC_CTYPE"}
        assert done.stdout.splitlines()[1] == "''"

    def test_ends_in_time_with_all_its_children(self, tmp_path: Path) -> None:
        marker = tmp_path / "pid"
        code = (
            "import subprocess, time\n"
            f"child = subprocess.Popen(['sleep', '600']); open({str(marker)!r}, 'w').write(str(child.pid))\n"
            "time.sleep(600)"
        )
        started = time.monotonic()
        with pytest.raises(_openclaw.OpenClawError, match="did not end within 1 seconds"):
            self.run(code, timeout_seconds=1)
        assert time.monotonic() - started < 20
        assert not _is_alive(int(marker.read_text()))

    def test_a_child_that_closed_its_output_is_waited_for_only_so_long(self) -> None:
        with pytest.raises(_openclaw.OpenClawError, match="did not end within"):
            self.run("import os, time; os.close(1); os.close(2); time.sleep(600)", timeout_seconds=1)

    def test_output_is_bounded(self) -> None:
        with pytest.raises(_openclaw.OpenClawError, match="printed more than 1000 bytes"):
            self.run("while True: print('x' * 999)", maximum_output_bytes=1000)

    def test_errors_name_the_command_and_no_secret(self) -> None:
        with pytest.raises(_openclaw.OpenClawError) as caught:
            _openclaw.run(
                ["/no/such/program", CANARY],
                account=myself(),
                environment={},
                timeout_seconds=1,
                secrets=[CANARY],
            )
        assert "/no/such/program" in str(caught.value)
        assert CANARY not in str(caught.value)

    def test_failures_show_status_and_the_end_of_the_output(self) -> None:
        completed = _openclaw.Completed(3, "", f"{'x' * 5000}\nthe end with {CANARY} and sk-ant-aaaaaaaaaaaaaaaaaaaaaa")
        text = _openclaw.failure_text(["openclaw", "config", "validate"], completed, [CANARY])
        assert text.startswith("openclaw config validate: exit status 3:")
        assert "the end" in text and CANARY not in text and "sk-ant" not in text
        assert len(text) < 800 and "\n" not in text


def _is_alive(process: int) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return False
        if state == "Z":
            return False
        time.sleep(0.05)
    return True


class TestScratch:
    def test_the_account_can_read_the_candidate_and_replace_nothing(
        self, nobody: _openclaw.Account, tmp_path: Path
    ) -> None:
        with _openclaw.scratch_directory(nobody) as (directory, temporary):
            path = _openclaw.write_scratch(directory, "candidate.json", CANARY.encode(), nobody)
            code = (
                "import os\n"
                f"print(open({path!r}).read())\n"
                f"open({temporary!r} + '/x', 'w')\n"
                f"for attempt in (lambda: os.unlink({path!r}), lambda: open({directory!r} + '/x', 'w'),"
                f" lambda: open({path!r}, 'w'), lambda: os.listdir({directory!r})):\n"
                "    try: attempt(); print('could')\n"
                "    except PermissionError: print('could not')\n"
            )
            done = _openclaw.run([interpreter(), "-I", "-c", code], account=nobody, environment={}, timeout_seconds=30)
            assert done.stdout.splitlines() == [CANARY, *["could not"] * 4], done.stderr
        assert not Path(directory).exists()
        assert not Path(temporary).exists()

    def test_is_removed_after_an_error(self) -> None:
        with pytest.raises(RuntimeError), _openclaw.scratch_directory(myself()) as (directory, temporary):
            raise RuntimeError
        assert not Path(directory).exists()
        assert not Path(temporary).exists()

    def test_nobody_else_can_read_it(self) -> None:
        with _openclaw.scratch_directory(myself()) as (directory, _temporary):
            path = _openclaw.write_scratch(directory, "candidate.json", b"x", myself())
            assert Path(path).stat().st_mode & 0o777 == 0o400
            assert Path(path).stat().st_uid == os.geteuid()


class TestFingerprint:
    def test_changes_with_the_plugins(self, tmp_path: Path) -> None:
        empty = _openclaw.plugins_fingerprint(str(tmp_path))
        plugin = tmp_path / "extensions" / "x"
        plugin.mkdir(parents=True)
        (plugin / "openclaw.plugin.json").write_text("{}")
        installed = _openclaw.plugins_fingerprint(str(tmp_path))
        (plugin / "openclaw.plugin.json").write_text('{"configSchema": {}}')
        changed = _openclaw.plugins_fingerprint(str(tmp_path))
        assert len({empty, installed, changed}) == 3
        assert _openclaw.plugins_fingerprint(str(tmp_path)) == changed

    def test_does_not_leave_the_state_directory(self, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        state = tmp_path / "state"
        state.mkdir()
        (state / "extensions").symlink_to(tmp_path / "elsewhere")
        before = _openclaw.plugins_fingerprint(str(state))
        (tmp_path / "elsewhere" / "x").mkdir()
        assert _openclaw.plugins_fingerprint(str(state)) == before

    def test_a_missing_state_directory_is_no_error(self, tmp_path: Path) -> None:
        assert _openclaw.plugins_fingerprint(str(tmp_path / "none"))


def test_accounts() -> None:
    root = pwd.getpwuid(0)
    assert _openclaw.account_of(0).name == _openclaw.account_of("0").name == root.pw_name
    assert _openclaw.account_of(root.pw_name).home == root.pw_dir
    for unknown in ("no-such-user", 3_999_999_999):
        with pytest.raises(_openclaw.OpenClawError, match="does not exist on this host"):
            _openclaw.account_of(unknown)
