# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules cost on a host that is already right, as multiples of an empty Ansible module.

Run: python tests/benchmarks/no_op.py [--rounds N]
They are called in turn by one playbook on this machine, through Ansible's own machinery; then the audit of ten hosts
at once in turn with one ping of ten hosts, over local connections. Exit status 1 when a lower quartile is more than the
allowed multiple of its yardstick. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

ALLOWED_RATIOS = {"config": 1.3, "audit": 2.0}
ALLOWED_FLEET_RATIO = 3.0
FLEET = 10
COLLECTIONS = Path(__file__).resolve().parents[2] / ".collections"

EMPTY_MODULE = """\
#!/usr/bin/python
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule(argument_spec={}, supports_check_mode=True)
module.exit_json(changed=False)
"""
CALLBACK = """\
import time
from ansible.plugins.callback import CallbackBase
class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "moments"
    def v2_runner_on_ok(self, result):
        print("MOMENT", result.task_name, result.result["changed"], time.perf_counter())
"""


def configuration() -> str:
    """A hand-written file of about 20 KB."""
    agents = "".join(
        f"""
      // agent number {number}
      "agent-{number}": {{ name: 'Agent {number}', workspace: "/home/someone/{number}", skills: ["one", 'two'] }},"""
        for number in range(160)
    )
    return (
        '{ meta: {}, gateway: { mode: "local", bind: "loopback" },\n'
        f'  agents: {{ ownership: "explicit", entries: {{{agents}\n  }} }},\n}}\n'
    )


def environment(root: Path) -> dict[str, str]:
    """What ansible-playbook needs to find the collection and what is made for this measurement."""
    return {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        "ANSIBLE_LIBRARY": str(root / "library"),
        "ANSIBLE_CALLBACK_PLUGINS": str(root / "callbacks"),
        "ANSIBLE_CALLBACKS_ENABLED": "moments",
        "ANSIBLE_PIPELINING": "true",
        "ANSIBLE_FORKS": str(FLEET),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
    }


def play(root: Path, hosts: str, tasks: list[dict[str, Any]], *arguments: str) -> str:
    """Run a play and return its output; ends the program when it fails."""
    playbook = root / "play.json"
    playbook.write_text(json.dumps([{"hosts": hosts, "gather_facts": False, "tasks": tasks}]))
    command = [str(Path(sys.executable).with_name("ansible-playbook")), str(playbook), *arguments]
    done = subprocess.run(command, env=environment(root), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return done.stdout


def prepare(root: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The files of a host, and the options of both modules."""
    (root / "library").mkdir()
    (root / "library" / "empty.py").write_text(EMPTY_MODULE)
    (root / "callbacks").mkdir()
    (root / "callbacks" / "moments.py").write_text(CALLBACK)
    path = root / "openclaw.json"
    path.write_text(configuration())
    path.chmod(0o600)
    config: dict[str, Any] = {
        "path": str(path),
        "cache_dir": str(root / "cache"),
        "patch": {"gateway": {"mode": "local"}},
    }
    return config, {"state_dir": str(root)}


def moments(root: Path, rounds: int, config: dict[str, Any], audit: dict[str, Any]) -> dict[str, list[float]]:
    """Seconds of each call, by the name of its task."""
    calls = (
        {"name": "empty", "empty": {}},
        {"name": "config", "failclosed.openclaw.openclaw_config": config},
        {"name": "audit", "failclosed.openclaw.openclaw_audit": audit},
    )
    # The first two rounds only warm the caches of Ansible and of the modules.
    tasks = [task for _round in range(rounds + 2) for task in calls]
    seen = [line.split() for line in play(root, "localhost", tasks).splitlines() if line.startswith("MOMENT")]
    if len(seen) != len(tasks) or any(changed != "False" for _mark, _name, changed, _time in seen):
        sys.exit(f"expected {len(tasks)} calls without a change, saw {seen}")
    found: dict[str, list[float]] = {str(call["name"]): [] for call in calls}
    for before, after in list(pairwise(seen))[2 * len(calls) - 1 :]:
        found[after[1]].append(float(after[3]) - float(before[3]))
    return found


def fleet(root: Path, rounds: int, audit: dict[str, Any]) -> dict[str, list[float]]:
    """Seconds of a whole run with ten hosts, for one ping and for one audit."""
    inventory = root / "inventory.json"
    hosts = {f"host{number}": {"ansible_connection": "local"} for number in range(FLEET)}
    inventory.write_text(json.dumps({"all": {"hosts": hosts}}))
    tasks: dict[str, dict[str, Any]] = {
        "ping": {"ansible.builtin.ping": {}},
        "audit": {"failclosed.openclaw.openclaw_audit": audit},
    }
    found: dict[str, list[float]] = {name: [] for name in tasks}
    for _round in range(rounds):
        for name, task in (
            ("ping", {"ansible.builtin.ping": {}}),
            ("audit", {"failclosed.openclaw.openclaw_audit": audit}),
        ):
            started = time.perf_counter()
            play(root, "all", [task], "--inventory", str(inventory))
            found[name].append(time.perf_counter() - started)
    return found


def quartiles(found: dict[str, list[float]]) -> dict[str, float]:
    """The lower quartile of each."""
    return {name: sorted(times)[len(times) // 4] for name, times in found.items()}


def main() -> int:
    """Print the times and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    worst = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        config, audit = prepare(root)
        single = quartiles(moments(root, rounds, config, audit))
        many = quartiles(fleet(root, max(3, rounds // 6), audit))
    print(f"empty module {single['empty']:.3f} s")
    for name, allowed in ALLOWED_RATIOS.items():
        ratio = single[name] / single["empty"]
        worst += ratio > allowed
        print(f"openclaw_{name} without a change {single[name]:.3f} s, ratio {ratio:.2f}, allowed {allowed}")
    ratio = many["audit"] / many["ping"]
    worst += ratio > ALLOWED_FLEET_RATIO
    print(f"{FLEET} hosts: one ping {many['ping']:.2f} s, one audit {many['audit']:.2f} s", end=", ")
    print(f"ratio {ratio:.2f}, allowed {ALLOWED_FLEET_RATIO}")
    return 1 if worst else 0


if __name__ == "__main__":
    sys.exit(main())
