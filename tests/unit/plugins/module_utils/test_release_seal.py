# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import stat

import pytest

from ansible_collections.failclosed.openclaw.plugins.module_utils._release_seal import (
    SealError,
    check_link_names,
    make_links,
    seal,
)

OWNER = 0 if os.geteuid() == 0 else None
needs_root = pytest.mark.skipif(OWNER is None, reason="changing owners needs root")


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "release"
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "tool").write_text("x")
    (root / "data").write_text("x")
    return root


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


def test_strips_special_and_write_bits(tree):
    (tree / "bin").chmod(0o2777)
    (tree / "bin" / "tool").chmod(0o6777)
    (tree / "data").chmod(0o602)
    seal(str(tree), owner=OWNER)
    assert (mode(tree), mode(tree / "bin"), mode(tree / "bin/tool"), mode(tree / "data")) == (
        0o755,
        0o755,
        0o755,
        0o644,
    )


def test_unreadable_directories_become_readable(tree):
    (tree / "bin").chmod(0o000)
    seal(str(tree), owner=OWNER)
    assert mode(tree / "bin") == 0o755


@needs_root
def test_everything_goes_to_the_owner_and_links_are_not_followed(tree, tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("x")
    os.chown(outside, 61000, 61000)
    (tree / "inside").symlink_to("data")
    for path in (tree, tree / "bin", tree / "bin/tool", tree / "data", tree / "inside"):
        os.chown(path, 60999, 60999, follow_symlinks=False)
    (tree / "way-out").symlink_to(outside)
    seal(str(tree), owner=OWNER, allowed_targets=frozenset({str(outside)}))
    for path in (tree, tree / "bin", tree / "bin/tool", tree / "data", tree / "inside", tree / "way-out"):
        assert (path.lstat().st_uid, path.lstat().st_gid) == (0, 0)
    assert outside.stat().st_uid == 61000


@pytest.mark.parametrize("target", ["/etc/shadow", "../../outside", "bin/../../..", "/", "/etc"])
def test_links_that_lead_out_are_refused(tree, target):
    (tree / "evil").symlink_to(target)
    with pytest.raises(SealError, match="'evil'"):
        seal(str(tree), owner=OWNER)


def test_a_link_through_a_link_that_leads_out_is_refused(tree):
    (tree / "bin" / "a").symlink_to("../b/c")
    (tree / "b").symlink_to("/etc")
    with pytest.raises(SealError, match="leads out of it"):
        seal(str(tree), owner=OWNER)


def test_links_inside_are_kept(tree):
    (tree / "bin" / "relative").symlink_to("../data")
    (tree / "absolute").symlink_to(tree / "data")
    (tree / "dangling").symlink_to("bin/nothing")
    seal(str(tree), owner=OWNER)
    assert (tree / "absolute").is_symlink()


@pytest.mark.parametrize("kind", ["fifo", "socket"])
def test_special_files_are_refused(tree, kind):
    if kind == "fifo":
        os.mkfifo(tree / "special")
    else:
        os.mknod(tree / "special", stat.S_IFSOCK | 0o600)
    with pytest.raises(SealError, match="a special file at 'special'"):
        seal(str(tree), owner=OWNER)


def test_hard_links_to_the_outside_are_refused_and_inner_ones_are_not(tree, tmp_path):
    os.link(tree / "data", tree / "bin" / "same")
    seal(str(tree), owner=OWNER)
    outside = tmp_path / "outside"
    outside.write_text("x")
    os.link(outside, tree / "bin" / "stolen")
    with pytest.raises(SealError, match="a hard link to a file outside of it at 'bin/stolen'"):
        seal(str(tree), owner=OWNER)


def test_the_tree_itself_must_be_no_link(tree, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tree)
    with pytest.raises(OSError):
        seal(str(link), owner=OWNER)


def test_stable_links_resolve_their_pattern(tree):
    (tree / "lib/python3.11/x").mkdir(parents=True)
    (tree / "lib/python3.11/x/node").write_text("x")
    assert make_links(str(tree), {"stable/node": "lib/python3*/x/node", "node": "lib/python3*/x/node"}) == [
        "node",
        "stable/node",
    ]
    assert os.readlink(tree / "stable/node") == "../lib/python3.11/x/node"
    assert os.readlink(tree / "node") == "lib/python3.11/x/node"


@pytest.mark.parametrize(
    ("links", "words"),
    [
        ({"n": "nothing*"}, "needs one file .* found nothing"),
        ({"n": "*"}, "needs one file .* found bin, data"),
        ({"data": "bin/tool"}, "a file 'data' of its own"),
        ({"bin/tool": "data"}, "a file 'bin/tool' of its own"),
        ({"data/n": "bin/tool"}, "below 'data', which is no directory"),
        ({"way/n": "data"}, "below 'way', which is no directory"),
        ({"n": "out"}, "leads out of the release"),
    ],
)
def test_stable_links_that_cannot_be_made(tree, tmp_path, links, words):
    (tree / "way").symlink_to("bin")
    if "*" not in next(iter(links.values())):
        (tree / "out").symlink_to("/etc")
    else:
        (tree / "way").unlink()
    with pytest.raises(SealError, match=words):
        make_links(str(tree), links)


@pytest.mark.parametrize("bad", ["/etc/x", "../x", "a/../b", "", "a//b", "./a"])
def test_link_names_are_plain_relative_paths(bad):
    with pytest.raises(SealError, match="must be a path relative"):
        check_link_names({bad: "x"})
    with pytest.raises(SealError, match="must be a path relative"):
        check_link_names({"x": bad})
