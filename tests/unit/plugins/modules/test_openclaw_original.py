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
    assert openclaw_original.restoration(before, now, {}) == {
        "agents": {
            "defaults": {
                "model": {"primary": DIRECT, "fallbacks": ["a/b"]},
                "models": {DIRECT: {"alias": "opus"}},
            }
        }
    }


def test_nothing_is_put_back_where_another_default_stands() -> None:
    assert openclaw_original.restoration(config({"model": DIRECT}), config({"model": "a/b"}), {}) == {}


def test_what_could_be_a_secret_is_not_returned() -> None:
    for value in ("canary with spaces", "x" * 200, {"apiKey": "canary!"}):
        assert openclaw_original.restoration(config({"model": value}), config({}), {}) == {}


def test_the_sentence_says_which_model_remains() -> None:
    patch = config({"model": {"primary": DIRECT}})
    assert f"{DIRECT} again" in openclaw_original.summarize("/b/1", patch, DIRECT)
    assert openclaw_original.summarize("", {}, "a/b") == "The agents' default model is a/b (agents.defaults.model)."
    assert "no copy from before is left" in openclaw_original.summarize("", {}, "")


PROVIDER = "anthropic-max-proxy"
THEIRS = config({"model": {"primary": DIRECT}})
ROUTED = {"models": {"providers": {PROVIDER: {}}}, **config({"model": {"primary": f"{PROVIDER}/a"}})}
HALF = {"plugins": {"allow": [PROVIDER]}, **config({})}


def chosen(now: Any, *newest_first: Any) -> Any:
    copies = [(str(index), value) for index, value in enumerate(newest_first)]
    return openclaw_original.original(copies, now, PROVIDER)[1]


def test_a_copy_from_the_middle_of_taking_the_provider_out_is_not_from_before() -> None:
    # Their plugins.allow was edited after the provider had gone.
    assert chosen(config({}), HALF, ROUTED, THEIRS) == THEIRS
    # Once more, after a run that failed there.
    assert chosen(config({}), HALF, HALF, ROUTED, ROUTED, THEIRS) == THEIRS


def test_the_copy_is_from_before_the_provider_was_last_written() -> None:
    second = config({"model": {"primary": "a/b"}})
    assert chosen(config({}), HALF, ROUTED, second, HALF, ROUTED, THEIRS) == second
    # Predicted only, so that no copy with the provider was made yet.
    assert chosen(ROUTED, second, HALF, ROUTED, THEIRS) == second


def test_without_a_copy_from_before_there_is_none() -> None:
    assert chosen(config({})) == {}
    assert chosen(config({}), HALF, ROUTED) == {}
    assert chosen(ROUTED, ROUTED) == {}
    assert chosen(config({}), THEIRS) == THEIRS


def test_what_was_declared_gives_way_and_what_somebody_changed_since_stays() -> None:
    ours = config({"model": {"primary": "p/m", "fallbacks": []}, "pdfModel": {"primary": "p/m"}})
    before = config({"model": {"primary": DIRECT}, "pdfModel": DIRECT})
    now = config({"model": {"primary": "p/m", "fallbacks": ["x/y"]}, "pdfModel": {"primary": "p/m"}})
    assert openclaw_original.restoration(before, now, ours) == config(
        {"model": {"primary": DIRECT}, "pdfModel": DIRECT}
    )
    changed = config({"model": {"primary": "x/y", "fallbacks": []}})
    assert openclaw_original.restoration(config({"model": {"primary": DIRECT}}), changed, ours) == {}
