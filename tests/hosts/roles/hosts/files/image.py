# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the base images of disposable hosts from Debian packages, or find them built.

Prints one JSON document: ``{"changed": bool, "images": {release: name}, "seconds": {release: s}}``.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import shlex
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import lock
import machine

REPOSITORY = "localhost/failclosed-host"
LABEL = "failclosed.hosts.image"
PACKAGES = (
    "ca-certificates",
    "dbus",
    "iproute2",
    "openssh-server",
    "python3",
    "systemd",
    "systemd-sysv",
)
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
TREE = Path(__file__).resolve().parent / "image"
# The background jobs of apt would hold dpkg's lock while a test wants it.
MASKED_UNITS = ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer")
BUILD_SECONDS = 900


def certificate_environment() -> dict[str, str]:
    """Return what programs with a CA list of their own (node, pip, requests) have to be told."""
    return {
        "NODE_EXTRA_CA_CERTS": BUNDLE,
        "PIP_CERT": BUNDLE,
        "REQUESTS_CA_BUNDLE": BUNDLE,
        "SSL_CERT_FILE": BUNDLE,
    }


def machine_files() -> dict[str, str]:
    """Return path -> content of the files that carry the machine's network settings."""
    environment = certificate_environment()
    registry = machine.npm_registry()
    npmrc = [f"cafile={BUNDLE}"]
    if registry:
        npmrc.append(f"registry={registry}")
    services = " ".join(f'"{name}={value}"' for name, value in environment.items())
    if registry:
        environment["NPM_CONFIG_REGISTRY"] = registry
    pip = [f"{key} = {value}" for key, value in machine.pip_indexes().items()]
    files = {
        "etc/environment": "".join(f"{name}={value}\n" for name, value in environment.items()),
        "etc/systemd/system.conf.d/50-trusted-authorities.conf": (f"[Manager]\nDefaultEnvironment={services}\n"),
        "etc/pip.conf": "\n".join(["[global]", f"cert = {BUNDLE}", *pip, ""]),
        "etc/npmrc": "\n".join([*npmrc, ""]),
    }
    for number, certificate in enumerate(machine.extra_certificates()):
        files[f"usr/local/share/ca-certificates/machine-{number:03d}.crt"] = certificate
    return files


def overlay() -> bytes:
    """Return a tar archive of the files laid over Debian's packages, the same bytes each time."""
    contents = {name: text.encode() for name, text in machine_files().items()}
    executable = {"usr/local/sbin/disposable-host"}
    for path in TREE.rglob("*"):
        if path.is_file():
            contents[str(path.relative_to(TREE))] = path.read_bytes()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in sorted(contents):
            entry = tarfile.TarInfo(name)
            entry.size = len(contents[name])
            entry.mode = 0o755 if name in executable else 0o644
            tar.addfile(entry, io.BytesIO(contents[name]))
    return archive.getvalue()


def recipe(release: str) -> dict[str, Any]:
    """Return everything that decides what is in the image of a Debian release."""
    in_image = 'chroot "$1" '
    return {
        "release": release,
        "packages": PACKAGES,
        "sources": machine.apt_sources(release),
        "apt_options": machine.apt_options(),
        "overlay": hashlib.sha256(overlay()).hexdigest(),
        "hooks": [
            'rm -f "$1"/etc/ssh/ssh_host_*',
            'install -d -m 0700 "$1"/root/.ssh',
            in_image + "update-ca-certificates",
            in_image + "systemctl enable disposable-host.service",
            in_image + "systemctl mask " + " ".join(MASKED_UNITS),
        ],
    }


def image_name(release: str) -> str:
    """Return the name that the image of this release has on this machine, with this recipe."""
    text = json.dumps(recipe(release), sort_keys=True)
    return f"{REPOSITORY}:{release}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def stored() -> dict[str, float]:
    """Return name -> age in days of the images built before."""
    listed = machine.run(["podman", "images", "--filter", f"label={LABEL}", "--format", "json"]).stdout
    now = time.time()
    return {
        name: (now - image["Created"]) / 86400
        for image in json.loads(listed or "[]")
        for name in image.get("Names") or []
    }


def build(release: str, name: str) -> None:
    """Build and store the image ``name``.

    :raises machine.MachineError: no mirror answered, or the build failed.
    """
    made_of = recipe(release)
    with tempfile.TemporaryDirectory(prefix="failclosed-host-", dir="/var/tmp") as folder:
        laid_over = Path(folder) / "overlay.tar"
        laid_over.write_bytes(overlay())
        archive = Path(folder) / "image.tar"
        argv = [
            "mmdebstrap",
            "--quiet",
            "--variant=minbase",
            f"--include={','.join(PACKAGES)}",
        ]
        argv += [f"--aptopt={option}" for option in made_of["apt_options"]]
        argv += [
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*",
            f"--customize-hook=tar-in {shlex.quote(str(laid_over))} /",
        ]
        argv += [f"--customize-hook={hook}" for hook in made_of["hooks"]]
        argv += [release, str(archive), *made_of["sources"]]
        machine.run(argv, timeout=BUILD_SECONDS)
        machine.run(
            ["podman", "import", "--quiet",
             "--change", 'CMD ["/sbin/init"]',
             "--change", "STOPSIGNAL SIGRTMIN+3",
             "--change", f"LABEL {LABEL}={release}",
             str(archive), name],
            timeout=BUILD_SECONDS,
        )  # fmt: skip


def remove(names: list[str]) -> list[str]:
    """Remove images that no container uses; return the names of those that went."""
    return [name for name in names if machine.run(["podman", "image", "rm", name], check=False).returncode == 0]


def ensure(releases: list[str], max_age_days: float) -> dict[str, Any]:
    """Return the images of the releases, built where they are missing or too old."""
    names = {release: image_name(release) for release in releases}
    seconds: dict[str, float] = {}

    def wanting() -> list[str]:
        ages = stored()
        return [release for release, name in names.items() if name not in ages or ages[name] > max_age_days]

    if wanting():
        with lock.held("image"):
            for release in wanting():
                started = time.monotonic()
                build(release, names[release])
                seconds[release] = round(time.monotonic() - started, 1)
            outdated = [name for name, age in stored().items() if age > max_age_days and name not in names.values()]
            remove(outdated)
            machine.run(["podman", "image", "prune", "--force", "--filter", f"label={LABEL}"])
    return {"changed": bool(seconds), "images": names, "seconds": seconds}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("releases", nargs="*", help="Debian code names")
    parser.add_argument("--max-age-days", type=float, default=7.0)
    parser.add_argument("--remove", action="store_true", help="remove all images instead")
    asked = parser.parse_args()
    try:
        if asked.remove:
            gone = remove(list(stored()))
            print(json.dumps({"changed": bool(gone), "removed": gone}))
        else:
            print(json.dumps(ensure(asked.releases, asked.max_age_days)))
    except machine.MachineError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
