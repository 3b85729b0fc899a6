# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start, wait for and remove the disposable hosts of a set.

``create`` reads the set from standard input::

    {"set": str, "network": str, "wait_seconds": number, "keep_on_failure": bool,
     "hosts": [{"name": str, "image": str, "ipv4": str, "ipv6": str | null, "ports": [number, ...],
                "files": [{"path": str, "mode": octal str, "from": path or "content": str}, ...]}]}

and makes the set be exactly that. Each verb prints one JSON document on success. A ``create``
that fails removes the hosts that it made. Podman's labels are the only record of what exists.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import hashlib
import io
import json
import signal
import socket
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import machine

LABEL_SET = "failclosed.hosts.set"
LABEL_MADE_OF = "failclosed.hosts.made-of"
# With SYS_ADMIN or --privileged, PrivateUsers= and LoadCredential= fail inside the host.
# The second is any machine's root's: without it nobody but the gateway's user could read the gateway's environment.
CAPABILITIES = "NET_ADMIN,SYS_PTRACE"
AT_ONCE = 4
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key.pub"


def container_name(name_of_set: str, host: str) -> str:
    """Return the name of the container of one host."""
    return f"failclosed-{name_of_set}-{host}"


def containers(name_of_set: str) -> dict[str, dict[str, Any]]:
    """Return container name -> podman's listing, for the set's containers in any state."""
    listed = machine.run(
        ["podman", "ps", "--all", "--filter", f"label={LABEL_SET}={name_of_set}",
         "--format", "json"]
    )  # fmt: skip
    return {entry["Names"][0]: entry for entry in json.loads(listed.stdout or "[]")}


def overlay(files: list[dict[str, str]]) -> bytes:
    """Return a tar archive of files that belong to root, the same bytes for the same files."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for file in sorted(files, key=lambda file: file["path"]):
            content = Path(file["from"]).read_bytes() if "from" in file else file["content"].encode()
            entry = tarfile.TarInfo(file["path"].lstrip("/"))
            entry.size = len(content)
            entry.mode = int(file["mode"], 8)
            tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


def made_of(host: dict[str, Any]) -> str:
    """Return a digest of everything that a running host cannot change any more."""
    text = json.dumps([host["image"], host["ipv4"], host["ipv6"], CAPABILITIES])
    return hashlib.sha256(text.encode() + overlay(host["files"])).hexdigest()


def ulimit_options() -> list[str]:
    """Return podman's options for the highest limits that this machine allows."""
    return [option for name, value in machine.ulimits().items() for option in ("--ulimit", f"{name}={value}:{value}")]


def working_runtime(image: str, network: str) -> str:
    """Return the first OCI runtime that really starts a container here.

    :raises machine.MachineError: none does; carries what each of them said.
    """
    complaints = []
    for runtime in machine.runtimes():
        tried = machine.run(
            ["podman", "run", "--rm", "--runtime", runtime, "--network", network,
             *ulimit_options(), "--cap-add", CAPABILITIES, image, "/bin/true"],
            check=False,
        )  # fmt: skip
        if tried.returncode == 0:
            return runtime
        complaints.append(f"{runtime}: {tried.stderr.strip()[-1000:]}")
    raise machine.MachineError(
        "podman cannot start a container with a network on this machine "
        f"({json.dumps(machine.summary())}):\n" + "\n".join(complaints)
    )


