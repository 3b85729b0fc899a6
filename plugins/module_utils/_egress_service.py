# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the kernel rule comes back after a boot and after nftables.service, and holds the gateway. Private to this
collection.

nftables.service flushes every table when it starts, reloads or stops; a drop-in of it loads this table again right
after, in the same job. PartOf= would cover restart and stop, but neither a reload nor the first start.
"""

from __future__ import annotations

import os
import posixpath
import re
import stat
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.failclosed.openclaw.plugins.module_utils import _egress, _files, _service_unit

NFT_PATHS = ("/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft")
NFTABLES_DROP_IN = "/etc/systemd/system/nftables.service.d/failclosed-openclaw.conf"
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")
_MARK = "# Managed by Ansible, role failclosed.openclaw.openclaw_egress\n"

_UNIT = """\
[Unit]
Description=Kernel rule for {subject} (nftables table inet {table})
Documentation=man:nft(8)
DefaultDependencies=no
Wants=network-pre.target
After=local-fs.target nftables.service
Before=network-pre.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={nft} --file {rules}
ExecReload={nft} --file {rules}
# Without an ExecStop: to stop this unit does not open the way.
Restart=on-failure
RestartSec=2
TimeoutStartSec=30
StandardInput=null

UMask=0077
NoNewPrivileges=true
CapabilityBoundingSet=CAP_NET_ADMIN
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=true
PrivateDevices=true
ProtectKernelTunables=true
ProtectKernelModules=true
ProtectKernelLogs=true
ProtectControlGroups=true
ProtectClock=true
ProtectHostname=true
ProtectProc=invisible
RestrictAddressFamilies=AF_UNIX AF_NETLINK
RestrictNamespaces=true
RestrictRealtime=true
RestrictSUIDSGID=true
LockPersonality=true
MemoryDenyWriteExecute=true
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=sysinit.target
"""

_NFTABLES = """\
# nftables.service has just flushed every table; its own result must not depend on this one.
[Service]
ExecStartPost=-{nft} --file {rules}
ExecReload=-{nft} --file {rules}
ExecStopPost=-{nft} --file {rules}
"""

# Requires= would also stop the gateway whenever the rule is loaded anew. Both checks run outside the gateway's sandbox:
# where a container allows no IPC namespace, systemd 252 sets one up for one process of a unit only.
_GATEWAY = """\
# The gateway does not start unless the table is there or can be loaded, and is for the uid that it has.
[Unit]
Wants={unit}.service
After={unit}.service

