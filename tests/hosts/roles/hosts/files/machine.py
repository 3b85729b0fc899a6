# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the machine that carries the disposable hosts can do, and what its network asks of them."""

from __future__ import annotations

import configparser
import hashlib
import ipaddress
import json
import os
import re
import resource
import shutil
import ssl
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

MACHINE_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
BUNDLE_VARIABLES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
)
# Paths and keys in these trees belong to the machine's files, and some are secrets.
APT_OPTIONS_HANDED_ON = re.compile(
    r"^Acquire::(https?::(?!.*(Cert|Key|CaInfo|CaPath|CRL)).*|Retries|Check-Valid-Until|Check-Date|Max-FutureTime|ForceIPv[46])$",
    re.IGNORECASE,
)
PEM_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


class MachineError(Exception):
    """The machine cannot do what is asked; the message says what to change."""


def run(argv: list[str], *, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run one command with captured text output.

    :raises MachineError: the command is missing, timed out, or (with ``check``) failed.
    """
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)
    except FileNotFoundError:
        raise MachineError(f"the command {argv[0]} is not installed on this machine") from None
    except subprocess.TimeoutExpired:
        raise MachineError(f"no answer within {timeout:.0f} s from: {' '.join(argv)}") from None
    if check and done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise MachineError(f"exit status {done.returncode} from: {' '.join(argv)}\n{said}")
    return done


def cgroup_layout() -> str:
    """Return ``unified``, ``hybrid`` or ``legacy`` (systemd.io/CGROUP_DELEGATION names them)."""
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        return "unified"
    if Path("/sys/fs/cgroup/unified/cgroup.procs").exists():
        return "hybrid"
    return "legacy"


def runtimes() -> list[str]:
    """Return the installed OCI runtimes, the likeliest to work on this cgroup layout first."""
    order = ["crun", "runc"] if cgroup_layout() == "unified" else ["runc", "crun"]
    installed = [name for name in order if shutil.which(name)]
    if not installed:
        raise MachineError("neither crun nor runc is installed on this machine")
    return installed


def ulimits() -> dict[str, int]:
    """Return the highest ``nofile`` and ``nproc`` that podman can give to a container.

    Without CAP_SYS_RESOURCE no process raises a hard limit, and podman lowers its own limit of
    processes to kernel.pid_max at its start, so a value between the two fails with EPERM.
    """

    def hard(which: int, ceiling: int) -> int:
        limit = resource.getrlimit(which)[1]
        return ceiling if limit == resource.RLIM_INFINITY else min(limit, ceiling)

    pid_max = int(Path("/proc/sys/kernel/pid_max").read_text(encoding="ascii"))
    return {
        "nofile": hard(resource.RLIMIT_NOFILE, 1048576),
        "nproc": hard(resource.RLIMIT_NPROC, min(pid_max, 1048576)),
    }


def has_ipv6() -> bool:
    """Return whether the kernel has IPv6 and its NAT, which podman's bridge asks for."""
    addresses = Path("/proc/net/if_inet6")
    if not addresses.exists() or not addresses.read_text(encoding="ascii").strip():
        return False
    tests = (["ip6tables", "-t", "nat", "-S"], ["nft", "list", "tables", "ip6"])
    return any(run(argv, check=False).returncode == 0 for argv in tests if shutil.which(argv[0]))


def default_mtu() -> int | None:
    """Return the MTU in bytes of the interface of the default route, if there is one."""
    for family in ("-4", "-6"):
        found = run(["ip", "-json", family, "route", "show", "default"], check=False)
        for route in json.loads(found.stdout or "[]"):
            path = Path("/sys/class/net") / str(route.get("dev")) / "mtu"
            if path.exists():
                return int(path.read_text(encoding="ascii"))
    return None


def networks_in_use() -> list[IPNetwork]:
    """Return every network that a route, an address, a name server or podman claims."""
    texts: list[str] = []
    for family in ("-4", "-6"):
        routes = run(["ip", "-json", family, "route", "show", "table", "all"], check=False)
        for route in json.loads(routes.stdout or "[]"):
            texts.append(str(route.get("dst", "")))
            texts.append(str(route.get("gateway", "")))
    for interface in json.loads(run(["ip", "-json", "address"]).stdout or "[]"):
        for address in interface.get("addr_info", []):
            texts.append(f"{address.get('local')}/{address.get('prefixlen')}")
    resolver = Path("/etc/resolv.conf")
    if resolver.exists():
        for line in resolver.read_text(encoding="utf-8", errors="replace").splitlines():
            words = line.split()
            if len(words) > 1 and words[0] == "nameserver":
                texts.append(words[1])
    names = run(["podman", "network", "ls", "--quiet"]).stdout.split()
    if names:
        for network in json.loads(run(["podman", "network", "inspect", *names]).stdout):
            texts.extend(str(subnet["subnet"]) for subnet in network.get("subnets") or [])
    found: list[IPNetwork] = []
    for text in texts:
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            continue
        if network.prefixlen > 0:
            found.append(network)
    return found


def _fingerprint(pem: str) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def _certificates(paths: Iterable[Path]) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in paths:
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            for pem in PEM_CERTIFICATE.findall(text):
                found[_fingerprint(pem)] = pem + "\n"
    return found


def extra_certificates() -> list[str]:
    """Return, as PEM texts, the authorities that this machine trusts beyond Debian's own list.

    A network that inspects TLS is passable for the hosts only with these.
    """
    bundles = [Path(os.environ[name]) for name in BUNDLE_VARIABLES if os.environ.get(name)]
    trusted = _certificates([MACHINE_BUNDLE, *bundles])
    trusted.update(_certificates(sorted(Path("/usr/local/share/ca-certificates").rglob("*.crt"))))
    shipped = _certificates(sorted(Path("/usr/share/ca-certificates").rglob("*.crt")))
    return [trusted[key] for key in sorted(trusted) if key not in shipped]


def apt_sources(release: str) -> list[str]:
    """Return one-line apt sources for a Debian release from the mirrors that this machine uses.

    Empty when the machine has no Debian mirror of its own: mmdebstrap then takes its default.
    """
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    listed = run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)",
         "Created-By: Packages"]
    )  # fmt: skip
    main: str | None = None
    security: str | None = None
    for line in listed.stdout.splitlines():
        words = line.split()
        if len(words) != 3 or words[2] != "main":
            continue
        if re.fullmatch(r"bullseye|bookworm|trixie|forky|stable|oldstable", words[1]):
            main = main or words[0]
        elif re.fullmatch(r"[a-z]+[-/]security", words[1]) and "debian" in words[0]:
            security = security or words[0]
    if main is None or not Path(keyring).exists():
        return []
    option = f"[signed-by={keyring}]"
    sources = [
        f"deb {option} {main} {release} main",
        f"deb {option} {main} {release}-updates main",
    ]
    if security:
        sources.append(f"deb {option} {security} {release}-security main")
    return sources


