# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.failclosed.openclaw.plugins.module_utils import _plugin_package
from ansible_collections.failclosed.openclaw.plugins.module_utils._plugin_package import PackageError, PackedFile

PLUGIN = Path(__file__).resolve().parents[4] / "plugin"
ME = frozenset({os.geteuid()})


def write(directory: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o644)
    return directory


def minimal(**description) -> dict[str, str]:
    return {
        "openclaw.plugin.json": json.dumps({"id": "example", "configSchema": {}}),
        "package.json": json.dumps({"name": "example", "version": "1.2.3", **description}),
        "index.js": "export default {}\n",
    }


def archive(members: dict[str, bytes], **special: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as writer:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            writer.addfile(info, io.BytesIO(content))
        for info in special.values():
            writer.addfile(info)
    return buffer.getvalue()


def packed(files: dict[str, str], **special: tarfile.TarInfo) -> bytes:
    return archive({f"package/{name}": text.encode() for name, text in files.items()}, **special)


def test_a_directory_gives_identity_and_files(tmp_path):
    files = minimal(openclaw={"install": {"minHostVersion": ">=2026.8.1"}})
    package = _plugin_package.read_directory(str(write(tmp_path, files)), trusted_uids=ME)
    assert (package.plugin_id, package.version, package.minimum_host) == ("example", "1.2.3", "2026.8.1")
    assert sorted(package.files) == sorted(files)


def test_files_in_package_json_decide_what_is_packed(tmp_path):
    write(
        tmp_path,
        {
            **minimal(files=["index.js", "lib", "./deep/one.js"]),
            "lib/a/b.js": "b",
            "deep/one.js": "1",
            "deep/two.js": "2",
            "test/x.test.js": "x",
            "tsconfig.json": "{}",
            "README.md": "r",
            "LICENSE": "l",
            ".git/config": "g",
            "node_modules/x/index.js": "n",
        },
    )
    package = _plugin_package.read_directory(str(tmp_path), trusted_uids=ME)
    assert sorted(package.files) == [
        "LICENSE",
        "README.md",
        "deep/one.js",
        "index.js",
        "lib/a/b.js",
        "openclaw.plugin.json",
        "package.json",
    ]


def test_the_plugin_of_this_repository_is_packed_without_its_tests():
    package = _plugin_package.read_directory(str(PLUGIN), trusted_uids=None)
    listed = json.loads((PLUGIN / "package.json").read_text())["files"]
    assert set(package.files) == {*listed, "package.json", "README.md", "LICENSE"}
    assert package.plugin_id == "anthropic-max-proxy"
    assert len(_plugin_package.pack(package)) < 30_000


def test_dependencies_need_their_modules(tmp_path):
    write(tmp_path, minimal(dependencies={"left": "1"}, files=["index.js"]))
    with pytest.raises(PackageError, match="depends on left"):
        _plugin_package.read_directory(str(tmp_path), trusted_uids=ME)
    write(tmp_path, {"node_modules/left/index.js": "x"})
    package = _plugin_package.read_directory(str(tmp_path), trusted_uids=ME)
    assert "node_modules/left/index.js" in package.files


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "there is no openclaw.plugin.json"),
        ({"openclaw.plugin.json": "{"}, "not valid JSON"),
        ({"openclaw.plugin.json": "[]"}, "not a JSON object"),
        ({"openclaw.plugin.json": "{}"}, "has no id"),
        (minimal(files=["*.js"]), "only plain names"),
        (minimal(files=["../x"]), "no path inside"),
    ],
)
def test_an_unusable_directory_is_refused(tmp_path, files, message):
    with pytest.raises(PackageError, match=message):
        _plugin_package.read_directory(str(write(tmp_path, files)), trusted_uids=ME)


def test_a_directory_that_others_can_change_is_refused(tmp_path):
    write(tmp_path, minimal())
    (tmp_path / "index.js").chmod(0o666)
    with pytest.raises(PackageError, match=r"index\.js: belongs to uid .* mode 0666"):
        _plugin_package.read_directory(str(tmp_path), trusted_uids=ME)
    with pytest.raises(PackageError, match="belongs to uid"):
        _plugin_package.read_directory(str(tmp_path), trusted_uids=frozenset({4711}))


def test_a_manifest_may_be_json5(tmp_path):
    write(tmp_path, {**minimal(), "openclaw.plugin.json": "{ // OpenClaw reads it like this\n id: 'example', }"})
    assert _plugin_package.read_directory(str(tmp_path), trusted_uids=ME).plugin_id == "example"


@given(st.binary(max_size=60) | st.sampled_from([b"[" * 100_000, b"{a:" * 100_000, b"\xff\xfe{}", b"\xef\xbb\xbf{}"]))
def test_no_manifest_makes_parsing_crash(data):
    try:
        _plugin_package.parse(data)
    except ValueError as error:
        assert str(error)


def test_links_and_missing_directories_are_refused(tmp_path):
    write(tmp_path / "a", minimal())
    (tmp_path / "a" / "link.js").symlink_to("/etc/hostname")
    with pytest.raises(PackageError, match=r"link\.js: is a symlink"):
        _plugin_package.read_directory(str(tmp_path / "a"), trusted_uids=ME)
    with pytest.raises(PackageError, match="does not exist on this host"):
        _plugin_package.read_directory(str(tmp_path / "b"), trusted_uids=ME)


