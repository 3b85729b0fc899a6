# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What site.yml costs on real hosts, as ratios within one run on one machine.

Run as root: python tests/benchmarks/converge.py [--hosts 1,10] [--rounds 5] [--json FILE]
For each number of hosts it starts that many bare disposable hosts and the simulator, and measures a cold run, then in
turn the floor (a play with one ping) and a run that changes nothing. It removes its hosts, whatever happens.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LOGS = ROOT / ".cache" / "logs"
SET = "benchmark"
LOCK = Path("/run/failclosed-benchmark.lock")
SERVICES = ("openclaw-gateway", "openclaw-proxy")
# Gateway and proxy are content with 1.3 GiB; the proof runs the command line of OpenClaw beside them.
MEMORY_PER_HOST = 1600 * 2**20
DISK_PER_HOST = 2 * 2**30
# The simulator, the controller with its forks, and the base image.
MEMORY_BESIDES = 1 * 2**30
DISK_BESIDES = 1 * 2**30
TIMEOUT_SECONDS = 3600
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# A virtual environment need not be activated: its ansible-playbook lies beside its Python.
SEARCH_PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"

# Everything at once, so that the number of hosts is what is measured and not the number of waves. Two processors need
# long for ten gateways that start together, and a benchmark is to measure that rather than to fail.
VARIABLES = {
    "openclaw_rollout_serial": "100%",
    "openclaw_gateway_ready_timeout": 1200,
    "openclaw_proxy_start_timeout": 1200,
    "openclaw_verify_timeout": 1200,
}

FLOOR = [{"name": "Floor", "hosts": "openclaw", "gather_facts": False, "tasks": [{"ansible.builtin.ping": {}}]}]

# A result without `invocation` comes from the controller alone; one that no_log censors cannot say, and counts.
CALLBACK = """\
import json, os, time
from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "measured"

    def __init__(self):
        super().__init__()
        self.started = {}
        self.calls = []

    def v2_runner_on_start(self, host, task):
        self.started[host.get_name()] = time.perf_counter()

    def v2_runner_on_ok(self, result):
        host = result.host.get_name()
        if "invocation" in result.result or "censored" in result.result:
            self.calls.append([host, result.task_name, time.perf_counter() - self.started[host]])

    def v2_playbook_on_stats(self, stats):
        found = {"calls": self.calls, "hosts": {host: stats.summarize(host) for host in stats.processed}}
        with open(os.environ["MEASURED_FILE"], "w") as file:
            json.dump(found, file)
"""

# A process's peak is VmHWM. The sum is a little too high: processes share pages, and need not peak together.
MEMORY_PROGRAM = """\
import glob, json, re, subprocess, sys
found = {}
for service in sys.argv[1:]:
    sums = {"VmRSS": 0, "VmHWM": 0}
    for status in glob.glob("/proc/[0-9]*/status"):
        try:
            with open(status.replace("status", "cgroup")) as file:
                if f"/system.slice/{service}.service" not in file.read():
                    continue
            with open(status) as file:
                text = file.read()
        except (FileNotFoundError, ProcessLookupError):
            continue
        for name in sums:
            match = re.search(name + r":\\s+([0-9]+) kB", text)
            sums[name] += int(match.group(1)) * 1024 if match else 0
    shown = subprocess.run(["systemctl", "show", "--property=MemoryCurrent", "--value", service],
                           capture_output=True, text=True, check=True).stdout.strip()
    found[service] = {"resident": sums["VmRSS"], "resident_peak": sums["VmHWM"],
                      "cgroup": int(shown) if shown.isdigit() and int(shown) < 2**63 else None}
print(json.dumps(found))
"""


class BenchmarkError(Exception):
    """The benchmark cannot run or its run is worth nothing; the message says why."""


