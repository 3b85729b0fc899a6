# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What openclaw_config costs on a file that is already right, as a multiple of an empty Ansible module.

Run: python tests/benchmarks/config_no_op.py [--rounds N]
Both are called in turn by one playbook on this machine, through Ansible's own machinery. Exit status 1 when the
lower quartile of one is more than 1.3 times that of the other. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

ALLOWED_RATIO = 1.3
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


def moments(root: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds of each call, by the name of its task."""
    (root / "library").mkdir()
    (root / "library" / "empty.py").write_text(EMPTY_MODULE)
    (root / "callbacks").mkdir()
    (root / "callbacks" / "moments.py").write_text(CALLBACK)
    path = root / "openclaw.json"
    path.write_text(configuration())
    path.chmod(0o600)
    options: dict[str, Any] = {
        "path": str(path),
        "cache_dir": str(root / "cache"),
        "patch": {"gateway": {"mode": "local"}},
    }
    # The first two calls only warm the caches of Ansible and of the module.
    tasks = [
        task
        for _round in range(rounds + 2)
        for task in (
            {"name": "empty", "empty": {}},
            {"name": "config", "failclosed.openclaw.openclaw_config": options},
        )
    ]
    playbook = root / "play.json"
    playbook.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        "ANSIBLE_LIBRARY": str(root / "library"),
        "ANSIBLE_CALLBACK_PLUGINS": str(root / "callbacks"),
        "ANSIBLE_CALLBACKS_ENABLED": "moments",
        "ANSIBLE_PIPELINING": "true",
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
    }
    command = [str(Path(sys.executable).with_name("ansible-playbook")), str(playbook)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seen = [line.split() for line in done.stdout.splitlines() if line.startswith("MOMENT")]
    if done.returncode or len(seen) != len(tasks) or any(changed != "False" for _mark, _name, changed, _time in seen):
        sys.exit(done.stdout + done.stderr)
    found: dict[str, list[float]] = {"empty": [], "config": []}
    for before, after in list(pairwise(seen))[3:]:
        found[after[1]].append(float(after[3]) - float(before[3]))
    return found


def main() -> int:
    """Print the times and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        found = moments(Path(folder), rounds)
    quartile = {name: sorted(times)[len(times) // 4] for name, times in found.items()}
    ratio = quartile["config"] / quartile["empty"]
    print(f"empty module {quartile['empty']:.3f} s, openclaw_config without a change {quartile['config']:.3f} s")
    print(f"ratio {ratio:.2f}, allowed {ALLOWED_RATIO}")
    return 0 if ratio <= ALLOWED_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