def apt_options() -> list[str]:
    """Return the download settings of this machine's apt that the hosts need as well."""
    options = []
    for line in run(["apt-config", "dump", "Acquire"]).stdout.splitlines():
        name, _separator, value = line.partition(" ")
        if APT_OPTIONS_HANDED_ON.match(name) and value not in ('"";', ""):
            options.append(line.rstrip(";"))
    return options


def _first_setting(paths: Iterable[Path], pattern: str) -> str | None:
    for path in paths:
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            match = re.search(pattern, text, re.MULTILINE)
            if match:
                return match.group(1).strip().strip("\"'")
    return None


def npm_registry() -> str | None:
    """Return the npm registry that this machine is set to, None for npm's default."""
    for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY"):
        if os.environ.get(name):
            return os.environ[name]
    folders = [Path(folder) for folder in ("/etc", "/usr/etc", "/usr/local/etc")]
    return _first_setting(
        [Path.home() / ".npmrc", *(folder / "npmrc" for folder in folders)],
        r"^\s*registry\s*=\s*(\S+)",
    )


def pip_indexes() -> dict[str, str]:
    """Return ``index-url`` and ``extra-index-url`` of this machine's pip where they are remote.

    Folders of this machine mean nothing inside a host and are left out.
    """
    settings: dict[str, str] = {}
    paths = [Path("/etc/pip.conf"), Path.home() / ".pip/pip.conf",
             Path.home() / ".config/pip/pip.conf"]  # fmt: skip
    for path in paths:
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read(path, encoding="utf-8")
        except configparser.Error:
            continue
        for section in ("global", "install"):
            if parser.has_section(section):
                settings.update(parser.items(section))
    for key in ("index-url", "extra-index-url"):
        value = os.environ.get("PIP_" + key.upper().replace("-", "_"))
        if value:
            settings[key] = value
    found = {}
    for key in ("index-url", "extra-index-url"):
        remote = [word for word in settings.get(key, "").split() if re.match("https?://", word)]
        if remote:
            found[key] = " ".join(remote)
    return found


def summary() -> dict[str, Any]:
    """Return what a person wants to know about the machine when something does not work."""
    return {
        "cgroups": cgroup_layout(),
        "runtimes": runtimes(),
        "ulimits": ulimits(),
        "ipv6": has_ipv6(),
        "mtu": default_mtu(),
        "extra_certificates": len(extra_certificates()),
    }


if __name__ == "__main__":
    print(json.dumps(summary(), indent=2))