@dataclass(frozen=True)
class Run:
    """One ansible-playbook: seconds of wall clock and of processor, bytes of its largest process."""

    seconds: float
    controller_cpu_seconds: float
    controller_peak: int
    calls: list[tuple[str, str, float]] = field(repr=False)
    hosts: dict[str, dict[str, int]] = field(repr=False)

    def calls_per_host(self) -> float:
        """How many modules ran on a host."""
        return len(self.calls) / len({host for host, _task, _seconds in self.calls})


@dataclass(frozen=True)
class Measured:
    """What was measured with one number of hosts."""

    cold: Run
    floor: list[Run]
    no_op: list[Run]
    memory: dict[str, dict[str, dict[str, int | None]]]  # by host, service, kind; bytes

    def no_op_over_floor(self) -> float:
        """Floor and no-op run in turn, so that a load that comes and goes meets both of a round."""
        return statistics.median(
            idle.seconds / least.seconds for idle, least in zip(self.no_op, self.floor, strict=True)
        )

    def service_memory(self, service: str, kind: str) -> int | None:
        """Bytes on the host where the service takes most of it."""
        values = [services[service][kind] for services in self.memory.values()]
        known = [value for value in values if value is not None]
        return max(known) if len(known) == len(values) else None


def seconds(runs: list[Run]) -> float:
    """The median of some runs."""
    return statistics.median(run.seconds for run in runs)


def progress(text: str) -> None:
    """Say what happens, apart from the results."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def environment(hosts: int) -> dict[str, str]:
    """The settings of this checkout, whatever the caller's own are."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    return {
        **kept,
        "PATH": SEARCH_PATH,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_FORKS": str(max(20, hosts)),
        "LC_ALL": "C.UTF-8",
    }


