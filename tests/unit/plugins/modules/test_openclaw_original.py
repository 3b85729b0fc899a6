# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible_collections.failclosed.openclaw.plugins.modules import openclaw_original

DIRECT = "anthropic/claude-opus-5"


def config(defaults: dict[str, Any], entries: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"agents": {"defaults": defaults, **({"entries": entries} if entries else {})}}


def test_what_is_gone_comes_back_and_what_stands_stays() -> None:
    before = config(
        {"model": {"primary": DIRECT, "fallbacks": ["a/b"]}, "models": {DIRECT: {"alias": "opus"}}, "workspace": "/x"},
        {"ops": {"model": DIRECT}, "gone": {"model": DIRECT}},
    )
    now = config({"workspace": "/y", "models": {"c/d": {"alias": "mine"}}}, {"ops": {"model": "a/b"}})
    assert openclaw_original.restoration(before, now) == {
        "agents": {
            "defaults": {
                "model": {"primary": DIRECT, "fallbacks": ["a/b"]},
                "models": {DIRECT: {"alias": "opus"}},
            }
        }
    }


def test_nothing_is_put_back_where_another_default_stands() -> None:
    assert openclaw_original.restoration(config({"model": DIRECT}), config({"model": "a/b"})) == {}


def test_what_could_be_a_secret_is_not_returned() -> None:
    for value in ("canary with spaces", "x" * 200, {"apiKey": "canary!"}):
        assert openclaw_original.restoration(config({"model": value}), config({})) == {}


def test_the_sentence_says_which_model_remains() -> None:
    patch = config({"model": {"primary": DIRECT}})
    assert f"{DIRECT} again" in openclaw_original.summarize("/b/1", patch, DIRECT)
    assert openclaw_original.summarize("", {}, "a/b") == "The agents' default model is a/b (agents.defaults.model)."
    assert "no copy from before is left" in openclaw_original.summarize("", {}, "")
