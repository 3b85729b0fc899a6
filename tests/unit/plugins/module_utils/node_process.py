# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node process that answers questions, for tests against the JavaScript that OpenClaw runs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

_LOOP = """
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
const openclaw = process.argv[1];
const require = createRequire(openclaw + "/package.json");
%s
for await (const line of createInterface({ input: process.stdin })) {
  let reply;
  try { reply = { value: answer(JSON.parse(line)) }; } catch (error) { reply = { error: String(error) }; }
  process.stdout.write(JSON.stringify(reply) + "\\n");
}
"""


# Besides the one that the roles install, oldest first.
OLDER_RELEASES = sorted(path.name for path in (Path(__file__).resolve().parents[3] / "openclaw-releases").iterdir())


def _from_environment(name: str, meaning: str) -> Path:
    value = os.environ.get(name)
    if not value:
        raise RuntimeError(f"set {name} to {meaning}; this test compares with the real OpenClaw")
    path = Path(value)
    if not path.exists():
        raise RuntimeError(f"{name} is {value}, which does not exist; it must be {meaning}")
    return path


def node() -> Path:
    return _from_environment("FAILCLOSED_NODE", "the path of a node executable")


def openclaw() -> Path:
    return _from_environment("FAILCLOSED_OPENCLAW", "the directory of an installed openclaw package")


def openclaw_releases() -> dict[str, Path]:
    """Version to package directory: the release that the roles install, and those of tests/openclaw-releases."""
    older = _from_environment("FAILCLOSED_OPENCLAW_RELEASES", "the directory into which they were installed")
    return {
        json.loads((package / "package.json").read_text())["version"]: package
        for package in (*(older / name / "node_modules" / "openclaw" for name in OLDER_RELEASES), openclaw())
    }


class NodeProcess:
    """Runs ``source``, a JavaScript module that defines ``answer(question)``.

    In it, ``openclaw`` is the package's directory and ``require`` resolves as OpenClaw's own.
    """

    def __init__(self, source: str) -> None:
        self._process = subprocess.Popen(
            [str(node()), "--input-type=module", "--eval", _LOOP % source, str(openclaw())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )

    def ask(self, question: Any) -> tuple[bool, Any]:
        """(True, value), or (False, message) if the JavaScript threw."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"node ended with status {self._process.wait(10)}")
        reply = json.loads(line)
        return ("value" in reply, reply.get("value", reply.get("error")))

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
