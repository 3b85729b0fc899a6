# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of any shape: the plugin always registers, and takes nothing that its schema refuses."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openclaw_under_test import PLUGIN_SOURCE, required_environment

pytestmark = pytest.mark.openclaw

SCHEMA = json.loads((PLUGIN_SOURCE / "openclaw.plugin.json").read_text())["configSchema"]
PROGRAM = str(Path(__file__).resolve().parent / "register_all.mjs")

_TEXTS = st.one_of(
    st.sampled_from(["127.0.0.1", "::1", "localhost", "0.0.0.0", "http://x", "a b", "claude-opus-4.6", "PATH", "bunx"]),
    st.text(max_size=12),
)
_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 700_000) | st.floats(allow_nan=False, allow_infinity=False) | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=5,
)
_CONFIGS = st.one_of(
    _ANYTHING,
    st.dictionaries(
        st.sampled_from([*SCHEMA["properties"], "bogus", "__proto__", "constructor"]), _ANYTHING, max_size=6
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "host": _TEXTS,
            "port": st.integers(-1, 70_000),
            "models": st.lists(_TEXTS, max_size=3),
            "command": st.lists(_TEXTS, max_size=3),
            "passEnvironment": st.lists(_TEXTS, max_size=3),
            "autoStart": st.booleans(),
            "restartDelayMs": st.integers(0, 700_000),
        },
    ),
)


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(_CONFIGS, min_size=60, max_size=80))
def test_no_settings_break_the_plugin(configs: list[Any]) -> None:
    completed = subprocess.run(
        [required_environment("FAILCLOSED_NODE"), PROGRAM],
        input=json.dumps(configs),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    validator = jsonschema.Draft7Validator(SCHEMA)
    for config, result in zip(configs, json.loads(completed.stdout)):
        assert (result["registered"], result["usable"]) == (2, True)
        accepted = config is None or validator.is_valid(config)
        assert accepted or result["problems"] > 0, config
