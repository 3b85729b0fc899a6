# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.failclosed.openclaw.plugins.module_utils import _host

STATUS = """Package: ca-certificates
Status: install ok installed
Version: 20230311

Package: python3-venv
Status: deinstall ok config-files
Version: 3.11.2

Package: python3-jsonschema
Status: install ok installed
"""


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ('PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"', "PRETTY_NAME", "Debian GNU/Linux 12 (bookworm)"),
        ("ID=debian", "ID", "debian"),
        ("VERSION_ID='24.04'", "VERSION_ID", "24.04"),
        ('NAME="a \\"quoted\\" name"', "NAME", 'a "quoted" name'),
    ],
)
def test_os_release_values_are_unquoted(line: str, name: str, value: str) -> None:
    assert _host.parse_os_release(f"# comment\n\n{line}\n")[name] == value


def test_only_packages_that_are_really_installed_count() -> None:
    asked = ["python3-venv", "python3-jsonschema", "ca-certificates", "nowhere"]
    assert _host.installed_packages(STATUS, asked) == ["ca-certificates", "python3-jsonschema"]


@pytest.mark.parametrize(
    ("text", "version"), [("systemd 252 (252.39-1~deb12u1)\n+PAM", 252), ("systemd 257", 257), ("", 0)]
)
def test_systemd_version(text: str, version: int) -> None:
    assert _host.systemd_version(text) == version


def host(root: Path, *, systemd: str = "usr/lib/x86_64-linux-gnu/systemd/libsystemd-shared-252.so") -> Path:
    (root / "etc").mkdir()
    (root / "etc/os-release").write_text('ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian 12"\n')
    (root / "run/systemd/system").mkdir(parents=True)
    library = root / systemd
    library.parent.mkdir(parents=True)
    library.touch()
    (root / "var/lib/dpkg").mkdir(parents=True)
    (root / "var/lib/dpkg/status").write_text(STATUS)
    return root


@pytest.mark.parametrize(
    ("library", "version"),
    [
        ("usr/lib/x86_64-linux-gnu/systemd/libsystemd-shared-252.so", 252),
        ("usr/lib/systemd/libsystemd-shared-257.9-1~deb13u1.so", 257),
        ("lib/systemd/libsystemd-shared-247.so", 247),
    ],
)
def test_host_is_described_from_its_files(tmp_path: Path, library: str, version: int) -> None:
    found = _host.describe(["ca-certificates", "python3-venv"], root=host(tmp_path, systemd=library))
    assert (found["os_id"], found["os_version"], found["os_name"]) == ("debian", "12", "Debian 12")
    assert found["systemd_running"] is True and found["systemd_version"] == version
    assert found["packages_installed"] == ["ca-certificates"]


def test_empty_host_is_described_without_an_error(tmp_path: Path) -> None:
    found = _host.describe(["x"], root=tmp_path)
    assert found["os_id"] == "" and found["systemd_running"] is False and found["packages_installed"] == []


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("Name:\tx\nCapEff:\t000001ffffffffff\n", True),
        ("CapEff:\t0000000000001000\n", True),
        ("CapPrm:\t000001ffffffffff\nCapEff:\t00000000a80425fb\n", False),
        ("", False),
    ],
)
def test_the_capability_for_kernel_rules_is_seen(status: str, expected: bool) -> None:
    assert _host.has_net_admin(status) is expected