def test_packing_is_reproducible_and_keeps_the_digest(tmp_path):
    write(tmp_path, {**minimal(), "bin/tool": "#!/bin/sh\n"})
    (tmp_path / "bin/tool").chmod(0o755)
    package = _plugin_package.read_directory(str(tmp_path), trusted_uids=ME)
    first = _plugin_package.pack(package)
    os.utime(tmp_path / "index.js", (1, 1))
    again = _plugin_package.read_directory(str(tmp_path), trusted_uids=ME)
    assert _plugin_package.pack(again) == first
    unpacked = _plugin_package.read_archive(first, "x")
    assert unpacked == package
    assert unpacked.files["bin/tool"].executable
    assert unpacked.digest == package.digest


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8}){0,3}\.js", fullmatch=True), st.binary(max_size=200), max_size=6
    ),
    st.booleans(),
)
def test_any_package_survives_packing(extra, executable):
    files = {name: PackedFile(text.encode()) for name, text in minimal().items()}
    files.update({name: PackedFile(content, executable) for name, content in extra.items()})
    package = _plugin_package.from_files(files, "x")
    assert _plugin_package.read_archive(_plugin_package.pack(package), "x") == package


@given(st.binary(max_size=300))
def test_no_bytes_make_reading_an_archive_crash(data):
    for content in (data, gzip.compress(data), gzip.compress(data.ljust(1024, b"\0"))):
        with pytest.raises(PackageError):
            _plugin_package.read_archive(content, "x")


def test_the_digest_tells_paths_contents_and_executable_bits_apart():
    base = {name: PackedFile(text.encode()) for name, text in minimal().items()}
    variants = [
        base,
        {**base, "index.js": PackedFile(b"other")},
        {**base, "index.js": PackedFile(base["index.js"].content, executable=True)},
        {**base, "more.js": PackedFile(b"")},
        {name: file for name, file in base.items() if name != "index.js"},
    ]
    assert len({_plugin_package.from_files(files, "x").digest for files in variants}) == len(variants)


def link(name: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = "/etc/passwd"
    return info


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_an_archive_with_links_or_devices_is_refused(kind):
    with pytest.raises(PackageError, match="links and devices"):
        _plugin_package.read_archive(packed(minimal(), bad=link("package/bad", kind)), "x")


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "package/../evil", "package//evil", "package/./evil"])
def test_an_archive_that_leaves_its_directory_is_refused(name):
    content = packed(minimal())
    evil = archive({name: b"x", **{f"package/{n}": t.encode() for n, t in minimal().items()}})
    assert _plugin_package.read_archive(content, "x").plugin_id == "example"
    with pytest.raises(PackageError, match=r"no path inside|top director"):
        _plugin_package.read_archive(evil, "x")


def test_an_archive_needs_one_top_directory():
    with pytest.raises(PackageError, match="not below a top directory"):
        _plugin_package.read_archive(archive({"index.js": b"x"}), "x")
    with pytest.raises(PackageError, match="2 top directories"):
        _plugin_package.read_archive(archive({"a/index.js": b"x", "b/other.js": b"x"}), "x")


def test_an_archive_that_unpacks_to_too_much_is_refused(monkeypatch):
    monkeypatch.setattr(_plugin_package, "MAXIMUM_BYTES", 100_000)
    monkeypatch.setattr(_plugin_package, "MAXIMUM_FILES", 10)
    with pytest.raises(PackageError, match="unpacks to more"):
        _plugin_package.read_archive(packed({**minimal(), "big": "x" * 10_000_000}), "x")
    with pytest.raises(PackageError, match="more than 10 files"):
        _plugin_package.read_archive(packed({**minimal(), **{f"{n}.js": "" for n in range(10)}}), "x")


def test_a_file_twice_is_refused():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as writer:
        for _number in range(2):
            writer.addfile(tarfile.TarInfo("package/a"), io.BytesIO(b""))
    with pytest.raises(PackageError, match="is in it twice"):
        _plugin_package.read_archive(buffer.getvalue(), "x")


def integrity(content: bytes, algorithm: str = "sha512") -> str:
    return f"{algorithm}-{base64.b64encode(hashlib.new(algorithm, content).digest()).decode()}"


def test_integrity_of_archives_and_trees():
    content = packed(minimal())
    package = _plugin_package.read_archive(content, "x")
    for expected in (integrity(content), integrity(content, "sha256"), package.digest):
        _plugin_package.require_integrity(package, content, expected, "x")
    _plugin_package.require_integrity(package, None, package.digest, "x")
    for expected, message in [
        (integrity(content + b"x"), "was asked for; nothing was installed"),
        ("tree-sha256:" + "0" * 64, "was asked for; nothing was installed"),
        ("sha512-AAAA", "is no sha512 digest"),
        ("sha512-%%", "is no sha512 digest"),
        ("md5-xyz", "no known form"),
        ("latest", "no known form"),
    ]:
        with pytest.raises(PackageError, match=message):
            _plugin_package.require_integrity(package, content, expected, "x")
    with pytest.raises(PackageError, match=f"would be {package.digest}"):
        _plugin_package.require_integrity(package, None, integrity(content), "x")


def test_an_archive_file_must_be_out_of_reach_of_others(tmp_path):
    path = tmp_path / "x.tgz"
    path.write_bytes(packed(minimal()))
    path.chmod(0o644)
    assert _plugin_package.read_archive_file(str(path), trusted_uids=ME)[0].plugin_id == "example"
    path.chmod(0o664)
    with pytest.raises(PackageError, match="mode 0664"):
        _plugin_package.read_archive_file(str(path), trusted_uids=ME)
    with pytest.raises(PackageError, match="does not exist"):
        _plugin_package.read_archive_file(str(tmp_path / "y.tgz"), trusted_uids=ME)
