# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest

from ansible_collections.failclosed.openclaw.plugins.module_utils import _install_record
from ansible_collections.failclosed.openclaw.plugins.module_utils._install_record import InstallRecord, RecordError

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="drops to another user")

TABLE = (
    "CREATE TABLE config_machine_state ("
    "state_key TEXT NOT NULL PRIMARY KEY, value_json TEXT NOT NULL, updated_at_ms INTEGER NOT NULL)"
)
RECORD = {"source": "path", "version": "1.0.0", "installPath": "/x/extensions/example"}


@pytest.fixture
def state():
    path = Path(tempfile.mkdtemp(prefix="install-record-"))
    (path / "state").mkdir()
    yield path
    shutil.rmtree(path)


def write(state: Path, value: object, *, keep_open: bool = False) -> sqlite3.Connection | None:
    connection = sqlite3.connect(state / _install_record.DATABASE)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA wal_autocheckpoint=0")
    connection.execute(TABLE)
    text = value if isinstance(value, str) else json.dumps(value)
    connection.execute("INSERT INTO config_machine_state VALUES (?, ?, 0)", (_install_record.STATE_KEY, text))
    connection.commit()
    if keep_open:
        return connection
    connection.close()
    return None


def read(state: Path) -> dict[str, InstallRecord]:
    return _install_record.read(str(state), os.geteuid(), os.getegid())


def test_records_are_read(state):
    write(state, {"revision": 1, "index": {"installRecords": {"example": RECORD, "odd": 1, "bare": {"version": 2}}}})
    assert read(state) == {
        "example": InstallRecord("path", "1.0.0", "/x/extensions/example"),
        "bare": InstallRecord("", "", ""),
    }


def test_what_is_only_in_the_log_is_seen_and_nothing_is_written(state):
    writer = write(state, {"index": {"installRecords": {"example": RECORD}}}, keep_open=True)
    assert writer is not None
    database = (state / _install_record.DATABASE).read_bytes()
    assert b"example" not in database, "the record is in the write-ahead log"
    log = (state / f"{_install_record.DATABASE}-wal").read_bytes()
    assert read(state)["example"].version == "1.0.0"
    assert (state / _install_record.DATABASE).read_bytes() == database
    assert (state / f"{_install_record.DATABASE}-wal").read_bytes() == log
    # The gateway goes on writing meanwhile.
    writer.execute("UPDATE config_machine_state SET updated_at_ms = 1")
    writer.commit()
    writer.close()


@pytest.mark.parametrize("value", [{}, [], {"index": None}, {"index": {"installRecords": []}}])
def test_other_shapes_hold_no_record(state, value):
    write(state, value)
    assert read(state) == {}


@pytest.mark.parametrize("text", ["a\0b", "\x1b[31mred", "\ud800", "x\ny", "x" * 5000])
def test_text_that_steers_or_breaks_is_dropped(state, text):
    write(state, {"index": {"installRecords": {"example": {"version": text, "installPath": text}}}})
    record = read(state)["example"]
    assert (record.version, record.path) == ("", "")
    assert "no path" in _install_record.differences(record, path="/x", version="1", present=True)[0]


def test_no_database_is_no_record_and_makes_none(state):
    assert read(state) == {}
    assert list((state / "state").iterdir()) == []


@pytest.mark.parametrize("content", [b"no database at all" * 100, b""])
def test_a_broken_database_is_an_error_and_stays(state, content):
    path = state / _install_record.DATABASE
    path.write_bytes(content)
    with pytest.raises(RecordError):
        read(state)
    assert path.read_bytes() == content


def test_a_link_or_a_pipe_is_not_opened(state):
    path = state / _install_record.DATABASE
    path.symlink_to("/etc/passwd")
    with pytest.raises(RecordError, match="no regular file"):
        read(state)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(RecordError, match="no regular file"):
        read(state)


def test_text_that_is_no_json(state):
    write(state, "[" * 100_000)
    with pytest.raises(RecordError, match="no JSON"):
        read(state)


def test_too_much_text(state, monkeypatch):
    monkeypatch.setattr(_install_record, "MAXIMUM_BYTES", 1000)
    write(state, json.dumps({"x": "y" * 2000}))
    with pytest.raises(RecordError, match="too large"):
        read(state)


@needs_root
def test_a_link_of_the_owner_leads_root_nowhere(state):
    # Somebody else's database, that the owner of the state directory must not get to see.
    secret = Path(tempfile.mkdtemp(prefix="install-record-secret-"))
    try:
        (secret / "state").mkdir()
        write(secret, {"index": {"installRecords": {"secret": RECORD}}})
        assert "secret" in read(secret)
        shutil.rmtree(state / "state")
        (state / "state").symlink_to(secret / "state")
        state.chmod(0o755)
        with pytest.raises(RecordError, match="Permission denied"):
            _install_record.read(str(state), 65534, 65534)
    finally:
        shutil.rmtree(secret)


@pytest.mark.parametrize(
    ("record", "version", "present", "expected"),
    [
        (None, "1.0.0", True, ""),
        (InstallRecord("path", "1.0.0", "/x/p"), "1.0.0", True, ""),
        (InstallRecord("path", "", "/x/p"), "1.0.0", True, ""),
        (
            InstallRecord("path", "1.0.0", "/x/p"),
            "2.0.0",
            True,
            "version 1.0.0 is installed, and the files are version 2.0.0",
        ),
        (InstallRecord("path", "1.0.0", "/x/p"), None, False, "version 1.0.0 is installed, and /x/p does not exist"),
        (InstallRecord("npm", "1.0.0", "/y/p"), "1.0.0", True, "the plugin is at /y/p, and it is managed at /x/p"),
    ],
)
def test_a_record_that_lies_is_named(record, version, present, expected):
    found = _install_record.differences(record, path="/x/p", version=version, present=present)
    assert (found == []) is (expected == "")
    assert expected in "".join(found)
