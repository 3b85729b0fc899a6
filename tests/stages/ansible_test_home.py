# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fill a home directory in which ansible-test makes its virtual environments with pip alone.

ansible-test downloads a script named get-pip from a host of its own, and hands neither proxies nor certificates on.
So the script is a stand-in that installs a wheel lying beside it, and the settings of the network go into pip's file.
"""

from __future__ import annotations

import ast
import configparser
import os
import subprocess
import sys
from pathlib import Path

STAND_IN = """\
import runpy
import sys

WHEEL = {wheel!r}
sys.path.insert(0, WHEEL)
sys.argv = ["pip", "install", "--quiet", "--no-index", "--no-deps", "--ignore-installed", WHEEL]
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""


def pip_settings() -> dict[str, str]:
    """Return what pip takes from its files and the environment for every command, by option name."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    settings: dict[str, str] = {}
    for line in listed.splitlines():
        name, _separator, value = line.partition("=")
        section, _separator, option = name.rpartition(".")
        if section in ("global", "install", ":env:"):
            settings[option] = str(ast.literal_eval(value))
    for option, variables in {
        "cert": ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"),
        "proxy": ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
    }.items():
        named = [os.environ[variable] for variable in variables if os.environ.get(variable)]
        if named:
            settings.setdefault(option, named[0])
    settings |= {"no-input": "true", "quiet": "1"}
    return settings


def fill(home: Path) -> None:
    """Write the stand-in for each pip wheel in `home`, and pip's configuration file."""
    cache = home / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    for wheel in home.glob("pip-*.whl"):
        version = wheel.name.split("-")[1].replace(".", "_")
        (cache / f"get_pip_{version}.py").write_text(STAND_IN.format(wheel=str(wheel)))
    configuration = configparser.RawConfigParser()
    configuration["global"] = {option: value.replace("\n", "\n ") for option, value in pip_settings().items()}
    target = home / ".config" / "pip" / "pip.conf"
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w") as stream:
        configuration.write(stream)


if __name__ == "__main__":
    fill(Path(sys.argv[1]).resolve())
