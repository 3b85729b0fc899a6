# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

import pytest

from ansible_collections.failclosed.openclaw.plugins.module_utils._release import (
    Releaser,
    Request,
    check_request,
    differing,
    read_lock,
    release_digest,
)
from ansible_collections.failclosed.openclaw.plugins.module_utils._release_install import ReleaseError
from ansible_collections.failclosed.openclaw.plugins.module_utils._release_store import (
    MARKER,
    Store,
    find_removable,
    remove_all,
)
from ansible_collections.failclosed.openclaw.plugins.module_utils._unprivileged import (
    TRANSIENT_UIDS,
    install_user,
    processes_by_uid,
)

IS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not IS_ROOT, reason="becoming another user needs root")

# Stands for node with npm, and for python with venv and pip. It writes down how it was called, does
# what the file 'behaviour' beside it says, and else leaves what the real one would leave.
FAKE = r"""#!/usr/bin/python3
import json, os, sys, time

here = os.environ.get("FAKE") or os.path.dirname(os.path.realpath(sys.argv[0]))
argv = sys.argv[1:]
with open(os.path.join(here, "log", "calls"), "a") as log:
    call = {"argv": sys.argv, "cwd": os.getcwd(), "environment": dict(os.environ), "uid": os.getuid()}
    log.write(json.dumps(call) + "\n")
settings = json.load(open(os.path.join(here, "settings.json")))
if argv[0] in ("-e", "-I"):
    print(json.dumps({"version": settings["version"], "abi": settings["abi"], "base": os.path.realpath(sys.argv[0])}))
    raise SystemExit(0)
if argv[:2] == ["-m", "venv"]:
    place = argv[-1]
    os.makedirs(os.path.join(place, "bin"), exist_ok=True)
    os.symlink(os.path.realpath(sys.argv[0]), os.path.join(place, "bin", "python"))
    if "--without-pip" not in argv:
        os.makedirs(os.path.join(place, "lib", "python3.11", "site-packages", "pip"))
    raise SystemExit(0)
exec(open(os.path.join(here, "behaviour")).read())
"""

INSTALL_NPM = """
for place, entry in json.load(open("package-lock.json"))["packages"].items():
    if place and argv[1] == "ci":
        os.makedirs(place)
        open(os.path.join(place, "package.json"), "w").write(json.dumps({"version": entry["version"]}))
"""

INSTALL_PIP = """
os.makedirs("lib/python3.11/site-packages/thing", exist_ok=True)
open("lib/python3.11/site-packages/thing/program", "w").write("x")
"""


