# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of the kernel rule is on the disk: the unit, and the drop-ins of two others."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.failclosed.openclaw.plugins.module_utils import _egress, _egress_service

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
