# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

from ansible_collections.failclosed.openclaw.plugins.module_utils import _config_edit, _config_read
from ansible_collections.failclosed.openclaw.plugins.modules import gateway_proxy

LEADER = Path(__file__).resolve().parents[4] / "plugin/process-group.sh"
CONFIG = """{
  // kept
  gateway: {mode: "local", bind: "loopback"},
  meta: {lastTouchedVersion: "2026.9.6"},
  plugins: {entries: %s},
}
"""


@pytest.fixture
def home(tmp_path) -> Path:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    return state


@pytest.fixture
def run(home, capsys, tmp_path, monkeypatch):
    apply = _config_edit.apply
    kept = _config_edit.ConfigFile

    def apply_in_scratch(*arguments, cache_directory, **options):
        return apply(*arguments, cache_directory=str(tmp_path / "cache"), **options)

    monkeypatch.setattr(_config_edit, "apply", apply_in_scratch)
    monkeypatch.setattr(
        _config_edit, "ConfigFile", lambda **options: kept(**options, backup_directory=str(tmp_path / "backups"))
    )

    def call(check=False, **options):
        arguments = {
            "user": pwd.getpwuid(os.geteuid()).pw_name,
            "state_dir": str(home),
            "_ansible_check_mode": check,
            "_ansible_diff": True,
            **options,
        }
        with patch_module_args(arguments), pytest.raises(SystemExit):
            gateway_proxy.main()
        return json.loads(capsys.readouterr().out)

    return call


@pytest.fixture
def proxy():
    """A proxy as the plugin starts one: a shell that leads the group, its watcher, and the program."""
    process = subprocess.Popen(
        ["/bin/sh", str(LEADER), "1", "/bin/sleep", "600"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    # For a moment after the exec its command line is empty.
    for _attempt in range(500):
        if process.pid in gateway_proxy.supervised_proxies(os.geteuid()):
            break
        time.sleep(0.01)
    yield process
    if process.stdin is not None:
        process.stdin.close()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def write(home: Path, entries: str) -> Path:
    path = home / "openclaw.json"
    path.write_text(CONFIG % entries)
    path.chmod(0o600)
    return path


def test_where_nothing_is_nothing_happens(home, run):
    assert run()["changed"] is False
    path = write(home, "{}")
    before = path.read_bytes()
    assert run()["changed"] is False
    write(home, "{'anthropic-max-proxy': {enabled: true, config: {autoStart: false}}}")
    assert run()["changed"] is False
    assert path.read_bytes() != before
    assert run(user="no-such-user-here")["failed"]
    assert run(check=True, user="no-such-user-here")["changed"] is False


@pytest.mark.parametrize("entry", ["{enabled: true}", "{enabled: true, config: {port: 9, autoStart: true}}"])
def test_the_proxy_is_switched_off_and_waited_for(home, run, proxy, entry):
    path = write(home, f"{{'anthropic-max-proxy': {entry}}}")
    before = path.read_bytes()
    predicted = run(check=True)
    assert predicted["changed"] and proxy.pid in predicted["processes"]
    assert path.read_bytes() == before and proxy.poll() is None
    # What the plugin does when the gateway has read the file.
    gateway = threading.Timer(0.7, os.killpg, (proxy.pid, signal.SIGKILL))
    gateway.start()
    done = run()
    gateway.join()
    # Before the module came back; reaping it here is what a gateway does.
    assert proxy.wait(0) != 0
    assert (done["changed"], done["config_paths"]) == (True, predicted["config_paths"])
    value = _config_read.read(str(path)).value
    assert value["plugins"]["entries"]["anthropic-max-proxy"]["config"]["autoStart"] is False
    assert "// kept" in path.read_text()
    assert run()["changed"] is False


def test_a_gateway_that_keeps_its_proxy_is_an_error(home, run, proxy):
    write(home, "{'anthropic-max-proxy': {enabled: true, config: {autoStart: true}}}")
    failed = run(timeout=1)
    assert failed["failed"] and "still runs its own proxy (process " in failed["msg"]
    assert "systemctl restart openclaw-gateway" in failed["msg"]
    assert proxy.poll() is None


def test_somebody_elses_processes_do_not_count(proxy):
    assert proxy.pid in gateway_proxy.supervised_proxies(os.geteuid())
    assert gateway_proxy.supervised_proxies(os.geteuid() + 1) == []


def test_documentation_and_code_have_the_same_options():
    documented = yaml.safe_load(gateway_proxy.DOCUMENTATION)["options"]
    assert {name: option.get("default") for name, option in documented.items()} == {
        "user": None,
        "state_dir": None,
        "config_path": None,
        "openclaw_command": [],
        "timeout": 90,
    }
