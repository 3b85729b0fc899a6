# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Start the drill on a disposable host, kill everything that holds it, and see that the host helps itself.

Usage: drill_killed.py INVENTORY SSH_CONFIG HOST

Killed are the controller and, on the host, the module, both without a chance to clean up, while the proxy is stopped.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESTORE_SECONDS = 20
# On a busy machine a proxy may need long to start.
START_SECONDS = 400
VARIABLES = {
    "openclaw_proxy_upstream_url": "http://simulator:8000",
    "openclaw_proxy_upstream_api_key": "sk-ant-simulator-000000000000",
    "openclaw_verify_drill_restore_seconds": RESTORE_SECONDS,
}

# Runs on the host, where nothing else delays it.
KILL_MODULE = r"""
import os, signal, subprocess, sys, time

def state():
    command = ["systemctl", "show", "--value", "--property=ActiveState", "openclaw-proxy.service"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

deadline = time.monotonic() + 240
while state() != "inactive":
    if time.monotonic() > deadline:
        sys.exit("the proxy was not stopped")
    time.sleep(0.02)
killed = 0
for name in os.listdir("/proc"):
    if name.isdigit() and int(name) != os.getpid():
        try:
            command = open(f"/proc/{name}/cmdline", "rb").read()
        except OSError:
            continue
        # A module comes through the standard input of an interpreter without arguments.
        if command == b"/usr/bin/python3\0":
            os.kill(int(name), signal.SIGKILL)
            killed += 1
time.sleep(1)
print(killed, state())
"""


def ssh(config: str, host: str, *command: str, data: str = "") -> str:
    return subprocess.run(
        ["ssh", "-F", config, host, *command], input=data, check=True, capture_output=True, text=True, timeout=300
    ).stdout.strip()


def main(arguments: list[str]) -> int:
    inventory, config, host = arguments
    playbook = Path(sys.executable).with_name("ansible-playbook")
    controller = subprocess.Popen(
        [
            str(playbook),
            "-i",
            inventory,
            "--limit",
            host,
            "-e",
            json.dumps(VARIABLES),
            str(ROOT / "playbooks" / "drill.yml"),
        ],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    began = time.monotonic()
    killed, state, problem = "0", "unknown", ""
    try:
        killed, state = ssh(config, host, "python3", "-", data=KILL_MODULE).split()
    except subprocess.CalledProcessError as error:
        problem = str(error.stderr)
    finally:
        stopped = time.monotonic()
        os.killpg(controller.pid, signal.SIGKILL)
        output, _nothing = controller.communicate()
    print(
        f"after {stopped - began:.0f} s the proxy was stopped; killed: controller, and {killed} process(es) on the host"
    )
    timer = ssh(
        config,
        host,
        "systemctl",
        "show",
        "--value",
        "--property=ActiveState",
        "failclosed-restore-openclaw-proxy.timer",
    )
    if int(killed) == 0 or state != "inactive" or timer != "active":
        print(f"killed {killed}, the proxy is {state}, the timer {timer} {problem}\n{output}")
        return 1
    while time.monotonic() < stopped + RESTORE_SECONDS + START_SECONDS:
        state = ssh(config, host, "systemctl", "show", "--value", "--property=ActiveState", "openclaw-proxy.service")
        if state == "active":
            print(f"{time.monotonic() - stopped:.0f} s later the proxy was running again, started by the timer")
            return 0
        time.sleep(0.5)
    print(f"the proxy did not come back: {state}")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
