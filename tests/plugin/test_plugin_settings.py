# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of any shape: the plugin always registers, and takes nothing that its schema refuses; nor does OpenClaw."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openclaw_under_test import PLUGIN_ID, PLUGIN_SOURCE, OpenClaw, required_environment

pytestmark = pytest.mark.openclaw

SCHEMA = json.loads((PLUGIN_SOURCE / "openclaw.plugin.json").read_text())["configSchema"]
REGISTER_ALL = str(Path(__file__).resolve().with_name("register_all.mjs"))
START_ALL = str(Path(__file__).resolve().with_name("start_all.mjs"))

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


def answers_of(program: str, configs: list[Any]) -> list[Any]:
    completed = subprocess.run(
        [required_environment("FAILCLOSED_NODE"), program],
        input=json.dumps(configs),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    answers = json.loads(completed.stdout)
    assert len(answers) == len(configs)
    return answers


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(_CONFIGS, min_size=60, max_size=80))
def test_no_settings_break_the_plugin(configs: list[Any]) -> None:
    results = answers_of(REGISTER_ALL, configs)
    validator = jsonschema.Draft7Validator(SCHEMA)
    for config, result in zip(configs, results):
        assert (result["registered"], result["usable"]) == (2, True)
        accepted = config is None or validator.is_valid(config)
        assert accepted or result["problems"] > 0, config


# The schema takes these; that they are no address is for the plugin to say.
HOSTS_THAT_ARE_NONE = ("0.0.0.0", "::", "999.1.1.1", "1.2", "a..b", "-a", "a:b:c", "a" * 254)
VALID = {
    "host": ("127.0.0.1", "::1", "localhost", "proxy.example", *HOSTS_THAT_ARE_NONE),
    "port": (1, 3456, 65535, 3456.0),
    "models": (["claude-opus-4.6"], ["a/b:c", "A_b"]),
    "passEnvironment": ([], ["PATH", "_x1"]),
    "restartDelayMs": (100, 600_000),
    "maxRestarts": (0, 1000),
    "stopTimeoutMs": (100, 60_000),
    "autoRestart": (True, False),
}
INVALID = {
    "host": ("", "http://127.0.0.1", "[::1]", "a b", "fe80::1%eth0", 1, None, ["localhost"]),
    "port": (0, -1, 65536, 3456.5, "3456", True, None),
    "models": ([], ["a", "a"], ["claude opus"], [""], "claude", [1]),
    "command": ([], [""], "bunx", [1]),
    "passEnvironment": (["1a"], ["A=b"], ["A", "A"], {"A": "b"}),
    "restartDelayMs": (99, 600_001, "3000"),
    "maxRestarts": (-1, 1001),
    "stopTimeoutMs": (99, 60_001),
    "autoStart": ("yes", 1, None),
    "bogus": (1,),
    "constructor": ({},),
}


def draw_configs() -> list[dict[str, Any]]:
    """Each value of VALID once, then configurations with one setting of INVALID among valid ones."""
    draw = random.Random(20261126)
    pairs = [(name, value) for name, values in VALID.items() for value in values]
    draw.shuffle(pairs)
    configs: list[dict[str, Any]] = []
    for name, value in pairs:
        if not configs or name in configs[-1] or len(configs[-1]) > 4:
            configs.append({"command": ["/bin/true"]})
        configs[-1][name] = value
    for name, values in INVALID.items():
        for value in draw.sample(values, min(2, len(values))):
            valid = {other: draw.choice(choices) for other, choices in VALID.items() if draw.random() < 0.3}
            configs.append({"command": ["/bin/true"], **valid, name: value})
    return configs


@pytest.mark.long
def test_openclaw_and_the_plugin_judge_drawn_settings_alike(openclaw: OpenClaw) -> None:
    """OpenClaw refuses with the setting's name what the schema refuses; what it accepts, the plugin starts or names."""
    configs = draw_configs()
    wholes = [{"plugins": {"entries": {PLUGIN_ID: {"enabled": True, "config": config}}}} for config in configs]
    validator = jsonschema.Draft7Validator(SCHEMA)
    where = f"plugins.entries.{PLUGIN_ID}.config"
    accepted = refused_at_start = 0
    for config, problem in zip(configs, answers_of(START_ALL, wholes)):
        openclaw.write_config(plugin_config=config)
        scratch = openclaw.config_path.rename(openclaw.home / "scratch.json")
        openclaw.environment["OPENCLAW_CONFIG_PATH"] = str(scratch)
        completed = openclaw.run("config", "validate", "--json")
        told = json.loads(completed.stdout)
        assert "    at " not in completed.stderr, completed.stderr
        wrong = [error.path[0] if error.path else error.message for error in validator.iter_errors(config)]
        assert (told["valid"], completed.returncode) == (not wrong, bool(wrong)), (config, told)
        if wrong:
            assert len(wrong) == 1, config
            (name,) = (name for name in {**config} if name in str(wrong[0]))
            assert [issue["path"].startswith(where) for issue in told["issues"]] == [True], (config, told)
            assert name in told["issues"][0]["path"] + told["issues"][0]["message"], (config, told)
            assert problem is not None and f"{where}.{name}: " in problem, (config, problem)
            continue
        accepted += 1
        is_no_address = config.get("host") in HOSTS_THAT_ARE_NONE
        refused_at_start += is_no_address
        assert (problem is not None) == is_no_address, (config, problem)
        assert problem is None or problem.startswith(f"{PLUGIN_ID}: the proxy was not started: {where}.host: "), problem
    assert refused_at_start == len(HOSTS_THAT_ARE_NONE)
    assert accepted > refused_at_start and len(configs) - accepted > 10
