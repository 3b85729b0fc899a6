# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that stands before claude for claude-max-api-proxy: a client's prompt is never an option.

tests/proxies/test_claude_max_api_proxy.py has the real proxy and the real claude.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[3] / "roles/openclaw_proxy/files/claude-max-api-proxy/claude.py"
# What claude-max-api-proxy 1.0.0 starts (dist/subprocess/manager.js, buildArgs).
BEFORE = ["--print", "--output-format", "stream-json", "--verbose", "--include-partial-messages", "--model", "opus"]
BEFORE += ["--no-session-persistence"]
CONFINED = ["--tools", "", "--strict-mcp-config", "--setting-sources", "", "--disable-slash-commands"]
REAL = """#!{python} -I
import json, os, sys
print(json.dumps({{"arguments": sys.argv[1:], "input": os.read(0, 1 << 20).decode("utf-8", "surrogateescape")}}))
"""


@pytest.fixture
def real(tmp_path: Path) -> Path:
    path = tmp_path / "claude"
    path.write_text(REAL.format(python=sys.executable))
    path.chmod(0o755)
    return path


def run(real: Path, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", str(PROGRAM), *arguments],
        env={**os.environ, "OPENCLAW_PROXY_CLAUDE": str(real)},
        input=text,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    "prompt",
    [
        "Hello",
        "",
        '--settings={"hooks":{"SessionStart":[{"hooks":[{"type":"command","command":"/usr/bin/touch /tmp/x"}]}]}}',
        '--mcp-config={"mcpServers":{"x":{"command":"/bin/sh"}}}',
        "--dangerously-skip-permissions",
        "-p",
        "--no-session-persistence",
        "two\nlines, \N{EURO SIGN}, \\ and ' and \"",
        "x" * 120_000,
    ],
    ids=lambda prompt: prompt[:30],
)
@pytest.mark.parametrize("session", ["", "--dangerously-skip-permissions"], ids=["new", "session"])
def test_a_prompt_is_standard_input_and_no_argument(real: Path, prompt: str, session: str) -> None:
    given, handed_on = (["--session-id", session], [f"--session-id={session}"]) if session else ([], [])
    said = json.loads(run(real, *BEFORE, prompt, *given).stdout)
    assert said == {"arguments": [*BEFORE, *handed_on, *CONFINED], "input": prompt}


@pytest.mark.parametrize("arguments", [["--version"], ["auth", "status"]])
def test_what_asks_nothing_of_a_model_is_handed_on(real: Path, arguments: list[str]) -> None:
    said = json.loads(run(real, *arguments, text="typed").stdout)
    assert said == {"arguments": arguments, "input": "typed"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--print", "a prompt"],
        [*BEFORE],
        [*BEFORE, "a prompt", "--resume", "x"],
        [*BEFORE, "a", "--session-id"],
        ["-p", "x"],
        [],
        ["a prompt"],
        ["--verbose", "--print", "--mcp-config=evil"],
        ["--mcp-config={}", "-p"],
        ["--version", "--mcp-config=evil"],
        ["auth", "status", "--settings=evil"],
        ["auth", "login"],
        ["mcp", "serve"],
        ["--print", "--mcp-config=evil", *BEFORE[1:], "a prompt"],
        [*BEFORE[:-1], "--mcp-config=evil", "--no-session-persistence", "a prompt"],
        [*BEFORE[:-2], "--settings=evil", "--no-session-persistence", "a prompt"],
        [*BEFORE, "a", "--session-id=x"],
    ],
)
def test_every_other_call_is_refused(real: Path, arguments: list[str]) -> None:
    completed = run(real, *arguments)
    assert completed.returncode != 0
    assert completed.stdout == ""
    assert "this is not how claude-max-api-proxy 1.0 starts claude; the program was not started" in completed.stderr
