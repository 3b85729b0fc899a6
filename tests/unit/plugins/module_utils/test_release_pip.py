# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.failclosed.openclaw.plugins.module_utils._release_install import LockError
from ansible_collections.failclosed.openclaw.plugins.module_utils._release_pip import (
    check_sources,
    explain,
    read_requirements,
)

A = "a" * 64
B = "b" * 64


def test_reads_continuations_comments_extras_and_markers():
    lock = read_requirements(
        f"""# made by a tool
Six==1.17.0 \\
    --hash=sha256:{B} \\
    --hash=sha256:{A.upper()}
    # via something
litellm[proxy, extra]==1.106.2 ; python_version < "3.14" --hash=sha256:{A}  # why
"""
    )
    assert lock.versions == {"six": "1.17.0", "litellm": "1.106.2"}
    six, litellm = lock.requirements
    assert six.hashes == (f"sha256:{A}", f"sha256:{B}")
    assert (litellm.extras, litellm.marker) == ("[proxy,extra]", 'python_version < "3.14"')
    assert litellm.line() == f'litellm[proxy,extra]==1.106.2 ; python_version < "3.14" --hash=sha256:{A}'
    # What is written for pip says the same to this reader.
    again = read_requirements("\n".join(requirement.line() for requirement in lock.requirements))
    assert again == lock


def test_canonical_form_ignores_order_comments_and_spelling():
    one = read_requirements(f"b==1 --hash=sha256:{A}\nA_x==2 --hash=sha256:{A} --hash=sha256:{B}")
    two = read_requirements(f"a.x==2 --hash=sha256:{B} --hash=sha256:{A}\n# c\nb==1 --hash=sha256:{A}")
    assert one.canonical() == two.canonical()
    assert one.canonical() != read_requirements(f"b==1 --hash=sha256:{A}").canonical()


def test_one_project_for_several_pythons_shows_all_versions():
    lock = read_requirements(
        f"n==1 ; python_version < '3.12' --hash=sha256:{A}\nn==2 ; python_version >= '3.12' --hash=sha256:{B}"
    )
    assert lock.versions == {"n": "1 or 2"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("six==1.17.0", ["six==1.17.0", "no --hash"]),
        (f"good==1 --hash=sha256:{A}\nsix==1.17.0", ["six==1.17.0", "no --hash"]),
        ("six==1.17.0 --hash=md5:d41d8cd98f00b204e9800998ecf8427e", ["six==1.17.0", "no --hash"]),
        ("six==1.17.0 --hash=sha256:abcd", ["six==1.17.0", "no --hash"]),
        (f"six --hash=sha256:{A}", ["'six'", "not pinned"]),
        (f"six>=1 --hash=sha256:{A}", ["'six>=1'", "not pinned"]),
        (f"six==1.* --hash=sha256:{A}", ["not pinned"]),
        (f"six @ https://host.example/six.whl --hash=sha256:{A}", ["'six'", "addresses"]),
        (f"./six.whl --hash=sha256:{A}", ["./six.whl", "not pinned"]),
        (f"six==1 --hash=sha256:{A} --config-settings=x", ["'six'", "something other than --hash"]),
        ("--index-url https://host.example/simple", ["--index-url", "refused"]),
        ("-r other.txt", ["'-r'", "refused"]),
        ("-e .", ["'-e'", "refused"]),
        ("", ["no requirement"]),
        (None, ["no requirement"]),
    ],
)
def test_refuses_what_is_not_pinned_by_name(text, words):
    with pytest.raises(LockError) as caught:
        read_requirements(text)
    for word in ["requirements", *words]:
        assert word in str(caught.value)


def test_sources_are_allowed_for_projects_of_the_lock_only():
    lock = read_requirements(f"Some.Thing==1 --hash=sha256:{A}")
    check_sources(lock, ["some_thing"])
    with pytest.raises(LockError, match="'other'"):
        check_sources(lock, ["other"])


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("    six==1.17.0 from https://host.example/six.whl#sha256=aa (from -r wheels.txt (line 1)):", "six==1.17.0"),
        ("    six==1.17.0 from file:///w/six-1.17.0-py2.py3-none-any.whl (from -r x (line 1)):", "six==1.17.0"),
        ("    six==1.17.0:", "six==1.17.0"),
    ],
)
def test_a_hash_mismatch_is_told_with_the_name(line, name):
    output = (
        "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated the package"
        f" versions, please update the hashes.\n{line}\n        Expected sha256 aa\n             Got        bb\n"
    )
    assert f"integrity mismatch: what the index sent for {name} is not" in explain(output)


def test_a_missing_wheel_is_told_with_the_name():
    output = "ERROR: Could not find a version\nERROR: No matching distribution found for six==1.17.0 (from -r x)\n"
    assert "pip found no file for six==1.17.0" in explain(output)
    assert explain("noise\nERROR: other\n") == "pip failed: ERROR: other"