[Service]
ExecStartPre=+/bin/sh -c 'test "$$(id -u {user})" = {uid} || {{ echo {user} has no longer uid {uid} >&2; exit 1; }}'
ExecStartPre=+/bin/sh -c '{nft} list chain inet {table} output >/dev/null 2>&1 || exec {nft} --file {rules}'
"""


@dataclass(frozen=True)
class Installation:
    """What belongs to the rule on a host; ``gateway_unit`` is empty where the gateway is no system service."""

    nft: str
    rules: str
    gateway_user: str
    gateway_uid: int
    gateway_unit: str

    def service(self) -> _service_unit.Service:
        names = {
            "nft": self.nft,
            "rules": _egress.RULES,
            "table": _egress.TABLE,
            "unit": _egress.UNIT,
            "subject": "the OpenClaw gateway",
        }
        files = [
            _service_unit.ManagedFile(_egress.RULES, self.rules.encode()),
            _service_unit.ManagedFile(NFTABLES_DROP_IN, (_MARK + nftables_drop_in(**names)).encode(), restart=False),
        ]
        if self.gateway_unit:
            if not _USER.match(self.gateway_user):
                raise _egress.EgressError(
                    f"gateway_user '{self.gateway_user}' cannot be written into a unit; use a name of letters, digits,"
                    " '_', '.' and '-', or leave gateway_unit empty."
                )
            text = _MARK + _GATEWAY.format(user=self.gateway_user, uid=self.gateway_uid, **names)
            path = gateway_drop_in(self.gateway_unit)
            files.append(_service_unit.ManagedFile(path, text.encode(), restart=False))
        return _service_unit.Service(name=_egress.UNIT, unit=_MARK + unit_text(**names), files=tuple(files))


def unit_text(**names: str) -> str:
    """The unit that loads a table: ``nft``, ``rules`` (its file), ``table``, and ``subject``, whom it is about."""
    return _UNIT.format(**names)


def nftables_drop_in(**names: str) -> str:
    """What nftables.service does after it has flushed every table: load ``rules`` again with ``nft``."""
    return _NFTABLES.format(**names)


def find_nft(candidates: t.Sequence[str] = NFT_PATHS) -> str | None:
    """Where nft is; the same answer whatever PATH a login has, because it goes into a unit."""
    return next((path for path in candidates if os.access(path, os.X_OK)), None)


_DROP_IN = "10-failclosed-egress.conf"


def gateway_drop_in(unit: str) -> str:
    return f"/etc/systemd/system/{unit}.d/{_DROP_IN}"


def _content(path: str) -> bytes | None:
    parent, name = posixpath.split(path)
    try:
        with _files.open_directory(parent) as descriptor:
            found = _files.read_file(descriptor, name)
    except FileNotFoundError:
        return None
    return found.content if found else None


def drop_ins_of(name: str, mark: str, directory: str = _service_unit.UNIT_DIRECTORY) -> list[str]:
    """The drop-ins with that file name, of whatever service, that begin with ``mark``."""
    return [
        str(path)
        for path in sorted(Path(directory).glob(f"*.service.d/{name}"))
        if path.read_text(encoding="utf-8", errors="replace").startswith(mark)
    ]


def _unit_of(drop_in: str) -> str:
    return posixpath.basename(posixpath.dirname(drop_in))[: -len(".d")]


def _unread(drop_ins: t.Iterable[str], run: _service_unit.RunCommand) -> bool:
    """Whether systemd knows a unit otherwise than its drop-ins are now, as after a run that was interrupted."""
    units = sorted({_unit_of(path) for path in drop_ins})
    command = ["systemctl", "show", "--property=NeedDaemonReload", "--value", *units]
    code, output, error = run(command)
    if code != 0:
        raise _service_unit.ServiceError(f"{' '.join(command)} failed with status {code}: {error.strip()}")
    return "yes" in output.split()


def converge(installation: Installation, *, run: _service_unit.RunCommand, check_mode: bool) -> _service_unit.Outcome:
    """Bring rules, unit and drop-ins into place and start or restart the unit if they changed.

    The drop-in of a service that was the gateway's before goes: without the rule that service would not start any more.
    Raises ServiceError, FileError or OSError.
    """
    own = gateway_drop_in(installation.gateway_unit)
    obsolete = [path for path in drop_ins_of(_DROP_IN, _MARK) if path != own]
    return converge_service(installation.service(), run=run, check_mode=check_mode, obsolete=obsolete)


def converge_service(
    service: _service_unit.Service,
    *,
    run: _service_unit.RunCommand,
    check_mode: bool,
    obsolete: t.Sequence[str] = (),
) -> _service_unit.Outcome:
    """As above, for a unit whose files are its rules and drop-ins of other units, which need no restart.

    ``obsolete``: drop-ins that go once all else is in place.
    """
    drop_ins = [file for file in service.files if not file.restart]
    stale = any(_content(file.path) != file.content for file in drop_ins)
    unread = not stale and _unread([file.path for file in drop_ins], run)
    if not check_mode:
        for file in service.files:
            os.makedirs(posixpath.dirname(file.path), mode=0o755, exist_ok=True)
    try:
        outcome = _service_unit.converge(service, run=run, check_mode=check_mode)
        for path in () if check_mode else obsolete:
            os.unlink(path)
            remove_if_empty(posixpath.dirname(path))
    finally:
        # Also when the unit did not come up: what lies on the disk is to be what holds.
        if (stale or unread or obsolete) and not check_mode:
            _service_unit.Systemd(run).require("daemon-reload")
    if unread:
        outcome.before.append("drop-ins that systemd has not read")
    outcome.before += obsolete
    outcome.changed = outcome.changed or unread or bool(obsolete)
    return outcome


def load(run: _service_unit.RunCommand) -> None:
    """Load the rules from their file; raises ServiceError."""
    _service_unit.Systemd(run).require("restart", f"{_egress.UNIT}.service")


def remove(gateway_unit: str, *, run: _service_unit.RunCommand, check_mode: bool) -> _service_unit.Outcome:
    """Remove unit, drop-ins, rules and record; what is not there is fine. The table itself is nft's to remove."""
    drop_ins = [*drop_ins_of(_DROP_IN, _MARK), NFTABLES_DROP_IN]
    if gateway_unit and gateway_drop_in(gateway_unit) not in drop_ins:
        drop_ins.append(gateway_drop_in(gateway_unit))
    return remove_service(_egress.UNIT, drop_ins, [_egress.RULES, _egress.RECORD], run=run, check_mode=check_mode)


def remove_service(
    name: str,
    drop_ins: t.Sequence[str],
    files: t.Sequence[str],
    *,
    run: _service_unit.RunCommand,
    check_mode: bool,
) -> _service_unit.Outcome:
    """Remove a unit that loads a table, with its drop-ins of other units and its files."""
    paths = [*drop_ins, *files]
    outcome = _service_unit.remove(name, paths, run=run, check_mode=check_mode)
    if not outcome.changed and _unread(drop_ins, run):
        outcome.changed = True
        outcome.before.append("drop-ins that systemd has not forgotten")
        if not check_mode:
            _service_unit.Systemd(run).require("daemon-reload")
    if not check_mode:
        for directory in sorted({posixpath.dirname(path) for path in [*drop_ins, _egress.RULES]}):
            remove_if_empty(directory)
    return outcome


def remove_if_empty(directory: str) -> None:
    """Remove a directory that nothing is in; what is not there is fine."""
    try:
        if stat.S_ISDIR(os.lstat(directory).st_mode) and not os.listdir(directory):
            os.rmdir(directory)
    except FileNotFoundError:
        return