def start_new(name_of_set: str, network: str, runtime: str, host: dict[str, Any]) -> None:
    """Create the container of one host, lay its files over the image, and boot it."""
    name = container_name(name_of_set, host["name"])
    addresses = [f"ip={host[family]}" for family in ("ipv4", "ipv6") if host[family]]
    machine.run(
        ["podman", "create", "--name", name, "--hostname", host["name"],
         "--label", f"{LABEL_SET}={name_of_set}", "--label", f"{LABEL_MADE_OF}={made_of(host)}",
         "--runtime", runtime, "--systemd=always", "--cap-add", CAPABILITIES, "--no-hosts",
         "--network", f"{network}:{','.join(addresses)}", *ulimit_options(),
         host["image"], "/sbin/init"],
    )  # fmt: skip
    copied = subprocess.run(
        ["podman", "cp", "-", f"{name}:/"],
        input=overlay(host["files"]), capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    if copied.returncode != 0:
        raise machine.MachineError(f"cannot copy files into {name}: {copied.stderr.decode(errors='replace')}")
    machine.run(["podman", "start", name])


def what_is_wrong(name: str) -> str:
    """Return what a person needs to see of a host that did not come up."""
    questions = (
        ["systemctl", "status", "--no-pager", "--full", "--lines=20", "--state=failed"],
        ["systemctl", "list-jobs", "--no-legend", "--plain"],
        ["journalctl", "--no-pager", "--lines=20", "--output=cat"],
    )
    answers = []
    for question in questions:
        said = machine.run(["podman", "exec", name, *question], check=False)
        answers.append(f"$ {' '.join(question)}\n{(said.stdout + said.stderr).strip()}")
    return "\n".join(answers)


def system_state(name: str) -> str:
    """Return what systemd says of the whole system in a container (systemctl(1))."""
    said = machine.run(["podman", "exec", name, "systemctl", "is-system-running"], check=False)
    return said.stdout.strip() or said.stderr.strip()


def closed_port(host: dict[str, Any]) -> str | None:
    """Return what is wrong with the first port of a host that does not answer."""
    for port in host["ports"]:
        try:
            with socket.create_connection((host["ipv4"], port), timeout=2):
                pass
        except OSError as error:
            return f"no answer on port {port}: {error}"
    return None


def wait_until_up(name: str, host: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Return the state and the ssh host key of one host once it runs and answers.

    :raises machine.MachineError: it is degraded, or not up within ``seconds``.
    """
    started = time.monotonic()
    while True:
        state = system_state(name)
        wrong = closed_port(host) if state == "running" else f"its state is: {state}"
        if wrong is None:
            break
        waited = time.monotonic() - started
        if state == "degraded" or waited > seconds:
            raise machine.MachineError(f"{name} is not up after {waited:.0f} s, {wrong}\n{what_is_wrong(name)}")
        time.sleep(0.3)
    key = machine.run(["podman", "exec", name, "cat", HOST_KEY]).stdout.split()
    return {"state": state, "host_key": " ".join(key[:2])}


def remove(names: list[str]) -> None:
    """Remove containers by name, running or not."""
    if names:
        machine.run(["podman", "rm", "--force", "--time", "0", "--volumes", *names], timeout=300)


def create(wanted: dict[str, Any], started_here: list[str]) -> dict[str, Any]:
    """Make the set be what is wanted, noting in ``started_here`` each container before it is made."""
    name_of_set = wanted["set"]
    hosts = {container_name(name_of_set, host["name"]): host for host in wanted["hosts"]}
    present = containers(name_of_set)
    to_remove = [
        name
        for name, entry in present.items()
        if name not in hosts or entry["Labels"].get(LABEL_MADE_OF) != made_of(hosts[name])
    ]
    remove(to_remove)
    missing = [name for name in hosts if name not in present or name in to_remove]
    stopped = [name for name, entry in present.items() if name not in to_remove and entry["State"] != "running"]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        if missing:
            runtime = working_runtime(hosts[missing[0]]["image"], wanted["network"])
            started_here.extend(missing)
            for task in [
                pool.submit(start_new, name_of_set, wanted["network"], runtime, hosts[name]) for name in missing
            ]:
                task.result()
        for name in stopped:
            machine.run(["podman", "start", name])
        waits = {name: pool.submit(wait_until_up, name, host, wanted["wait_seconds"]) for name, host in hosts.items()}
        states = {hosts[name]["name"]: wait.result() for name, wait in waits.items()}
    return {
        "changed": bool(to_remove or missing or stopped),
        "created": [hosts[name]["name"] for name in missing],
        "removed": to_remove,
        "hosts": states,
    }


def stop_on_signal(number: int, frame: object) -> None:
    """Turn a signal into an exception, so that what was made is removed."""
    raise SystemExit(128 + number)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=["create", "destroy", "list"])
    parser.add_argument("--set", dest="name_of_set", help="for destroy and list")
    parser.add_argument("hosts", nargs="*", help="for destroy; all of the set if none")
    asked = parser.parse_args()
    if asked.verb == "list":
        print(json.dumps({"containers": list(containers(asked.name_of_set))}))
        return 0
    if asked.verb == "destroy":
        try:
            present = containers(asked.name_of_set)
            named = [container_name(asked.name_of_set, host) for host in asked.hosts]
            names = [name for name in present if name in named or not named]
            remove(names)
        except machine.MachineError as error:
            print(error, file=sys.stderr)
            return 1
        print(json.dumps({"changed": bool(names), "removed": names}))
        return 0

    wanted = json.load(sys.stdin)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop_on_signal)
    started_here: list[str] = []
    try:
        print(json.dumps(create(wanted, started_here)))
    except BaseException as error:
        if started_here and not wanted["keep_on_failure"]:
            left = [name for name in containers(wanted["set"]) if name in started_here]
            remove(left)
            print(f"removed again: {', '.join(left)}", file=sys.stderr)
        if not isinstance(error, machine.MachineError):
            raise
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
