# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast editing is, as ratios within one run on one machine.

Run: PYTHONPATH=.collections python tests/benchmarks/config_edit.py [--file FILE]
Needs the PyPI package json5 as the yardstick. FILE is any large JSON5 document, for instance what
`openclaw config schema` prints; without it, a made one of 2.4 MB. Exit status 1 when parse and
edit together are not at least 10 times as fast as the yardstick's parsing alone.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.failclosed.openclaw.plugins.module_utils import _json5

REQUIRED_RATIO = 10
MADE_SIZE = 2_400_000


def made_document() -> str:
    """A config-shaped document with comments and the spellings that only JSON5 has."""
    entry = """    // agent number %(n)d
    "agent-%(n)d": {
      name: 'Agent %(n)d', /* shown to people */
      model: { primary: "anthropic-max-proxy/claude-opus-4.6", fallbacks: [] },
      skills: ["one", "two", 'three'], limits: { tokens: 0x2000, share: .5 },
    },
"""
    parts = ["{\n  gateway: { mode: 'local', port: 18789 },\n  entries: {\n"]
    count = MADE_SIZE // len(entry % {"n": 10_000})
    parts.extend(entry % {"n": number} for number in range(count))
    parts.append("  },\n}\n")
    return "".join(parts)


def edit_somewhere(text: str) -> str:
    """Change, add and remove: two members of the root, and one of the largest object in it."""
    value = _json5.loads(text)
    objects = [key for key, child in value.items() if isinstance(child, dict)]
    largest = max(objects, key=lambda key: len(json.dumps(value[key])))
    removed = list(value[largest])[len(value[largest]) // 2]
    return _json5.merge_patch(text, {"benchmark": {"a": [1]}, largest: {removed: None, "benchmark": 1}})


def seconds(action: Callable[[], Any], rounds: int) -> float:
    """The best of some rounds, in processor time: what else the machine does shall not count."""
    best = float("inf")
    for _round in range(rounds):
        gc.collect()
        start = time.process_time()
        action()
        best = min(best, time.process_time() - start)
    return best


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--file", type=Path)
    chosen = arguments.parse_args().file
    text = _json5.decode(chosen.read_bytes()) if chosen else made_document()

    import json5

    parse = seconds(lambda: _json5.loads(text), 3)
    # edit_somewhere parses once more to choose what to edit: that is the "parse" of the claim.
    both = seconds(lambda: edit_somewhere(text), 3)
    no_change = seconds(lambda: _json5.merge_patch(text, {}), 3)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    yardstick = seconds(lambda: json5.loads(text), 1)
    assert json5.loads("{a: [1]}") == _json5.loads("{a: [1]}")

    print(f"document: {len(text.encode()) / 1e6:.2f} MB, peak memory with our code alone: {memory:.0f} MiB")
    print(f"yardstick: json5 {json5.__version__} parses it in {yardstick:.2f} s")
    for name, spent in (("parse", parse), ("no-op patch", no_change), ("parse + edit", both)):
        print(f"{name:>14}: {spent:.3f} s, {yardstick / spent:.0f} times as fast as the yardstick's parse")
    return 0 if yardstick / both >= REQUIRED_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
