# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""LiteLLM takes requests without a key only where somebody has said so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

TEMPLATE = Path(__file__).resolve().parents[3] / "roles/openclaw_proxy/templates/litellm.yaml.j2"


@pytest.mark.parametrize(
    ("uses_key", "expected"),
    [
        (True, {"master_key": "os.environ/LITELLM_MASTER_KEY"}),
        (False, {"dangerously_permit_weak_or_unset_master_key": True}),
    ],
)
def test_without_a_key_it_has_to_be_told_to_start(uses_key: bool, expected: dict[str, Any]) -> None:
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined, autoescape=False)
    environment.filters["to_json"] = json.dumps
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        openclaw_proxy_model_map={"claude-opus-4.6": "claude-opus-4-6"},
        openclaw_proxy_upstream_url="",
        openclaw_proxy_uses_inbound_key=uses_key,
    )
    settings = yaml.safe_load(text)["general_settings"]
    named = {name: value for name, value in settings.items() if "master_key" in name}
    assert named == expected
