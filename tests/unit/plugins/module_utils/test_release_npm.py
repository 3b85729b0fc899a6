# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import hashlib
import json

import pytest

from ansible_collections.failclosed.openclaw.plugins.module_utils._release_install import (
    Installation,
    LockError,
    ReleaseError,
)
from ansible_collections.failclosed.openclaw.plugins.module_utils._release_npm import (
    check_scripts,
    explain,
    find_npm_cli,
    find_tarballs,
    read_npm,
    strong_digests,
)
from ansible_collections.failclosed.openclaw.plugins.module_utils._unprivileged import InstallUser


def integrity(content: bytes, algorithm: str = "sha512") -> str:
    return f"{algorithm}-" + base64.b64encode(hashlib.new(algorithm, content).digest()).decode()


def manifest(**dependencies):
    return {"name": "x", "version": "0.0.0", "dependencies": dependencies or {"left": "1.0.0"}}


def lock_of(entries, root=None):
    root = manifest() if root is None else root
    return {"lockfileVersion": 3, "packages": {"": {"dependencies": root["dependencies"]}, **entries}}


GOOD = {"node_modules/left": {"version": "1.0.0", "integrity": integrity(b"left")}}


def read(entries, root=None, **changes):
    root = manifest() if root is None else root
    return read_npm(root, {**lock_of(entries, root), **changes}, "x86_64")


def test_reads_text_and_dictionaries_alike():
    by_text = read_npm(json.dumps(manifest()), json.dumps(lock_of(GOOD)), "x86_64")
    assert by_text == read(GOOD)
    assert by_text.versions == {"left": "1.0.0"}


def test_canonical_form_ignores_where_a_package_comes_from():
    moved = {"node_modules/left": {**GOOD["node_modules/left"], "resolved": "https://mirror.example/left-1.0.0.tgz"}}
    assert read(moved).canonical() == read(GOOD).canonical()
    other = {"node_modules/left": {"version": "1.0.0", "integrity": integrity(b"other")}}
    assert read(other).canonical() != read(GOOD).canonical()


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"version": "1.0.0"}, ["left@1.0.0", "integrity", "found none"]),
        ({"version": "1.0.0", "integrity": integrity(b"x", "sha1")}, ["left@1.0.0", "weak"]),
        ({"version": "1.0.0", "integrity": "sha512-AAAA"}, ["left@1.0.0", "weak"]),
        ({"version": "1.0.0", "integrity": "sha512-!!"}, ["left@1.0.0", "weak"]),
        ({"integrity": integrity(b"x")}, ["'left'", "no version"]),
        ({"version": "1.0.0", "link": True, "resolved": "../left"}, ["'left'", "link to a directory"]),
        ({"version": "1.0.0", "resolved": "file:../left.tgz", "integrity": integrity(b"x")}, ["left@1.0.0", "file:"]),
        ({"version": "1.0.0", "resolved": "git+ssh://git@host.example/left.git#abc"}, ["left@1.0.0", "git+ssh"]),
        # Bundled, says the lock; but what has an address of its own is fetched.
        ({"version": "1.0.0", "inBundle": True, "resolved": "https://r.example/l.tgz"}, ["left@1.0.0", "integrity"]),
        ("nonsense", ["node_modules/left", "no object"]),
    ],
)
def test_refuses_what_is_not_pinned_by_name(entry, words):
    with pytest.raises(LockError) as caught:
        read({"node_modules/left": entry})
    for word in ["package_lock", *words]:
        assert word in str(caught.value)


def test_a_nested_package_without_integrity_is_refused_by_its_own_name():
    with pytest.raises(LockError, match=r"@scope/deep@2\.0\.0"):
        read({**GOOD, "node_modules/left/node_modules/@scope/deep": {"version": "2.0.0"}})


@pytest.mark.parametrize("place", ["packages/left", "../left", "node_modules/../../left"])
def test_directories_outside_of_node_modules_are_refused(place):
    with pytest.raises(LockError, match="link to a directory"):
        read({**GOOD, place: {"version": "1.0.0", "integrity": integrity(b"x")}})


def test_bundled_packages_need_no_integrity_of_their_own():
    lock = read({**GOOD, "node_modules/left/node_modules/in": {"version": "1.0.0", "inBundle": True}})
    assert [package.wanted for package in lock.packages] == [True, False]


def test_refuses_a_lock_made_for_another_package_json():
    root = manifest(left="2.0.0")
    with pytest.raises(
        LockError, match=r"dependencies\.left is '2\.0\.0' in package_json and '1\.0\.0' in package_lock"
    ):
        read_npm(root, lock_of(GOOD), "x86_64")


def test_refuses_a_lock_without_a_direct_dependency():
    with pytest.raises(LockError, match="does not have 'left'"):
        read({"node_modules/right": GOOD["node_modules/left"]})


