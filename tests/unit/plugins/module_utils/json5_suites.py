# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSONTestSuite and json5-tests, taken from the PyPI source distribution of pyjson5.

Fetched with pip when they are first needed, pinned by version and digest, kept in
$FAILCLOSED_TEST_CACHE or else in a directory under the system's temporary directory.
"""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VERSION = "2.0.1"
SHA256 = "a5b0e322e847b198a50d8a1ef16d6b2b19129644dc018d76773e81ef1487ca39"


def _cache() -> Path:
    named = os.environ.get("FAILCLOSED_TEST_CACHE")
    path = Path(named) if named else Path(tempfile.gettempdir()) / f"failclosed-test-cache-{os.getuid()}"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def _archive() -> Path:
    name = f"pyjson5-{VERSION}.tar.gz"
    target = _cache() / name
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            requirements = Path(scratch) / "requirements.txt"
            requirements.write_text(f"pyjson5=={VERSION} --hash=sha256:{SHA256}\n")
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            command += ["--no-binary", "pyjson5", "--requirement", str(requirements)]
            run = subprocess.run(
                [*command, "--dest", scratch], capture_output=True, text=True, timeout=600, check=False
            )
            if run.returncode:
                raise RuntimeError(f"pip could not fetch {name}, the external suites: {run.stderr[-2000:]}")
            os.replace(Path(scratch) / name, target)
    found = hashlib.sha256(target.read_bytes()).hexdigest()
    if found != SHA256:
        raise RuntimeError(f"{target} has SHA-256 {found}, not {SHA256}; remove it and run again")
    return target


@functools.cache
def _files(folder: str) -> dict[str, bytes]:
    prefix = f"pyjson5-{VERSION}/third-party/{folder}/"
    found: dict[str, bytes] = {}
    with tarfile.open(_archive()) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None and member.name.startswith(prefix):
                found[member.name[len(prefix) :]] = content.read()
    return found


def json_test_suite() -> dict[str, bytes]:
    """File name -> content; the first letter says y(es), n(o) or i(mplementation's choice)."""
    return {name: content for name, content in _files("JSONTestSuite/test_parsing").items() if name.endswith(".json")}


def json5_tests() -> dict[str, bytes]:
    """Path -> content. ``.json`` and ``.json5`` are valid JSON5, ``.js`` and ``.txt`` are not."""
    return {
        name: content
        for name, content in _files("json5-tests").items()
        if name.endswith((".json", ".json5", ".js", ".txt"))
    }
