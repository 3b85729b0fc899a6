# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of the kernel rule is on the disk: the unit, and the drop-ins of two others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from ansible_collections.failclosed.openclaw.plugins.module_utils import _egress, _egress_service, _service_unit

LOAD = "/usr/sbin/nft --file /etc/failclosed-openclaw/egress.nft"


def installation(user: str = "openclaw", unit: str = "openclaw-gateway.service") -> _egress_service.Installation:
    return _egress_service.Installation("/usr/sbin/nft", "table inet x\n", user, 997, unit)


def files(made: _egress_service.Installation) -> dict[str, str]:
    return {file.path: file.content.decode() for file in made.service().files}


def test_nftables_service_loads_the_rule_again_after_each_flush() -> None:
    lines = files(installation())[_egress_service.NFTABLES_DROP_IN].splitlines()
    assert [line for line in lines if line.startswith("Exec")] == [
        f"ExecStartPost=-{LOAD}",
        f"ExecReload=-{LOAD}",
        f"ExecStopPost=-{LOAD}",
    ]


def test_the_unit_comes_before_the_network_and_opens_nothing_when_it_stops() -> None:
    lines = installation().service().unit_text().splitlines()
    assert "Before=network-pre.target" in lines and f"ExecStart={LOAD}" in lines
    assert not any(line.startswith(("ExecStop", "PartOf", "Requires")) for line in lines)


def test_the_gateway_does_not_start_for_another_uid_or_without_the_rule() -> None:
    text = files(installation())["/etc/systemd/system/openclaw-gateway.service.d/10-failclosed-egress.conf"]
    assert 'test "$$(id -u openclaw)" = 997' in text and f"|| exec {LOAD}'" in text
    assert "After=failclosed-openclaw-egress.service" in text.splitlines()
    # In the gateway's own sandbox a second process can cost it its namespaces.
    assert all(line.startswith("ExecStartPre=+") for line in text.splitlines() if line.startswith("Exec"))


def test_a_gateway_without_a_system_service_gets_no_drop_in() -> None:
    assert set(files(installation(unit=""))) == {_egress.RULES, _egress_service.NFTABLES_DROP_IN}


def test_a_user_who_would_end_the_quotes_is_refused() -> None:
    with pytest.raises(_egress.EgressError, match="gateway_user"):
        files(installation(user="a'b"))


def test_nft_is_found_where_it_is(tmp_path: Path) -> None:
    nft = tmp_path / "nft"
    nft.touch(mode=0o755)
    assert _egress_service.find_nft([str(tmp_path / "absent"), str(nft)]) == str(nft)
    assert _egress_service.find_nft([str(tmp_path / "absent")]) is None


class Systemctl:
    """Says of every unit whether it is known otherwise than it is on the disk, and remembers what it was told."""

    def __init__(self, need_daemon_reload: str) -> None:
        self.answer = need_daemon_reload
        self.told: list[list[str]] = []

    def __call__(self, command: Sequence[str], _data: str | None = None) -> tuple[int, str, str]:
        if command[1] == "show":
            assert "nftables.service" in command and "--property=NeedDaemonReload" in command
            return 0, f"no\n\n{self.answer}\n", ""
        self.told.append(list(command[1:]))
        return 0, "", ""


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Every file of the unit below a directory of its own, and a service manager that has nothing to do."""
    service = installation().service()
    moved = tuple(
        _service_unit.ManagedFile(str(tmp_path / file.path.lstrip("/")), file.content, restart=file.restart)
        for file in service.files
    )
    for file in moved:
        Path(file.path).parent.mkdir(parents=True, exist_ok=True)
        Path(file.path).write_bytes(file.content)
    made = _service_unit.Service(name=service.name, unit=service.unit, files=moved)
    monkeypatch.setattr(_egress_service.Installation, "service", lambda _self: made)
    monkeypatch.setattr(_service_unit, "converge", lambda *_service, **_options: _service_unit.Outcome())
    units = tmp_path / "etc/systemd/system"
    monkeypatch.setattr(_egress_service, "drop_ins_of", lambda name, mark: _ours(name, mark, str(units)))
    monkeypatch.setattr(
        _egress_service, "gateway_drop_in", lambda unit: str(units / f"{unit}.d/10-failclosed-egress.conf")
    )
    return units


_ours = _egress_service.drop_ins_of


@pytest.mark.parametrize("check_mode", [False, True])
def test_what_systemd_has_not_read_it_is_told_to_read(on_disk: Path, check_mode: bool) -> None:
    same = Systemctl("no")
    assert not _egress_service.converge(installation(), run=same, check_mode=check_mode).changed
    assert same.told == []
    interrupted = Systemctl("yes")
    outcome = _egress_service.converge(installation(), run=interrupted, check_mode=check_mode)
    assert outcome.changed and outcome.before == ["drop-ins that systemd has not read"]
    assert interrupted.told == ([] if check_mode else [["daemon-reload"]])


def test_drop_ins_hold_also_when_the_unit_does_not_come_up(on_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_service: object, **_options: object) -> None:
        raise _service_unit.ServiceError("it did not start")

    (on_disk / "nftables.service.d/failclosed-openclaw.conf").unlink()
    monkeypatch.setattr(_service_unit, "converge", fails)
    run = Systemctl("no")
    with pytest.raises(_service_unit.ServiceError, match="it did not start"):
        _egress_service.converge(installation(), run=run, check_mode=False)
    assert run.told == [["daemon-reload"]]


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_service_that_is_no_longer_the_gateways_is_released(on_disk: Path, check_mode: bool) -> None:
    text = (on_disk / "openclaw-gateway.service.d/10-failclosed-egress.conf").read_text()
    for unit, content in (("former.service", text), ("others.service", "[Unit]\n")):
        (on_disk / f"{unit}.d").mkdir()
        (on_disk / f"{unit}.d/10-failclosed-egress.conf").write_text(content)
    run = Systemctl("no")
    outcome = _egress_service.converge(installation(), run=run, check_mode=check_mode)
    assert outcome.changed and outcome.before == [str(on_disk / "former.service.d/10-failclosed-egress.conf")]
    assert (on_disk / "former.service.d").exists() is check_mode
    assert (on_disk / "others.service.d/10-failclosed-egress.conf").exists()
    assert (on_disk / "openclaw-gateway.service.d/10-failclosed-egress.conf").exists()
    assert run.told == ([] if check_mode else [["daemon-reload"]])


def test_a_removal_takes_every_drop_in_of_ours(on_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (on_disk / "openclaw-gateway.service.d/10-failclosed-egress.conf").read_text()
    (on_disk / "former.service.d").mkdir()
    (on_disk / "former.service.d/10-failclosed-egress.conf").write_text(text)
    removed: list[str] = []
    outcome = _service_unit.Outcome(changed=True)

    def remove(_name: str, paths: Sequence[str], **_options: object) -> _service_unit.Outcome:
        removed.extend(paths)
        return outcome

    monkeypatch.setattr(_service_unit, "remove", remove)
    run = Systemctl("yes")
    assert _egress_service.remove("openclaw-gateway.service", run=run, check_mode=True).changed
    names = {Path(path).parent.name for path in removed}
    assert {"former.service.d", "openclaw-gateway.service.d", "nftables.service.d"} <= names
    assert run.told == []
    # A removal that was interrupted before systemd was told.
    outcome.changed = False
    assert _egress_service.remove("", run=run, check_mode=False).changed
    assert run.told == [["daemon-reload"]]