def descendants(process: int) -> set[int]:
    """The process and everything that it has started and that has not been given up since."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found = {process}
    waiting = [process]
    while waiting:
        for child in children.get(waiting.pop(), []):
            found.add(child)
            waiting.append(child)
    return found


def end(process: subprocess.Popen[bytes]) -> None:
    """End a playbook and wait for what it runs: a host that is just being started would outlive its removal."""
    left = descendants(process.pid)
    process.terminate()
    process.wait()
    until = time.monotonic() + 180
    while left and time.monotonic() < until:
        time.sleep(0.2)
        left = {pid for pid in left if Path(f"/proc/{pid}").exists()}


def run_to_its_end(argv: list[str], variables: dict[str, str], log: Path) -> tuple[int, float, Any]:
    """Return the exit status, the seconds and the resource usage; nothing of it outlives an interrupt.

    :raises BenchmarkError: it did not end in time.
    """
    with log.open("w") as output:
        start = time.perf_counter()
        # A session of its own: Ctrl-C is for this program, which then ends the playbook in its own way.
        process = subprocess.Popen(
            argv, cwd=ROOT, env=variables, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        timer = threading.Timer(TIMEOUT_SECONDS, process.terminate)
        timer.start()
        try:
            _pid, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            end(process)
            raise
        finally:
            timer.cancel()
        spent = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if spent >= TIMEOUT_SECONDS:
        raise BenchmarkError(f"Not ready after {TIMEOUT_SECONDS} s: {' '.join(argv)}\nIts output is in {log}.")
    return process.returncode, spent, usage


def playbook(name: str, arguments: list[str], hosts: int) -> None:
    """Run a playbook that is not measured.

    :raises BenchmarkError: it failed; the message ends with its last lines.
    """
    log = LOGS / f"benchmark-{name}.log"
    status, _spent, _usage = run_to_its_end(["ansible-playbook", *arguments], environment(hosts), log)
    if status:
        raise failure(name, log)


def failure(name: str, log: Path) -> BenchmarkError:
    """What to say of a playbook that failed."""
    last = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
    return BenchmarkError(f"{last}\n\nThe step '{name}' failed; its whole output is in {log}.")


def measure(name: str, arguments: list[str], hosts: int, files: Path) -> Run:
    """Run a playbook and measure it.

    :raises BenchmarkError: it failed, or did not reach all hosts.
    """
    log, result = LOGS / f"benchmark-{name}.log", files / "measured.json"
    result.unlink(missing_ok=True)
    variables = {
        **environment(hosts),
        "ANSIBLE_CALLBACK_PLUGINS": str(files),
        "ANSIBLE_CALLBACKS_ENABLED": "measured",
        "MEASURED_FILE": str(result),
    }
    status, spent, usage = run_to_its_end(["ansible-playbook", *arguments], variables, log)
    if status or not result.exists():
        raise failure(name, log)
    found = json.loads(result.read_text())
    summaries = {host: summary for host, summary in found["hosts"].items() if host != "localhost"}
    if len(summaries) != hosts:
        raise BenchmarkError(f"The step '{name}' reached {len(summaries)} of {hosts} hosts; see {log}.")
    return Run(
        seconds=spent,
        controller_cpu_seconds=usage.ru_utime + usage.ru_stime,
        controller_peak=usage.ru_maxrss * 1024,
        calls=[(host, task, lasted) for host, task, lasted in found["calls"] if host != "localhost"],
        hosts=summaries,
    )


def service_memory(ssh_config: Path, host: str) -> dict[str, dict[str, int | None]]:
    """Bytes by service and kind on one host.

    :raises BenchmarkError: the host does not answer, or a service does not run.
    """
    done = subprocess.run(
        ["ssh", "-F", str(ssh_config), host, "python3", "-", *SERVICES],
        input=MEMORY_PROGRAM, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if done.returncode:
        raise BenchmarkError(f"Cannot read the memory of the services on {host}: {done.stderr.strip()}")
    found: dict[str, dict[str, int | None]] = json.loads(done.stdout)
    for service, kinds in found.items():
        if not kinds["resident"]:
            raise BenchmarkError(f"{service} does not run on {host} after site.yml.")
    return found


@contextlib.contextmanager
def hosts_started(count: int, files: Path) -> Iterator[Path]:
    """Bare hosts and the simulator, for a while; gives the directory of the set."""
    sets = ROOT / ".cache" / "hosts"
    wanted = files / "set.json"
    names = [f"host{number}" for number in range(1, count + 1)]
    hosts: list[dict[str, str]] = [{"name": name, "release": "bookworm"} for name in names]
    hosts.append({"name": "simulator", "release": "bookworm", "type": "simulator"})
    wanted.write_text(json.dumps({"hosts_set": SET, "hosts_list": hosts}))
    chosen = ["-e", f"hosts_set={SET}", "-e", f"hosts_directory={sets}"]
    try:
        playbook("remove", ["tests/hosts/destroy.yml", *chosen], count)
        playbook("create", ["tests/hosts/create.yml", "-e", f"@{wanted}", *chosen], count)
        yield sets / SET
    finally:
        # Whoever interrupts again would leave containers behind.
        handlers = {number: signal.signal(number, signal.SIG_IGN) for number in STOPS}
        progress("removing the hosts")
        try:
            playbook("remove", ["tests/hosts/destroy.yml", *chosen], count)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


def measure_hosts(count: int, rounds: int, files: Path) -> Measured:
    """Everything about one number of hosts."""
    named = f"{count} host{'s' if count > 1 else ''}"
    progress(f"starting {named} and the simulator")
    with hosts_started(count, files) as directory:
        inventory = ["-i", str(directory / "inventory.yml")]
        site = [*inventory, "-e", "@tests/demonstration/variables.yml", "-e", json.dumps(VARIABLES), "site.yml"]
        floor = [*inventory, str(files / "floor.json")]
        progress(f"{named}: the cold run")
        cold = measure("cold", site, count, files)
        progress(f"{named}: cold {cold.seconds:.1f} s")
        floors, no_ops = [], []
        for number in range(rounds + 1):
            floors.append(measure("floor", floor, count, files))
            no_ops.append(measure("no-op", site, count, files))
            changed = {host: summary["changed"] for host, summary in no_ops[-1].hosts.items() if summary["changed"]}
            if changed:
                raise BenchmarkError(f"This is no no-op: it changed {changed}; see {LOGS / 'benchmark-no-op.log'}.")
            which = f"round {number} of {rounds}" if number else "warm-up"
            progress(f"{named}: {which}, floor {floors[-1].seconds:.1f} s, no-op {no_ops[-1].seconds:.1f} s")
        memory = {host: service_memory(directory / "ssh_config", host) for host in cold.hosts}
    # The first round warms the connections, and what Python and Ansible keep on disk.
    return Measured(cold, floors[1:], no_ops[1:], memory)


def shown_bytes(value: int | None) -> str:
    """A size for people."""
    return "" if value is None else f"{value / 2**20:.0f} MiB"


def rows(measured: dict[int, Measured]) -> list[list[str]]:
    """The table: a label, one cell for each number of hosts, and the ratio of the last to the first."""
    all_of_them = list(measured.values())

    def row(label: str, values: list[float], unit: str, digits: int = 1) -> list[str]:
        cells = [f"{value:.{digits}f}{unit}" for value in values]
        ratio = [f"{values[-1] / values[0]:.2f}"] if len(values) > 1 and unit else []
        return [label, *cells, *ratio]

    table = [
        ["", *(f"{count} host{'s' if count > 1 else ''}" for count in measured)],
        row("floor", [seconds(one.floor) for one in all_of_them], " s", 2),
        row("no-op", [seconds(one.no_op) for one in all_of_them], " s", 2),
        row("cold", [one.cold.seconds for one in all_of_them], " s"),
        row("no-op / floor", [one.no_op_over_floor() for one in all_of_them], ""),
        row("cold / no-op", [one.cold.seconds / seconds(one.no_op) for one in all_of_them], ""),
        row("module calls per host, no-op", [one.no_op[-1].calls_per_host() for one in all_of_them], ""),
        row(
            "controller's processor time, no-op",
            [statistics.median(run.controller_cpu_seconds for run in one.no_op) for one in all_of_them],
            " s",
            2,
        ),
        [
            "controller's largest process",
            *(shown_bytes(max(r.controller_peak for r in (o.cold, *o.no_op))) for o in all_of_them),
        ],
    ]
    for service in SERVICES:
        for kind, label in (("resident", "resident"), ("resident_peak", "resident, peak"), ("cgroup", "cgroup")):
            cells = [shown_bytes(one.service_memory(service, kind)) for one in all_of_them]
            if all(cells):
                table.append([f"{service}, {label}", *cells])
    if len(measured) > 1:
        table[0].append(f"{list(measured)[-1]} / {next(iter(measured))}")
    return table


def print_results(measured: dict[int, Measured]) -> None:
    """The table, and where the time of the no-op run goes."""
    table = rows(measured)
    width = max(len(cells[0]) for cells in table)
    print()
    for cells in table:
        print(f"{cells[0]:{width}}" + "".join(f"{cell:>12}" for cell in cells[1:]))
    print("\nSeconds of each module call in the no-op run, median of all hosts and rounds:")
    # The order of the first host's calls is that of the playbook; a task that runs twice is one line with its count.
    first = measured[min(measured)].no_op[0].calls
    only = [task for host, task, _spent in first if host == first[0][0]]
    for task in dict.fromkeys(only):
        cells = []
        for one in measured.values():
            spent = [lasted for run in one.no_op for _host, name, lasted in run.calls if name == task]
            cells.append(f"{statistics.median(spent):>8.2f}" if spent else f"{'':>8}")
        times = f" ({only.count(task)} times)" if only.count(task) > 1 else ""
        print("".join(cells) + f"  {task}{times}")


def figures(measured: dict[int, Measured], load: float) -> dict[str, Any]:
    """Everything that was measured, for programs; seconds and bytes."""
    return {
        "machine": {"processors": os.cpu_count(), "memory": memory_bytes("MemTotal"), "load_average_before": load},
        "hosts": {
            str(count): {
                **asdict(one),
                "ratios": {
                    "no_op_over_floor": one.no_op_over_floor(),
                    "cold_over_no_op": one.cold.seconds / seconds(one.no_op),
                    "module_calls_per_host": one.no_op[-1].calls_per_host(),
                },
            }
            for count, one in measured.items()
        },
    }


def memory_bytes(name: str) -> int:
    """One line of /proc/meminfo in bytes."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise BenchmarkError(f"/proc/meminfo says nothing about {name}.")


