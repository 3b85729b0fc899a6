# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The proof that nothing is left on a host sees what a service would leave."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
WANTS = "/etc/systemd/system/multi-user.target.wants"


@pytest.fixture(scope="module")
def snapshot() -> ModuleType:
    specification = importlib.util.spec_from_file_location("host_snapshot", ROOT / "tests/proof/host_snapshot.py")
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def taken(files: dict[str, str], packages: tuple[str, ...] = ()) -> dict[str, Any]:
    empty: dict[str, Any] = dict.fromkeys(("units", "loaded", "users", "processes", "nftables"), ())
    return {**empty, "files": files, "packages": list(packages)}


def test_a_unit_that_is_still_wanted_at_boot_is_seen(snapshot: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert snapshot._EXCEPTION.fullmatch(f"{WANTS}/openclaw-proxy.service") is None
    monkeypatch.setattr(snapshot, "of_packages", lambda _names: {"/lib/systemd/system/stunnel4.service"})
    left = {
        f"{WANTS}/openclaw-proxy.service": "lrwxrwxrwx 0:0 -> /etc/systemd/system/openclaw-proxy.service",
        f"{WANTS}/stunnel4.service": "lrwxrwxrwx 0:0 -> /lib/systemd/system/stunnel4.service",
    }
    (difference,) = snapshot.compare(taken({}), taken(left, ("stunnel4",)))
    assert difference.startswith(f"file {WANTS}/openclaw-proxy.service: absent | ")


def test_what_is_left_in_memory_is_seen(snapshot: ModuleType, tmp_path: Path) -> None:
    for name in ("run/openclaw-proxy/health.json", "run/failclosed-openclaw-uids/997", "run/utmp", "shm/anything"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = snapshot.in_memory(str(tmp_path / "run"), str(tmp_path / "shm"))
    assert {Path(path).relative_to(tmp_path).as_posix() for path in found} == {
        "run/openclaw-proxy",
        "run/openclaw-proxy/health.json",
        "run/failclosed-openclaw-uids",
        "run/failclosed-openclaw-uids/997",
        "shm/anything",
    }


def test_a_packages_own_directory_and_the_unit_of_its_script_are_its_own(
    snapshot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "output_of", lambda *_command: ["/etc/init.d/stunnel4", "/usr/bin/stunnel4"])
    owned = snapshot.of_packages(["stunnel4"])
    assert {"/var/lib/stunnel4", "stunnel4.service", "/usr/bin/stunnel4"} <= owned
    assert "openclaw-ingress.service" not in owned
