# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.failclosed.openclaw.plugins.modules import locked_release

# Stands for python, venv and pip at once.
FAKE = r"""#!/usr/bin/python3
import json, os, sys

argv = sys.argv[1:]
if argv[0] == "-I":
    print(json.dumps({"version": "3.11.2", "abi": "abi", "base": os.path.realpath(sys.argv[0])}))
elif argv[:2] == ["-m", "venv"]:
    os.makedirs(argv[-1] + "/bin", exist_ok=True)
    os.symlink(os.path.realpath(sys.argv[0]), argv[-1] + "/bin/python")
    if "--without-pip" not in argv:
        os.makedirs(argv[-1] + "/lib/python3.11/site-packages/pip")
else:
    os.makedirs("lib/python3.11/site-packages")
"""


@pytest.fixture
def root():
    # Not tmp_path: that is closed to the user that installs.
    path = Path(tempfile.mkdtemp(prefix="locked-release-"))
    path.chmod(0o755)
    (path / "python3").write_text(FAKE)
    (path / "python3").chmod(0o755)
    old = os.umask(0o022)
    try:
        yield path
    finally:
        os.umask(old)
        shutil.rmtree(path)


@pytest.fixture
def run(root, capsys):
    def call(check=False, diff=True, **options):
        arguments = {"path": str(root / "opt"), "_ansible_check_mode": check, "_ansible_diff": diff, **options}
        with patch_module_args(arguments), pytest.raises(SystemExit) as ended:
            locked_release.main()
        result = json.loads(capsys.readouterr().out)
        assert (ended.value.code == 0) is not result.get("failed", False)
        return result

    return call


def requirements(**versions):
    return "\n".join(
        f"{name}=={version} --hash=sha256:{hashlib.sha256(version.encode()).hexdigest()}"
        for name, version in versions.items()
    )


def test_check_run_and_run_again(root, run):
    options = {"manager": "pip", "python": str(root / "python3")}
    one = {**options, "requirements": requirements(a="1", b="1")}
    predicted = run(check=True, **one)
    assert predicted["changed"] and not (root / "opt").exists()
    done = run(**one)
    assert done["diff"] == predicted["diff"]
    assert (done["changed"], done["installed"], done["started_processes"]) == (True, True, 4)
    assert done["release"] == str(root / "opt/releases" / done["digest"]) == os.path.realpath(root / "opt/current")
    assert (done["previous"], done["versions"], done["pruned"]) == (None, {"a": "1", "b": "1"}, [])
    again = run(**one)
    assert (again["changed"], again["installed"], again["started_processes"]) == (False, False, 0)
    assert again["diff"]["before"] == again["diff"]["after"]

    two = {**options, "requirements": requirements(a="2", b="1", c="1")}
    predicted = run(check=True, **two)
    done_again = run(**two)
    assert done_again["diff"] == predicted["diff"]
    assert predicted["diff"] == {
        "before": {"release": done["digest"], "versions": {"a": "1"}},
        "after": {"release": done_again["digest"], "versions": {"a": "2", "c": "1"}},
    }
    assert done_again["previous"] == done["release"]


def test_without_diff_there_is_none(root, run):
    result = run(diff=False, manager="pip", python=str(root / "python3"), requirements=requirements(a="1"))
    assert result["changed"] and "diff" not in result


def test_absent(root, run):
    run(manager="pip", python=str(root / "python3"), requirements=requirements(a="1"))
    predicted = run(check=True, state="absent")
    assert predicted["changed"] and (root / "opt/current").exists()
    result = run(state="absent")
    assert result["pruned"] == predicted["pruned"] != []
    assert not (root / "opt").exists()
    assert not run(state="absent")["changed"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "state is present but all of the following are missing: manager"),
        ({"manager": "npm", "package_json": {}, "package_lock": {}}, "missing: node"),
        ({"manager": "pip"}, "missing: requirements"),
        ({"manager": "pip", "requirements": "six==1"}, "requirements: six==1 has no --hash"),
        ({"manager": "pip", "requirements": "x", "registry": "a", "offline_dir": "/b"}, "mutually exclusive"),
        (
            {"manager": "pip", "requirements": requirements(a="1"), "python": "/no/python"},
            "python: /no/python does not",
        ),
        ({"manager": "yarn"}, "value of manager must be one of: npm, pip"),
        (
            {"manager": "npm", "node": "/n", "package_json": "/etc/package.json", "package_lock": "{}"},
            "package_json: no valid JSON",
        ),
    ],
)
def test_wrong_input_names_the_option_and_changes_nothing(root, run, options, words):
    result = run(**options)
    assert result["failed"] and words in result["msg"]
    assert not (root / "opt").exists()


def test_absent_for_what_never_was_changes_nothing(root, run):
    assert run(state="absent")["changed"] is False
    assert not (root / "opt").exists()