def refuse_what_cannot_work(most: int) -> None:
    """:raises BenchmarkError: the machine lacks something; nothing was changed."""
    lacking = []
    if os.geteuid() != 0:
        lacking.append("root: it starts containers with systemd inside")
    for program in ("ansible-playbook", "apt-get", "ssh"):
        if not shutil.which(program, path=SEARCH_PATH):
            lacking.append(f"the program {program}: it is neither beside this Python nor in PATH")
    if memory_bytes("MemAvailable") < most * MEMORY_PER_HOST + MEMORY_BESIDES:
        lacking.append(
            f"memory: {most} hosts need {(most * MEMORY_PER_HOST + MEMORY_BESIDES) / 2**30:.1f} GiB, available are "
            f"{memory_bytes('MemAvailable') / 2**30:.1f} GiB; --hosts takes fewer"
        )
    storage = Path("/var/lib/containers")
    free = shutil.disk_usage(storage if storage.exists() else storage.parent).free
    if free < most * DISK_PER_HOST + DISK_BESIDES:
        lacking.append(
            f"disk: {most} hosts need {(most * DISK_PER_HOST + DISK_BESIDES) / 2**30:.0f} GiB, free in {storage} are "
            f"{free / 2**30:.1f} GiB; --hosts takes fewer"
        )
    if lacking:
        raise BenchmarkError("This machine lacks:\n  " + "\n  ".join(lacking))


