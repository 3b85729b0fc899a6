# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Path notation against OpenClaw's own functions and its ``config get``.

Needs FAILCLOSED_NODE and FAILCLOSED_OPENCLAW, and fails without them.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ansible_collections.failclosed.openclaw.plugins.module_utils import _config_path, _json5
from ansible_collections.failclosed.openclaw.tests.unit.plugins.module_utils import node_process

pytestmark = pytest.mark.openclaw

# The bundle renames its files and exports with each release, but keeps the functions' names.
SOURCE = """
import { readdirSync } from "node:fs";
import { pathToFileURL } from "node:url";
const named = {};
for (const name of readdirSync(openclaw + "/dist")) {
  if (!/^dot-path-.*\\.mjs$/.test(name)) continue;
  for (const value of Object.values(await import(pathToFileURL(openclaw + "/dist/" + name))))
    if (typeof value === "function") named[value.name] = value;
}
function answer({ parse, format }) {
  if (parse !== undefined) return named.parseConcreteConfigPathTokens(parse);
  return named.formatConcreteConfigPath(format);
}
"""


@pytest.fixture(scope="module")
def javascript() -> Iterator[node_process.NodeProcess]:
    process = node_process.NodeProcess(SOURCE)
    assert process.ask({"parse": "a.b"}) == (True, ["a", "b"])
    yield process
    process.close()


PATHS = st.lists(
    st.sampled_from(
        ["a", "b1", ".", "[", "]", "0", "00", "100000", "100001", '"', "'", "\\", " ", "\t", "\n", "\ufeff", "\u0085",
         "\x1c", "[0]", '["a.b"]', "['c']", '["', '"]', "['", "']", "\\x41", "\\u0042", "\\u{", "\\0",
         "\\1", "\\v", "\\q", "__proto__", "constructor",
         "é", "\U0001f600", "/", ":", "-", "$", "[key]", "[ 1 ]", "\u2028", "\r\n"]
    ),
    max_size=9,
).map("".join)  # fmt: skip


@settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))
@given(PATHS)
@example("a['\\\n']")
@example("a['\\\r\nb']")
@example('a["x"y"]')
def test_parse(javascript: node_process.NodeProcess, path: str) -> None:
    ok, theirs = javascript.ask({"parse": path})
    try:
        ours: Any = list(_config_path.parse(path))
    except ValueError as error:
        assert not ok, f"OpenClaw reads {path!r} as {theirs}, we say: {error}"
        return
    assert ok, f"we read {path!r} as {ours}, OpenClaw says: {theirs}"
    assert ours == theirs
    assert [type(segment) for segment in ours] == [type(segment) for segment in theirs]


SEGMENTS = st.lists(
    st.one_of(
        st.integers(0, 10**5),
        st.text(max_size=5),
        st.sampled_from(["a", "0", "a.b", 'q"', "\ud800", "\x7f", "\u2028", "a\n", "x:y-z"]),
    ),
    max_size=4,
)


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(SEGMENTS)
def test_format(javascript: node_process.NodeProcess, segments: list[Any]) -> None:
    assert javascript.ask({"format": segments}) == (True, _config_path.format(tuple(segments)))


CONFIG = """// scratch
{
  meta: {}, gateway: { mode: "local", bind: "loopback", port: 19001 },
  agents: { defaults: { models: { "openai/gpt-5.4": { alias: "dotted key" } } } },
  plugins: { deny: ["first", "second"] },
}
"""


@pytest.mark.parametrize(
    "path",
    [
        "gateway.port",
        'agents.defaults.models["openai/gpt-5.4"].alias',
        "plugins.deny.1",
        "plugins.deny[0]",
        " plugins . deny ",
    ],
)
def test_config_get_finds_the_same_value(tmp_path: Path, path: str) -> None:
    (tmp_path / "openclaw.json").write_text(CONFIG, encoding="utf-8")
    run = subprocess.run(
        [str(node_process.node()), str(node_process.openclaw() / "openclaw.mjs"), "config", "get", path, "--json"],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "OPENCLAW_STATE_DIR": str(tmp_path),
            "OPENCLAW_CONFIG_READONLY": "1",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    document = _json5.parse(CONFIG)
    node = document.find(_config_path.resolve(_config_path.parse(path), document.value))
    assert node is not None
    assert json.loads(run.stdout) == node.value
