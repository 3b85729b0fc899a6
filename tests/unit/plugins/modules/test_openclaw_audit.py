# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import pwd
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils import basic

from ansible_collections.failclosed.openclaw.plugins.module_utils import _egress, _openclaw_environment
from ansible_collections.failclosed.openclaw.plugins.modules import openclaw_audit
from ansible_collections.failclosed.openclaw.tests.unit.plugins.module_utils.audited_host import AuditedHost

CANARY = "sk-ant-CANARY-7f3a-do-not-show-000"
ME = pwd.getpwuid(os.geteuid()).pw_name
NO_RULE = _egress.Observation(
    enforced=None, probed=False, mode=None, digest=None, gateway_uid=None, networks=(), reason="not looked at in a test"
)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AuditedHost:
    host = AuditedHost(tmp_path)
    monkeypatch.setattr(_egress, "observe", lambda *_uid: NO_RULE)
    # The units and processes of the machine on which this runs are none of the test's business.
    units = _openclaw_environment.system_units
    monkeypatch.setattr(
        _openclaw_environment,
        "system_units",
        lambda user, uid, **_other: units("gateway", uid, directories=[host.units]),
    )
    processes = _openclaw_environment.processes
    monkeypatch.setattr(_openclaw_environment, "processes", lambda uid, _proc: processes(uid, str(host.proc)))
    return host


@pytest.fixture
def run(host: AuditedHost, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*, check_mode: bool = False, **arguments: Any) -> dict[str, Any]:
        given = {"state_dir": str(host.state), "user": ME, **arguments, "_ansible_check_mode": check_mode}
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": given}).encode())
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        with pytest.raises(SystemExit):
            openclaw_audit.main()
        printed = capsys.readouterr()
        assert CANARY not in printed.out + printed.err
        result: dict[str, Any] = json.loads(printed.out)
        return result

    return call


def test_returns_what_the_documentation_says(run: Any) -> None:
    result = run()
    assert set(result) - {"invocation", "changed"} == set(yaml.safe_load(openclaw_audit.RETURN))
    assert (result["changed"], result["compliant"]) == (False, True)


def test_a_finding_does_not_fail_the_task(host: AuditedHost, run: Any) -> None:
    host.patch({"agents": {"entries": {"ops": {"model": f"https://u:{CANARY}@example.com/claude"}}}})
    host.file(".openclaw/.env", f"ANTHROPIC_API_KEY={CANARY}\n")
    result = run()
    assert result.get("failed") is None
    assert result["compliant"] is False
    assert sorted(each["id"] for each in result["findings"]) == ["agent-model", "credential-dotenv"]
    assert set(result["findings"][0]) == {"id", "severity", "path", "resolves_to", "detail", "remedy"}


def test_required_egress_of_which_nobody_can_tell_is_unknown(run: Any) -> None:
    result = run(egress="required")
    assert result["compliant"] is None
    assert [each["id"] for each in result["unknown"]] == ["kernel-rule"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"user": "nobody-has-this-name"}, "user 'nobody-has-this-name' does not exist"),
        ({"state_dir": "relative"}, "state_dir: 'relative' is not absolute"),
        ({"exceptions": [{"id": "x", "reason": "y", "expires": "2026-12-31"}]}, "exceptions[0]: id is 'x'"),
        ({"exceptions": [{"id": "alias", "reason": "y", "expires": "never"}]}, "expires is 'never'"),
        ({"patch": {}, "replace_paths": ["a["]}, "replace_paths"),
    ],
)
def test_wrong_options_are_named(run: Any, options: dict[str, Any], words: str) -> None:
    result = run(**options)
    assert result["failed"] is True
    assert words in result["msg"]
    assert "Nothing was looked at." in result["msg"]


def test_a_user_that_the_predicted_run_creates_is_no_error(run: Any) -> None:
    result = run(user="nobody-has-this-name", patch={"agents": {}}, check_mode=True)
    assert (result.get("failed"), result["compliant"], result["remediation_patch"]) == (None, None, {})


def test_options_are_documented_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    class StopError(Exception):
        pass

    def keep(**options: Any) -> None:
        seen.update(options)
        raise StopError

    monkeypatch.setattr(openclaw_audit, "AnsibleModule", keep)
    with pytest.raises(StopError):
        openclaw_audit.main()
    documented = yaml.safe_load(openclaw_audit.DOCUMENTATION)["options"]
    specification = seen["argument_spec"]
    assert set(documented) == set(specification)
    for name, option in documented.items():
        for key in ("default", "choices", "elements", "type"):
            assert option.get(key) == specification[name].get(key), (name, key)


def test_the_default_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openclaw_audit, "DEFAULT_USER", "nobody-has-this-name")
    assert openclaw_audit.account_for(None).uid == os.geteuid()
    monkeypatch.setattr(openclaw_audit, "DEFAULT_USER", "nobody")
    assert openclaw_audit.account_for(None).name == "nobody"