@pytest.mark.parametrize(
    ("package_json", "package_lock", "words"),
    [
        ("/etc/package.json", "{}", "package_json: no valid JSON"),
        ("[]", "{}", "package_json: expected a JSON object"),
        (None, "{}", "package_json: expected the content"),
        (manifest(), {"lockfileVersion": 1, "dependencies": {}}, "lockfileVersion must be 2 or 3, found 1"),
        (manifest(), {"lockfileVersion": 3}, "no 'packages'"),
        ({**manifest(), "workspaces": ["a"]}, lock_of(GOOD), "workspaces"),
        ({"dependencies": {}}, {"lockfileVersion": 3, "packages": {"": {}}}, "no dependencies"),
    ],
)
def test_refuses_what_is_no_lock(package_json, package_lock, words):
    with pytest.raises(LockError, match=words):
        read_npm(package_json, package_lock, "x86_64")


def test_scripts_are_allowed_for_packages_of_the_lock_only():
    lock = read(GOOD)
    check_scripts(lock, ["left"])
    for name in ("right", "--help", "../left", ""):
        with pytest.raises(LockError, match="allow_scripts"):
            check_scripts(lock, [name])


def test_strong_digests_reads_several_algorithms():
    both = integrity(b"x", "sha256") + " " + integrity(b"x") + "?opt"
    assert strong_digests(both) == {"sha256": hashlib.sha256(b"x").digest(), "sha512": hashlib.sha512(b"x").digest()}
    assert strong_digests(integrity(b"x", "sha1")) == {}


def test_tarballs_are_found_by_content(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "any-name").write_bytes(b"left")
    lock = read(GOOD)
    assert find_tarballs(lock, [str(tmp_path)]) == [
        ("sha512", hashlib.sha512(b"left").digest(), str(tmp_path / "deep" / "any-name"))
    ]


def test_a_missing_tarball_is_named(tmp_path):
    with pytest.raises(ReleaseError, match=r"has no file with the integrity of left@1\.0\.0"):
        find_tarballs(read(GOOD), [str(tmp_path)])


def test_a_tarball_with_another_content_is_a_mismatch(tmp_path):
    (tmp_path / "left-1.0.0.tgz").write_bytes(b"evil")
    with pytest.raises(ReleaseError, match=r"integrity mismatch: .*left-1\.0\.0\.tgz is not the left@1\.0\.0"):
        find_tarballs(read(GOOD), [str(tmp_path)])


def test_a_tarball_that_changes_while_it_is_copied_is_refused(tmp_path):
    source = tmp_path / "left.tgz"
    source.write_bytes(b"left")
    installation = Installation(
        user=InstallUser(None), release=str(tmp_path), work=str(tmp_path), environment={}, deadline=0.0
    )
    ((algorithm, digest, path),) = find_tarballs(read(GOOD), [str(tmp_path)])
    installation.copy_file(path, str(tmp_path / "good"), hashlib.new(algorithm), digest)
    assert (tmp_path / "good").read_bytes() == b"left"
    source.write_bytes(b"evil")
    with pytest.raises(ReleaseError, match=r"left\.tgz changed while it was read"):
        installation.copy_file(path, str(tmp_path / "bad"), hashlib.new(algorithm), digest)


@pytest.mark.parametrize(
    ("entry", "needed"),
    [
        ({"optional": True, "os": ["darwin"]}, False),
        ({"optional": True, "os": ["!linux"]}, False),
        ({"optional": True, "cpu": ["arm64"]}, False),
        ({"optional": True, "libc": ["musl"]}, False),
        ({"optional": True, "os": ["linux"], "cpu": ["x64"], "libc": ["glibc"]}, True),
        ({"optional": True}, True),
        ({"dev": True}, False),
        ({"os": ["darwin"]}, True),
    ],
)
def test_offline_needs_what_npm_would_install_here(entry, needed, tmp_path):
    (tmp_path / "left").write_bytes(b"left")
    lock = read({**GOOD, "node_modules/native": {"version": "3.0.0", "integrity": integrity(b"native"), **entry}})
    if needed:
        with pytest.raises(ReleaseError, match=r"native@3\.0\.0"):
            find_tarballs(lock, [str(tmp_path)])
    else:
        assert len(find_tarballs(lock, [str(tmp_path)])) == 1


def test_an_integrity_failure_is_told_with_the_name():
    lock = read(GOOD)
    wanted = integrity(b"left")
    output = (
        "npm error code EINTEGRITY\n"
        f"npm error {wanted} integrity checksum failed when using sha512: wanted {wanted} but got {integrity(b'evil')}."
    )
    assert "integrity mismatch: what the registry sent for left@1.0.0" in explain(lock, output)
    assert explain(lock, "x\nnpm error code E404\n") == "npm failed: npm error code E404"


def test_finds_the_npm_beside_a_node(tmp_path):
    cli = tmp_path / "lib/node_modules/npm/bin/npm-cli.js"
    cli.parent.mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    node = tmp_path / "bin/node"
    node.write_text("")
    assert find_npm_cli(str(node)) is None
    cli.write_text("")
    link = tmp_path / "elsewhere"
    link.symlink_to(node)
    assert find_npm_cli(str(link)) == str(cli)
