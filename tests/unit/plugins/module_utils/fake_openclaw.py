# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for OpenClaw's command line that records exactly how it was called.

It accepts the three commands that the engine uses, and ends with status 97 on any other. A file that
holds the text INVALID is invalid to it; the text CRASH makes it fail without an answer; HANG, never end;
FLOOD, print without end.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import weakref
from pathlib import Path
from typing import Any

_PROGRAM = r"""
import json, os, sys, time
here = os.path.dirname(os.path.abspath(__file__))
path = os.environ.get("OPENCLAW_CONFIG_PATH", "")
text = open(path).read() if os.path.exists(path) else ""
folder = os.path.dirname(path)
with open(os.path.join(here, "calls"), "a") as log:
    log.write(json.dumps({
        "argv": sys.argv[1:],
        "environment": dict(os.environ),
        "uid": os.getuid(), "gid": os.getgid(), "groups": sorted(os.getgroups()),
        "umask": os.umask(0o077), "cwd": os.getcwd(),
        "config_mode": oct(os.stat(path).st_mode & 0o777) if os.path.exists(path) else None,
        "config_text": text,
        "may_write_folder": os.access(folder, os.W_OK),
        "may_write_temporary": os.access(os.environ.get("TMPDIR", "/nowhere"), os.W_OK),
    }) + "\n")
if "CRASH" in text:
    sys.stderr.write("Error: cannot do that with " + text)
    sys.exit(3)
if "HANG" in text:
    time.sleep(600)
while "FLOOD" in text:
    sys.stdout.write("x" * 65536)
arguments = sys.argv[1:]
if arguments == ["--version"]:
    print("OpenClaw 2026.9.6 (abcdef0)")
elif arguments == ["config", "schema"]:
    sys.stdout.write(open(os.path.join(here, "schema.json")).read())
elif arguments == ["config", "validate", "--json"]:
    if "INVALID" in text:
        # As the real one might: with a value of the file in its message.
        print(json.dumps({"ok": False, "valid": False, "path": path, "issues": [
            {"path": "gateway.bind", "message": "Invalid input " + text}]}))
        sys.exit(1)
    print(json.dumps({"valid": True, "path": path, "warnings": [
        {"path": "plugins.entries.gone", "message": "plugin not found: gone"},
        {"path": "x", "message": "Missing env var \"X\" - feature using this value will be unavailable"}]}))
else:
    sys.exit(97)
"""

SCHEMA: dict[str, Any] = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {
        "meta": {"type": "object"},
        "gateway": {"type": "object"},
        "models": {"type": "object"},
        "agents": {"type": "object", "properties": {"defaults": {"type": "object"}}, "additionalProperties": False},
        "plugins": {"type": "object"},
        "channels": {"type": "object"},
        "env": {"type": "object"},
        "secrets": {"type": "object"},
        "ui": {"type": "object", "properties": {"depth": {"type": "integer"}}},
        "odd": {"type": "string", "pattern": r"^\p{L}+$"},
    },
    "additionalProperties": False,
}


def interpreter() -> str:
    """A Python that every user can start; the one of a virtual environment may be in somebody's home."""
    system = Path("/usr/bin/python3")
    return str(system if system.exists() else Path(sys.executable).resolve())


class FakeOpenClaw:
    """An installed package ``openclaw`` of some version, whose program is the stand-in."""

    def __init__(self, *, version: str = "2026.9.6") -> None:
        # Outside of pytest's own directory, which no other user may enter.
        self.directory = directory = Path(tempfile.mkdtemp(prefix="fake-openclaw-"))
        weakref.finalize(self, shutil.rmtree, directory, ignore_errors=True)
        directory.chmod(0o755)
        (directory / "openclaw.mjs").write_text(_PROGRAM)
        (directory / "calls").touch()
        (directory / "calls").chmod(0o666)
        self.set_version(version)
        self.set_schema(SCHEMA)

    @property
    def command(self) -> list[str]:
        # -I: the environment of the tests must not reach the stand-in either.
        return [interpreter(), "-I", str(self.directory / "openclaw.mjs")]

    def set_version(self, version: str) -> None:
        (self.directory / "package.json").write_text(json.dumps({"name": "openclaw", "version": version}))

    def set_schema(self, schema: Any) -> None:
        (self.directory / "schema.json").write_text(json.dumps(schema))

    def calls(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.directory / "calls").read_text().splitlines()]

    def commands(self) -> list[str]:
        """The commands since the last look."""
        found = [" ".join(call["argv"]) for call in self.calls()]
        (self.directory / "calls").write_text("")
        return found