def integrity(content: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()


class Bench:
    """A root directory that every user can reach, a fake node and python, and requests for them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / "opt" / "thing"
        self.fake = root / "fake"
        (self.fake / "log").mkdir(parents=True)
        (self.fake / "log").chmod(0o777)
        self.forget_calls()
        (self.fake / "npm-cli.js").write_text("")
        self.settings(version="24.19.0", abi="137")
        for name in ("node", "python3"):
            (self.fake / name).write_text(FAKE)
            (self.fake / name).chmod(0o755)
        self.behaviour(INSTALL_NPM)

    def settings(self, **values):
        (self.fake / "settings.json").write_text(json.dumps(values))

    def behaviour(self, text):
        (self.fake / "behaviour").write_text(text)

    @property
    def calls(self):
        return [json.loads(line) for line in (self.fake / "log" / "calls").read_text().splitlines()]

    def forget_calls(self):
        # Each program may run as another user, and all append to it.
        (self.fake / "log" / "calls").write_text("")
        (self.fake / "log" / "calls").chmod(0o666)

    def npm(self, version="1.0.0", **options):
        dependencies = {"left": version}
        return Request(
            path=str(self.path),
            manager="npm",
            package_json={"dependencies": dependencies},
            package_lock={
                "lockfileVersion": 3,
                "packages": {
                    "": {"dependencies": dependencies},
                    "node_modules/left": {"version": version, "integrity": integrity(version.encode())},
                },
            },
            **{"node": str(self.fake / "node"), "npm": str(self.fake / "npm-cli.js"), "timeout": 30, **options},
        )

    def pip(self, version="1.0", **options):
        return Request(
            path=str(self.path),
            manager="pip",
            requirements=f"thing=={version} --hash=sha256:{hashlib.sha256(version.encode()).hexdigest()}",
            **{"python": str(self.fake / "python3"), "timeout": 30, "environment": {"FAKE": str(self.fake)}, **options},
        )

    def releaser(self, request):
        return Releaser(request, user=lambda: install_user(str(self.root / "locks")))

    def apply(self, request):
        check_request(request)
        releaser = self.releaser(request)
        return releaser.apply(read_lock(request, releaser.machine))

    def plan(self, request, check_mode=True):
        releaser = self.releaser(request)
        return releaser.plan(read_lock(request, releaser.machine), check_mode=check_mode)

    @property
    def current(self):
        return os.readlink(self.path / "current") if (self.path / "current").is_symlink() else None

    def release(self):
        return self.path / "current"


@pytest.fixture
def bench():
    # Not tmp_path: that is closed to the user that installs.
    root = Path(tempfile.mkdtemp(prefix="locked-release-"))
    root.chmod(0o755)
    old = os.umask(0o022)
    try:
        yield Bench(root)
    finally:
        os.umask(old)
        shutil.rmtree(root)


def everything(path: Path):
    """All that a run could change: names, kinds, modes, owners, link texts and contents."""
    found = {}
    for item in sorted(path.rglob("*")):
        status = item.lstat()
        content = os.readlink(item) if item.is_symlink() else item.read_bytes() if item.is_file() else None
        found[str(item)] = (status.st_mode, status.st_uid, status.st_mtime_ns, content)
    return found


# Installing


def test_npm_is_called_so_and_not_otherwise(bench):
    plan = bench.apply(bench.npm(registry="https://npm.example/x", environment={"https_proxy": "http://p.example:1"}))
    probe, install = bench.calls
    assert probe["argv"][:2] == [str(bench.fake / "node"), "-e"]
    assert install["argv"] == [
        str(bench.fake / "node"),
        str(bench.fake / "npm-cli.js"),
        "ci",
        "--ignore-scripts",
        "--omit=dev",
        "--no-audit",
        "--no-fund",
        "--no-update-notifier",
        "--no-progress",
    ]
    assert install["cwd"] == str(bench.path / "releases" / plan.name)
    work = str(bench.path / ".work")
    environment = dict(install["environment"])
    # Python's own, added by the fake's interpreter.
    environment.pop("LC_CTYPE", None)
    certificates = environment.pop("NODE_EXTRA_CA_CERTS", None)
    assert certificates in (None, f"{work}/ca.pem")
    assert environment == {
        "LANG": "C.UTF-8",
        "PATH": f"{bench.fake}:/usr/local/bin:/usr/bin:/bin",
        "HOME": f"{work}/home",
        "TMPDIR": f"{work}/tmp",
        "https_proxy": "http://p.example:1",
        "npm_config_cache": f"{work}/npm-cache",
        "npm_config_userconfig": f"{work}/npmrc",
        "npm_config_globalconfig": f"{work}/no-global-npmrc",
        "npm_config_registry": "https://npm.example/x",
    }
    assert not (bench.path / ".work").exists()


def test_named_scripts_run_afterwards_and_only_they(bench):
    bench.apply(bench.npm(allow_scripts=["left"]))
    assert [call["argv"][2] for call in bench.calls[1:]] == ["ci", "rebuild"]
    assert bench.calls[2]["argv"][2:] == [
        "rebuild",
        "--ignore-scripts=false",
        "--foreground-scripts",
        "--no-audit",
        "--no-fund",
        "--no-update-notifier",
        "--",
        "left",
    ]


def test_a_failing_script_is_told_with_the_package(bench):
    bench.behaviour("if argv[1] == 'rebuild':\n    sys.exit('boom')\n" + INSTALL_NPM)
    with pytest.raises(ReleaseError, match="install scripts of left failed: boom"):
        bench.apply(bench.npm(allow_scripts=["left"]))
    assert bench.current is None


def test_pip_is_called_so_and_not_otherwise(bench):
    bench.behaviour(INSTALL_PIP)
    plan = bench.apply(bench.pip(registry="https://pypi.example/simple"))
    release, work, python = f"{bench.path}/releases/{plan.name}", f"{bench.path}/.work", str(bench.fake / "python3")
    calls = bench.calls
    assert calls[1]["argv"] == [python, "-m", "venv", f"{work}/pip"]
    assert calls[2]["argv"] == [python, "-m", "venv", "--without-pip", release]
    assert calls[3]["argv"] == [
        f"{release}/bin/python",
        f"{work}/pip/lib/python3.11/site-packages/pip",
        "install",
        "--require-hashes",
        "--no-deps",
        "--ignore-installed",
        "--no-cache-dir",
        "--progress-bar",
        "off",
        "--only-binary",
        ":all:",
        "-r",
        f"{work}/wheels.txt",
    ]
    environment = calls[3]["environment"]
    assert environment["PIP_CONFIG_FILE"] == os.devnull
    assert environment["PIP_INDEX_URL"] == "https://pypi.example/simple"
    assert len(calls) == 4


def test_sources_are_built_last_and_without_isolation(bench):
    bench.behaviour(
        INSTALL_PIP
        + "\nopen(os.path.join(here, 'log', 'r' + argv[-1].rpartition('/')[2]), 'w').write(open(argv[-1]).read())"
    )
    request = bench.pip(allow_source=["built"])
    digest = "a" * 64
    text = f"{request.requirements}\nbuilt==2 --hash=sha256:{digest}"
    bench.apply(Request(**{**request.__dict__, "requirements": text}))
    first, second = bench.calls[3:]
    assert first["argv"][-4:-2] == ["--only-binary", ":all:"]
    assert second["argv"][-5:-2] == ["--no-binary", ":all:", "--no-build-isolation"]
    assert (bench.fake / "log/rwheels.txt").read_text().startswith("thing==1.0 --hash=")
    assert (bench.fake / "log/rsources.txt").read_text() == f"built==2 --hash=sha256:{digest}\n"


def test_the_hosts_settings_count_only_when_nothing_else_is_said(bench):
    bench.behaviour(INSTALL_PIP)
    bench.apply(bench.pip())
    assert "PIP_CONFIG_FILE" not in bench.calls[-1]["environment"]
    bench.forget_calls()
    login = bench.root / "pip.conf"
    login.write_text("[global]\nindex-url = https://user:secret@pypi.example\n")
    login.chmod(0o600)
    bench.behaviour(
        INSTALL_PIP + "\nopen(os.path.join(here, 'log', 'conf'), 'w').write(open(os.environ['PIP_CONFIG_FILE']).read())"
    )
    bench.apply(bench.pip("2.0", client_config=str(login)))
    assert (bench.fake / "log/conf").read_text() == login.read_text()
    assert "secret" not in json.dumps(bench.calls)
    assert [item for item in bench.path.rglob("*") if item.is_file() and "secret" in item.read_text()] == []


@needs_root
def test_root_installs_as_another_user_and_owns_the_result(bench):
    bench.apply(bench.npm())
    uids = {call["uid"] for call in bench.calls}
    assert uids and uids <= set(TRANSIENT_UIDS)
    for item in [bench.path, *bench.path.rglob("*")]:
        status = item.lstat()
        assert (status.st_uid, status.st_gid) == (0, 0), item
        assert item.is_symlink() or not status.st_mode & 0o6022, item


@needs_root
def test_the_install_user_can_write_nowhere_else(bench):
    bench.apply(bench.npm("1.0.0"))
    bench.behaviour(
        INSTALL_NPM
        + f"""
refused = []
for name in ("evil", "releases/evil", "current/evil", ".lock"):
    target = {str(bench.path)!r} + "/" + name
    try:
        open(target, "w")
    except PermissionError:
        refused.append(target)
open(os.path.join(here, "log", "refused"), "w").write(str(len(refused)))
"""
    )
    bench.apply(bench.npm("2.0.0"))
    assert (bench.fake / "log/refused").read_text() == "4"


def test_links_have_a_stable_name(bench):
    bench.behaviour(INSTALL_PIP)
    bench.apply(bench.pip(links={"bin/program": "lib/python3*/site-packages/thing/program"}))
    assert (bench.release() / "bin/program").read_text() == "x"


def test_links_that_match_nothing_leave_current_alone(bench):
    bench.apply(bench.npm("1.0.0"))
    before = bench.current
    with pytest.raises(ReleaseError, match="links: 'n' needs one file for 'nothing'"):
        bench.apply(bench.npm("2.0.0", links={"n": "nothing"}))
    assert bench.current == before
    assert len(Store(str(bench.path)).names()) == 1


# Doing nothing


def test_a_second_run_starts_nothing_and_changes_nothing(bench):
    request = bench.npm()
    bench.apply(request)
    bench.forget_calls()
    before = everything(bench.path)
    releaser = bench.releaser(request)
    plan = releaser.plan(read_lock(request, releaser.machine))
    releaser.remember_interpreters()
    assert not plan.changed
    assert releaser.started_processes == 0
    assert bench.calls == []
    assert everything(bench.path) == before


def test_check_mode_on_an_empty_host_writes_nothing(bench):
    plan = bench.plan(bench.npm())
    assert plan.changed and plan.install and plan.switch
    assert plan.digest == plan.name
    assert dict(plan.after) == {"left": "1.0.0"}
    assert not bench.path.exists()


def test_check_mode_predicts_what_the_run_does(bench):
    bench.apply(bench.npm("1.0.0"))
    request = bench.npm("2.0.0")
    predicted = bench.plan(request)
    assert bench.apply(request) == predicted
    assert differing(predicted.before, predicted.after) == ({"left": "1.0.0"}, {"left": "2.0.0"})


def test_check_mode_without_the_interpreter_predicts_a_change(bench):
    request = bench.npm(node="/no/such/node")
    plan = bench.plan(request)
    assert (plan.changed, plan.digest, plan.name) == (True, None, None)
    with pytest.raises(ReleaseError, match="node: /no/such/node does not exist"):
        bench.plan(request, check_mode=False)


def test_an_exchanged_interpreter_is_asked_once(bench):
    request = bench.npm()
    first = bench.apply(request)
    os.utime(bench.fake / "node")
    bench.forget_calls()
    for _run in range(2):
        releaser = bench.releaser(request)
        plan = releaser.plan(read_lock(request, releaser.machine))
        releaser.remember_interpreters()
        assert (plan.changed, plan.name) == (False, first.name)
    assert len(bench.calls) == 1


# The digest


def digest_of(bench, request, machine="x86_64"):
    releaser = bench.releaser(request)
    interpreter = releaser.interpreter()
    assert interpreter is not None
    return release_digest(request, read_lock(request, machine), interpreter, machine)


def test_the_digest_tells_apart_what_decides_the_content(bench):
    base = digest_of(bench, bench.npm())
    others = {
        digest_of(bench, bench.npm("2.0.0")),
        digest_of(bench, bench.npm(), machine="aarch64"),
        digest_of(bench, bench.npm(allow_scripts=["left"])),
        digest_of(bench, bench.npm(links={"a": "b"})),
        digest_of(bench, bench.pip()),
    }
    bench.settings(version="25.0.0", abi="137")
    others.add(digest_of(bench, bench.npm()))
    bench.settings(version="24.19.0", abi="138")
    others.add(digest_of(bench, bench.npm()))
    assert len(others) == 7
    assert base not in others


def test_the_digest_ignores_where_from_and_how_long(bench):
    base = digest_of(bench, bench.npm())
    assert base == digest_of(bench, bench.npm(registry="https://r.example", keep=9, timeout=9, environment={"A": "b"}))
    bench.settings(version="24.20.1", abi="137")
    assert base == digest_of(bench, bench.npm())


def test_pip_releases_differ_by_minor_version_and_interpreter(bench):
    bench.settings(version="3.11.2", abi="cpython-311")
    base = digest_of(bench, bench.pip())
    bench.settings(version="3.11.9", abi="cpython-311")
    assert digest_of(bench, bench.pip()) == base
    bench.settings(version="3.13.0", abi="cpython-311")
    assert digest_of(bench, bench.pip()) != base
    bench.settings(version="3.11.2", abi="cpython-311")
    (bench.root / "other").mkdir()
    shutil.copy(bench.fake / "python3", bench.root / "other" / "python3")
    assert digest_of(bench, bench.pip(python=str(bench.root / "other" / "python3"))) != base


# Interruption and damage


def test_a_failed_install_leaves_current_and_nothing_else(bench):
    bench.apply(bench.npm("1.0.0"))
    before = {key: value for key, value in everything(bench.path).items() if "releases/" in key}
    link = bench.current
    bench.behaviour("os.makedirs('node_modules/half')\nsys.exit('npm error code EBOOM')")
    with pytest.raises(
        ReleaseError, match=r"npm failed: npm error code EBOOM\. Nothing was changed: 'current' is still"
    ):
        bench.apply(bench.npm("2.0.0"))
    assert bench.current == link
    assert {key: value for key, value in everything(bench.path).items() if "releases/" in key} == before
    assert not (bench.path / ".work").exists()


def test_an_install_killed_half_way_is_repaired_by_the_next_run(bench):
    bench.apply(bench.npm("1.0.0"))
    link = bench.current
    bench.behaviour("os.makedirs('node_modules/half')\nopen(os.path.join(here, 'log', 'half'), 'w')\ntime.sleep(600)")
    context = multiprocessing.get_context("fork")
    child = context.Process(target=bench.apply, args=(bench.npm("2.0.0"),))
    child.start()
    deadline = time.monotonic() + 20
    while not (bench.fake / "log" / "half").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (bench.fake / "log" / "half").exists()
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert bench.current == link
    assert (bench.path / ".work").exists(), "the positive control: it was interrupted"

    bench.behaviour(INSTALL_NPM)
    plan = bench.apply(bench.npm("2.0.0"))
    assert plan.install and not (bench.release() / "node_modules/half").exists()
    assert json.loads((bench.release() / "node_modules/left/package.json").read_text()) == {"version": "2.0.0"}
    assert not (bench.path / ".work").exists()
    if IS_ROOT:
        assert not {call["uid"] for call in bench.calls} & set(processes_by_uid())


def test_what_an_interrupted_install_left_is_cleared_by_a_run_for_another_lock(bench):
    bench.apply(bench.npm("1.0.0"))
    half = bench.path / "releases" / ("f" * 32)
    half.mkdir()
    plan = bench.apply(bench.npm("1.0.0"))
    assert list(plan.prune) == ["f" * 32]
    assert not half.exists()


@pytest.mark.parametrize("damage", ["marker missing", "marker broken", "marker of others", "directory of others"])
def test_a_damaged_release_is_replaced_without_pulling_it_away_first(bench, damage):
    request = bench.npm("1.0.0")
    first = bench.apply(request)
    directory = bench.path / "releases" / first.name
    if damage == "marker missing":
        (directory / MARKER).unlink()
    elif damage == "marker broken":
        (directory / MARKER).write_text("{")
    elif damage == "marker of others":
        (directory / MARKER).chmod(0o666)
    else:
        directory.chmod(0o777)
    seen = []
    bench.behaviour(INSTALL_NPM + "open(os.path.join(here, 'log', 'link'), 'w').write(os.readlink('../../current'))")
    second = bench.apply(request)
    seen.append((bench.fake / "log" / "link").read_text())
    assert seen == [f"releases/{first.name}"]
    assert second.name == f"{first.name}.1"
    assert bench.current == f"releases/{second.name}"
    assert not directory.exists() and not (bench.path / "previous").is_symlink()
    assert not bench.plan(request).changed


@needs_root
def test_a_marker_of_another_user_does_not_count(bench):
    request = bench.npm()
    first = bench.apply(request)
    os.chown(bench.path / "releases" / first.name / MARKER, 1000, 1000)
    assert bench.plan(request).install


def test_a_marker_that_a_package_brings_is_refused(bench):
    bench.behaviour(INSTALL_NPM + f"open({MARKER!r}, 'w').write('{{}}')")
    with pytest.raises(ReleaseError, match=r"the install left a file \.release\.json"):
        bench.apply(bench.npm())
    assert bench.current is None and Store(str(bench.path)).names() == []


@pytest.mark.parametrize(
    ("evil", "words"),
    [
        ("os.symlink('/etc/shadow', 'node_modules/left/x')", "symbolic link to '/etc/shadow'"),
        ("os.mkfifo('node_modules/left/x')", "special file"),
        ("os.link(os.path.join(here, 'log', 'outside'), 'node_modules/left/x')", "hard link"),
    ],
)
def test_hostile_content_is_refused_and_removed(bench, evil, words):
    (bench.fake / "log" / "outside").write_text("x")
    (bench.fake / "log" / "outside").chmod(0o666)
    bench.behaviour(INSTALL_NPM + evil)
    with pytest.raises(ReleaseError, match=words):
        bench.apply(bench.npm())
    assert bench.current is None and Store(str(bench.path)).names() == []


def test_a_release_gone_wrong_without_an_error_is_noticed(bench):
    bench.behaviour("os.makedirs('node_modules')")
    with pytest.raises(ReleaseError, match=r"npm ended well, but left is missing, not 1\.0\.0"):
        bench.apply(bench.npm())


@needs_root
def test_nothing_keeps_running(bench):
    bench.behaviour(INSTALL_NPM + "if os.fork() == 0:\n    os.setsid()\n    time.sleep(600)")
    bench.apply(bench.npm())
    uid = bench.calls[-1]["uid"]
    assert processes_by_uid().get(uid, []) == []


# Switching, pruning


def test_going_back_installs_nothing(bench):
    first = bench.apply(bench.npm("1.0.0"))
    second = bench.apply(bench.npm("2.0.0"))
    assert (second.previous, os.readlink(bench.path / "previous")) == (first.name, f"releases/{first.name}")
    bench.forget_calls()
    back = bench.apply(bench.npm("1.0.0"))
    assert (back.install, back.switch, back.previous) == (False, True, second.name)
    assert bench.current == f"releases/{first.name}"
    assert bench.calls == []


def versions_kept(bench):
    return sorted(
        json.loads((item / MARKER).read_text())["versions"]["left"] for item in (bench.path / "releases").iterdir()
    )


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        (0, ["4.0.0", "5.0.0"]),
        (1, ["4.0.0", "5.0.0"]),
        (2, ["3.0.0", "4.0.0", "5.0.0"]),
        (9, [f"{n}.0.0" for n in range(1, 6)]),
    ],
)
def test_old_releases_are_pruned(bench, keep, left):
    for number in range(1, 6):
        bench.apply(bench.npm(f"{number}.0.0", keep=9 if number < 5 else keep))
    assert versions_kept(bench) == left


def test_fewer_to_keep_is_a_change_of_its_own(bench):
    for number in range(1, 5):
        bench.apply(bench.npm(f"{number}.0.0", keep=9))
    plan = bench.plan(bench.npm("4.0.0", keep=1))
    assert plan.changed and not plan.install and not plan.switch and len(plan.prune) == 2
    bench.apply(bench.npm("4.0.0", keep=1))
    assert versions_kept(bench) == ["3.0.0", "4.0.0"]
    assert not bench.plan(bench.npm("4.0.0", keep=1)).changed


def test_what_others_put_beside_releases_is_left_alone(bench):
    bench.apply(bench.npm("1.0.0"))
    (bench.path / "releases" / "notes").write_text("x")
    bench.apply(bench.npm("2.0.0", keep=0))
    bench.apply(bench.npm("3.0.0", keep=0))
    assert (bench.path / "releases" / "notes").read_text() == "x"


@pytest.mark.parametrize("text", ["/etc", "releases/../../x", "elsewhere", "releases/other"])
def test_a_current_that_is_not_ours_is_refused(bench, text):
    bench.path.mkdir(parents=True)
    (bench.path / "current").symlink_to(text)
    with pytest.raises(ReleaseError, match="which no run of this module made"):
        bench.apply(bench.npm())
    assert os.readlink(bench.path / "current") == text


def test_a_current_that_is_no_link_is_refused(bench):
    (bench.path / "current").mkdir(parents=True)
    with pytest.raises(ReleaseError, match="is no symbolic link"):
        bench.apply(bench.npm())


def test_current_is_there_at_every_moment_of_a_switch(bench, monkeypatch):
    bench.apply(bench.npm("1.0.0"))
    seen = []
    original = os.replace

    def replace(source, target):
        seen.append(bench.current)
        original(source, target)
        seen.append(bench.current)

    monkeypatch.setattr(os, "replace", replace)
    bench.apply(bench.npm("2.0.0"))
    assert len(seen) >= 4 and None not in seen
    assert len(set(seen)) == 2


# Two at once


def test_two_runs_at_once_install_once(bench):
    bench.behaviour("time.sleep(0.7)\n" + INSTALL_NPM)
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=bench.apply, args=(bench.npm(),)) for _run in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert sum("ci" in call["argv"] for call in bench.calls) == 1
    assert len(Store(str(bench.path)).names()) == 1


def test_waiting_for_another_run_ends_with_its_name(bench):
    bench.apply(bench.npm("1.0.0"))
    with (bench.path / ".lock").open("r+") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(ReleaseError, match=r"another run has been installing into .* for 1 s \(timeout\)"):
            bench.apply(bench.npm("2.0.0", timeout=1))


def test_an_install_that_takes_too_long_fails(bench):
    bench.behaviour("time.sleep(600)")
    with pytest.raises(ReleaseError, match="did not end in time"):
        bench.apply(bench.npm(timeout=1))
    assert Store(str(bench.path)).names() == []


# What is refused before anything runs


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"path": "relative"}, "path: 'relative' must be an absolute path"),
        ({"path": "/"}, "path: '/' must be"),
        ({"keep": -1}, "keep: -1"),
        ({"timeout": 0}, "timeout: 0"),
        ({"registry": "npm.example"}, "registry: 'npm.example' must start with"),
        ({"registry": "https://user:secret@npm.example"}, "registry: an address with a user"),
        ({"registry": "https://r.example", "offline_dir": "/x"}, "exclude each other"),
        ({"environment": {"HOME": "/root"}}, "environment: HOME is refused"),
        ({"environment": {"npm_config_ignore_scripts": "false"}}, "environment: npm_config_ignore_scripts is refused"),
        ({"environment": {"NPM_CONFIG_IGNORE_SCRIPTS": "false"}}, "NPM_CONFIG_IGNORE_SCRIPTS is refused"),
        ({"environment": {"https_proxy": "http://u:secret@p.example"}}, "environment.https_proxy: an address"),
        ({"environment": {"A=B": "x"}}, "no name of a variable"),
        ({"links": {"/etc/x": "y"}}, "links: the name '/etc/x'"),
    ],
)
def test_wrong_options_are_named(options, words):
    with pytest.raises(ReleaseError, match=words) as caught:
        check_request(Request(**{"path": "/opt/x", "manager": "npm", **options}))
    assert "secret" not in str(caught.value)


def test_nothing_runs_for_a_lock_that_pins_nothing(bench):
    request = bench.npm()
    del request.package_lock["packages"]["node_modules/left"]["integrity"]
    with pytest.raises(ReleaseError, match=r"left@1\.0\.0"):
        bench.apply(request)
    assert bench.calls == [] and not bench.path.exists()


def test_a_missing_offline_directory_is_named(bench):
    with pytest.raises(ReleaseError, match="offline_dir: /no/such/directory is no directory"):
        bench.apply(bench.npm(offline_dir="/no/such/directory"))


def test_a_root_that_others_can_write_is_refused(bench):
    bench.path.mkdir(parents=True)
    bench.path.parent.chmod(0o777)
    with pytest.raises(ReleaseError, match=r"path: .*/opt can be changed by others .*0777"):
        bench.apply(bench.npm())
    assert list(bench.path.iterdir()) == []


def test_a_node_that_others_can_write_is_not_started(bench):
    (bench.fake / "node").chmod(0o777)
    with pytest.raises(ReleaseError, match=r"node: .*/node can be changed by others"):
        bench.apply(bench.npm())
    assert bench.calls == []


def test_a_node_that_does_not_tell_its_version_is_named(bench):
    (bench.fake / "node").write_text("#!/bin/sh\necho nonsense\nexit 7\n")
    with pytest.raises(ReleaseError, match=r"node: .* did not tell its version \(exit status 7\): nonsense"):
        bench.apply(bench.npm())


def test_venv_without_ensurepip_is_told_with_the_package_to_install(bench):
    words = "The virtual environment was not created successfully because ensurepip is not available."
    fake = FAKE.replace('if argv[:2] == ["-m", "venv"]:', f'if argv[:2] == ["-m", "venv"]:\n    sys.exit({words!r})')
    (bench.fake / "python3").write_text(fake)
    with pytest.raises(ReleaseError, match="python3-venv"):
        bench.apply(bench.pip())
    assert bench.current is None


def test_a_release_directory_that_nobody_else_may_pass_is_told(bench):
    if not IS_ROOT:
        return
    bench.root.chmod(0o700)
    with pytest.raises(ReleaseError, match="open to everyone"):
        bench.apply(bench.npm())


# Removal


def test_absent_removes_all_and_only_that(bench):
    bench.apply(bench.npm("1.0.0"))
    bench.apply(bench.npm("2.0.0"))
    assert len(find_removable(str(bench.path))) == 5
    remove_all(str(bench.path), 5)
    assert not bench.path.exists()

    bench.apply(bench.npm("1.0.0"))
    (bench.path / "notes").write_text("x")
    remove_all(str(bench.path), 5)
    assert [item.name for item in bench.path.iterdir()] == ["notes"]
    assert find_removable(str(bench.path)) == []


def test_no_path_of_a_user_in_the_way_is_followed_when_removing(bench):
    bench.apply(bench.npm("1.0.0"))
    outside = bench.root / "outside"
    outside.mkdir()
    (outside / "file").write_text("x")
    (bench.path / "releases" / ("e" * 32)).symlink_to(outside)
    bench.apply(bench.npm("2.0.0", keep=0))
    assert not (bench.path / "releases" / ("e" * 32)).is_symlink()
    assert (outside / "file").read_text() == "x"