def counts(text: str) -> list[int]:
    """Numbers of hosts, the smallest first."""
    try:
        numbers = sorted({int(word) for word in text.split(",")})
    except ValueError:
        numbers = [0]
    if numbers[0] < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a list of numbers from 1 on, such as 1,10")
    return numbers


def interrupted(_number: int, _frame: FrameType | None) -> None:
    """A request to end is an interrupt like Ctrl-C, so that the hosts are removed."""
    raise KeyboardInterrupt


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=counts, default=[1, 10], metavar="N,N", help="numbers of hosts (1,10)")
    parser.add_argument("--rounds", type=int, default=5, help="repetitions of floor and no-op (5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    chosen = parser.parse_args()
    if chosen.rounds < 1:
        parser.error("--rounds needs at least 1")
    for number in STOPS:
        signal.signal(number, interrupted)
    try:
        refuse_what_cannot_work(max(chosen.hosts))
        LOGS.mkdir(parents=True, exist_ok=True)
        with LOCK.open("w") as lock, tempfile.TemporaryDirectory() as folder:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BenchmarkError("Another benchmark runs on this machine, with hosts of the same names.") from None
            files = Path(folder)
            (files / "measured.py").write_text(CALLBACK)
            (files / "floor.json").write_text(json.dumps(FLOOR))
            load = os.getloadavg()[0]
            processors = os.cpu_count() or 1
            if load > processors / 2:
                progress(f"the load is {load:.1f} on {processors} processors: trust the ratios alone, and not far")
            measured = {count: measure_hosts(count, chosen.rounds, files) for count in chosen.hosts}
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    print_results(measured)
    if chosen.json:
        chosen.json.write_text(json.dumps(figures(measured, load), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
