# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.failclosed.openclaw.plugins.module_utils import (
    _config_edit,
    _config_memory,
    _files,
)
from ansible_collections.failclosed.openclaw.plugins.module_utils._config_edit import (
    ConfigFile,
    DesiredState,
    Validation,
)
from ansible_collections.failclosed.openclaw.tests.unit.plugins.module_utils.fake_openclaw import (
    FakeOpenClaw,
)

DESIRED: dict[str, Any] = {
    "patch": {"gateway": {"port": 18790}},
    "secrets": {"gateway.auth.token": "a secret"},
    "members_present": {"plugins.allow": ["x"]},
}


class Host:
    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "state").mkdir(mode=0o700)
        self.path = root / "state" / "openclaw.json"
        self.path.write_text('{ meta: {}, gateway: { mode: "local" }, plugins: { allow: ["x"] } }\n')
        self.path.chmod(0o600)
        self.cache = root / "cache"
        self.fake = FakeOpenClaw()

    def apply(self, **desired: Any) -> dict[str, Any]:
        return _config_edit.apply(
            ConfigFile(path=str(self.path), backup_directory=str(self.root / "backups")),
            DesiredState(**(desired or DESIRED)),
            Validation(openclaw_command=self.fake.command),
            cache_directory=str(self.cache),
            check_mode=False,
        ).as_return_values()

    def recall(self, **changed: Any) -> dict[str, Any] | None:
        options: dict[str, Any] = {
            "owner": None,
            "group": None,
            "mode": 0o600,
            "desired": DesiredState(**DESIRED)._asdict(),
            "command": self.fake.command,
            "directory": str(self.cache),
        }
        return _config_memory.recall_unchanged(str(self.path), **{**options, **changed})


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host on which DESIRED holds, and is remembered to hold."""
    host = Host(tmp_path)
    assert host.apply()["changed"]
    return host


def test_gives_exactly_what_the_engine_gives(host: Host) -> None:
    recalled = host.recall()
    assert recalled is not None
    assert recalled == host.apply()
    assert recalled["validated"] == ["managed_schema", "exported_schema", "program"]
    assert recalled["findings"] and recalled["openclaw_version"] == "2026.9.6"


def test_the_options_of_a_module_and_of_the_engine_have_the_same_key(host: Host) -> None:
    fields = {**json.loads(json.dumps(DesiredState()._asdict(), default=dict)), **json.loads(json.dumps(DESIRED))}
    assert host.recall(desired=fields) == host.recall()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("patch", {"gateway": {"port": 1}}),
        ("patch", {}),
        ("secrets", {"gateway.auth.token": "another"}),
        ("absent_paths", ["gateway.port"]),
        ("assert_paths", {"gateway.port": 1}),
        ("replace_paths", ["gateway"]),
        ("members_present", {"plugins.allow": ["y"]}),
        ("members_absent", {"plugins.allow": ["x"]}),
        ("optional_paths", ["plugins.allow"]),
        ("public_paths", ["gateway"]),
        ("reverse", True),
    ],
)
def test_nothing_for_another_declaration(host: Host, field: str, value: Any) -> None:
    assert host.recall(desired={**DesiredState(**DESIRED)._asdict(), field: value}) is None


def test_every_field_of_the_declaration_is_in_the_test_above() -> None:
    assert set(DesiredState._fields) == {
        "patch",
        "secrets",
        "absent_paths",
        "assert_paths",
        "replace_paths",
        "members_present",
        "members_absent",
        "optional_paths",
        "public_paths",
        "reverse",
    }


def test_nothing_for_another_content_even_of_the_same_size_and_time(host: Host) -> None:
    status = host.path.stat()
    host.path.write_text(host.path.read_text().replace("18790", "18791"))
    os.utime(host.path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert host.recall() is None


@pytest.mark.parametrize(
    "options", [{"mode": 0o640}, {"owner": "4242"}, {"group": "4242"}, {"owner": "no-such-user"}, {"command": ["/x"]}]
)
def test_nothing_for_other_options(host: Host, options: dict[str, Any]) -> None:
    assert host.recall(**options) is None


def test_the_right_owner_is_fine(host: Host) -> None:
    assert host.recall(owner=str(os.geteuid()), group=str(os.getegid())) is not None


def test_nothing_after_an_upgrade(host: Host) -> None:
    host.fake.set_version("2026.10.1")
    assert host.recall() is None


def test_nothing_after_the_code_changed(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_config_memory, "_engine_digest", lambda: "another")
    assert host.recall() is None


@pytest.mark.parametrize("loader", [None, object(), "unreadable"])
def test_nothing_where_the_code_cannot_be_read(host: Host, monkeypatch: pytest.MonkeyPatch, loader: Any) -> None:
    class Unreadable:
        def get_data(self, path: str) -> bytes:
            raise OSError(path)

    class Spec:
        pass

    spec = Spec()
    spec.loader = Unreadable() if loader == "unreadable" else loader  # type: ignore[attr-defined]
    monkeypatch.setattr(_config_memory, "__spec__", spec)
    assert host.recall() is None
    assert not host.apply()["changed"]


def test_the_whole_engine_counts_as_code() -> None:
    """Whatever the engine imports decides what is right, so it has to be in the digest."""
    code = (
        "import sys\n"
        "from ansible_collections.failclosed.openclaw.plugins.module_utils import _config_edit\n"
        "from ansible_collections.failclosed.openclaw.plugins.module_utils import _managed_schema, _schema\n"
        "print('\\n'.join(n.rsplit('.', 1)[1] for n in sys.modules if '.module_utils._' in n))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    # How OpenClaw is started does not change what it says.
    assert set(done.stdout.split()) - {"_openclaw"} == set(_config_memory._ENGINE)


@pytest.mark.parametrize("kind", ["missing", "symlink", "hard link", "directory"])
def test_nothing_for_an_unusual_file(host: Host, kind: str) -> None:
    other = host.root / "other.json"
    if kind == "hard link":
        os.link(host.path, other)
    else:
        host.path.rename(other)
    if kind == "symlink":
        host.path.symlink_to(other)
    elif kind == "directory":
        host.path.mkdir()
    assert host.recall() is None


@pytest.mark.parametrize(
    "damage",
    [
        {"findings": None},
        {"findings": ["x"]},
        {"validated": "all"},
        {"validated": [1]},
        {"openclaw_version": 7},
        {"key": "x"},
    ],
)
def test_nothing_for_a_damaged_record(host: Host, damage: dict[str, Any]) -> None:
    (name,) = (host.cache / "verdicts").iterdir()
    name.write_text(json.dumps([{**record, **damage} for record in json.loads(name.read_text())]))
    assert host.recall() is None


def test_nothing_from_a_memory_that_others_may_write(host: Host) -> None:
    (host.cache / "verdicts").chmod(0o777)
    assert host.recall() is None
    with pytest.raises(_files.FileError, match="others may write there"):
        _config_memory.Memory(str(host.cache), write=False).records(str(host.path))


def test_files_with_includes_are_looked_at_each_time(host: Host) -> None:
    (host.path.parent / "g.json5").write_text("{ port: 1 }")
    host.path.write_text('{ meta: {}, gateway: { $include: "./g.json5" } }')
    assert not host.apply(patch={"gateway": {"port": 1}})["changed"]
    assert host.recall(desired=DesiredState(patch={"gateway": {"port": 1}})._asdict()) is None


def test_a_note_is_given_each_time(host: Host) -> None:
    options: dict[str, Any] = {"patch": {"gateway": {"port": 1}}, "reverse": True}
    for _run in range(2):
        assert "was kept" in json.dumps(host.apply(**options)["findings"])
    assert host.recall(desired=DesiredState(**options)._asdict()) is None


def test_only_some_records_are_kept(host: Host) -> None:
    for port in range(1, 25):
        host.apply(patch={"gateway": {"port": port}})
    records = _config_memory.Memory(str(host.cache), write=False).records(str(host.path))
    assert len(records) == 16
    assert len(list((host.cache / "schemas").iterdir())) == 1


def test_no_secret_is_remembered(host: Host) -> None:
    for path in (each for each in host.cache.rglob("*") if each.is_file()):
        assert b"a secret" not in path.read_bytes()
        assert path.stat().st_mode & 0o777 == 0o600
