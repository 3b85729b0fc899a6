# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection failclosed.openclaw: not for use from outside it.

"""The audit of one host: where every model request of its OpenClaw can go, and whether the policy allows it.

Nothing is changed, and no node is started. What could not be looked at is unknown, and unknown is never compliant.
"""

from __future__ import annotations

import datetime
import os
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from ansible_collections.failclosed.openclaw.plugins.module_utils import (
    _config_desired,
    _config_read,
    _egress,
    _merge_patch,
    _openclaw,
    _openclaw_environment,
    _openclaw_state,
    _other_user,
    _redact,
    _route_map,
    _routes,
)

STRICT = "strict"
CLAUDE_ONLY = "claude-only"

ERROR = "error"

_STATE_SECONDS = 60.0
_RUNNING = "the running gateway's environment"

_FORWARD_PROXIES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"})
# What these say depends on more than this host's configuration.
_UNCERTAIN = frozenset({"remote-inference"})


class AuditError(Exception):
    """What was asked for is wrong; the text names the option and the remedy."""


class Subject(NamedTuple):
    """Whose OpenClaw is looked at. ``base_url`` None: the proxy is somewhere on this machine's loopback."""

    account: _openclaw.Account
    config_path: str
    state_dir: str
    provider: str = "anthropic-max-proxy"
    base_url: str | None = None


class Planned(NamedTuple):
    """A merge patch (RFC 7396), and the paths in it whose object replaces the whole object."""

    patch: Mapping[str, Any]
    replace_paths: Sequence[str] = ()

    def applied_to(self, config: Any) -> Any:
        """The value with the patch applied; raises AuditError for a path that is none or that does not fit."""
        try:
            after = _merge_patch.apply(config, self.patch)
            for text in self.replace_paths:
                path = _config_desired.parse_path(text, option="replace_paths")
                wanted = _config_desired.lookup(self.patch, path)
                if not _config_desired.is_absent(wanted):
                    after = _config_desired.set_value(after, path, _merge_patch.apply(None, wanted))
        except _config_desired.DesiredStateError as error:
            raise AuditError(str(error)) from None
        return after


class PolicyException(NamedTuple):
    """A finding that somebody decided to accept: shell-style patterns for id and path, why, and until when."""

    id: str
    path: str
    reason: str
    expires: datetime.date


class Finding(NamedTuple):
    """A route that the policy does not allow. No field holds a secret."""

    id: str
    severity: str
    path: str
    resolves_to: str
    detail: str
    remedy: str


class Unknown(NamedTuple):
    """A place that could not be looked at, or of which nobody can tell where it leads."""

    id: str
    path: str
    reason: str
    remedy: str


class Accepted(NamedTuple):
    """A finding or an unknown that an exception covers."""

    id: str
    path: str
    resolves_to: str
    reason: str
    expires: str


class Report(NamedTuple):
    """``compliant``: True, False, or None when something is unknown. ``patch``: what closes the routes that are to be
    remediated, a merge patch (RFC 7396) for ``openclaw_config``; ``patch_withheld``: paths that it leaves out,
    because what it would have to repeat holds a secret. ``config_digest``: SHA-256 of the file.
    """

    compliant: bool | None
    findings: list[Finding]
    unknown: list[Unknown]
    accepted: list[Accepted]
    patch: dict[str, Any]
    patch_withheld: list[str]
    config_digest: str


def parse_exceptions(given: Sequence[Mapping[str, Any]]) -> list[PolicyException]:
    """Check and parse; raises AuditError, which names the entry."""
    parsed = []
    for index, entry in enumerate(given):
        where = f"exceptions[{index}]"
        identifier, reason, expires = entry.get("id"), entry.get("reason"), entry.get("expires")
        base = (
            str(identifier or "")[: -len("-fallbacks")] if str(identifier or "").endswith("-fallbacks") else identifier
        )
        known = {*_route_map.BY_ID, "unreadable"}
        if not identifier or not any(fnmatchcase(each, str(base)) for each in known):
            raise AuditError(
                f"{where}: id is {identifier!r}, which no finding has; take the id from the audit's report,"
                " for example other-provider"
            )
        if set(str(identifier)) <= {"*", "?"} and not str(entry.get("path") or "").strip("*?"):
            raise AuditError(f"{where}: id {identifier!r} without a path accepts everything; name what is accepted")
        if identifier == "exception-expired":
            raise AuditError(
                f"{where}: id is 'exception-expired', which cannot be excepted; renew that exception instead"
            )
        if not reason or not str(reason).strip():
            raise AuditError(f"{where}: reason is empty; say why {identifier} is accepted, it appears in every report")
        try:
            date = expires if isinstance(expires, datetime.date) else datetime.date.fromisoformat(str(expires))
        except ValueError:
            raise AuditError(
                f"{where}: expires is {expires!r}; give the last day on which {identifier} is accepted, as YYYY-MM-DD"
            ) from None
        parsed.append(PolicyException(str(identifier), str(entry.get("path") or "*"), str(reason).strip(), date))
    return parsed


def audit(
    subject: Subject,
    *,
    policy: str = STRICT,
    exceptions: Sequence[PolicyException] = (),
    today: datetime.date,
    egress: _egress.Observation | None = None,
    egress_required: bool = False,
    remediate: str = "all",
    planned: Planned | None = None,
    unit_directories: Sequence[str] = _openclaw_environment.SYSTEM_UNIT_DIRECTORIES,
    proc: str = "/proc",
) -> Report:
    """Look at everything there is.

    ``egress``: what is seen of the kernel rule. Probed strict egress covers what runs code of its own. With
    ``egress_required``, a rule that is not enforced is a finding, and one of which nobody can tell is unknown.
    ``remediate``: ``all``, ``default`` (fallbacks, aliases and the models of single
    agents) or ``none``: what the patch closes. ``planned``: an edit that is about to be made; the configuration is
    judged as it will be then.
    """
    hits: list[_routes.Hit] = []
    unknown: list[Unknown] = []
    try:
        snapshot = _config_read.read(subject.config_path, allow_hard_link=True)
    except (_config_read.ConfigFileError, OSError) as error:
        reason = error.strerror or "cannot be read" if isinstance(error, OSError) else str(error)
        return Report(None, [], [_unreadable(subject.config_path, reason)], [], {}, [], "")
    if snapshot.value is None and planned is None:
        return Report(None, [], [_unreadable(subject.config_path, "does not exist")], [], {}, [], "")
    value = planned.applied_to(snapshot.value or {}) if planned is not None else snapshot.value
    routes = _routes.Routes(value, provider=subject.provider, base_url=subject.base_url)
    environments = _system_environments(subject, unknown, unit_directories, proc)
    seen = _seen(subject, environments, unknown)
    environments += _user_environments(subject, seen, unknown)
    if not environments and not any(each.path == _RUNNING for each in unknown):
        reason = f"no unit and no running process of {subject.account.name} was found"
        unknown.append(_unreadable("the gateway's environment", reason))
    hits += _state_hits(subject, routes, seen)
    hits += _environment_hits(subject, routes, seen, environments)
    hits += routes.hits(credentials=_opens_more(routes, [*hits, *routes.hits()]))
    hits += _restore_hits(subject, routes, seen, environments, len(snapshot.text.encode("utf-8", "surrogatepass")))
    if egress_required and (egress is None or egress.enforced is not True):
        reason = egress.reason if egress is not None else "was not looked at"
        if egress is not None and egress.enforced is False:
            hits.append(_routes.Hit("kernel-rule", "nftables", _routes.BYPASS, reason))
        else:
            remedy = "Run the audit as root; if that cannot tell either, run site.yml."
            unknown.append(Unknown("kernel-rule", "nftables", reason, remedy))
    return _judge(
        hits,
        unknown,
        routes,
        policy=policy,
        exceptions=exceptions,
        today=today,
        strict_egress=is_strict(egress),
        remediate=remediate,
        digest=snapshot.digest,
    )


def _unreadable(path: str, reason: str) -> Unknown:
    return Unknown("unreadable", _harmless(path), _harmless(reason), "Run the audit as root, or mend what is named.")


def nothing_there(user: str) -> Report:
    """The report on a host on which the gateway's user does not exist yet."""
    return Report(None, [], [_unreadable(user, "does not exist yet")], [], {}, [], "")


def _system_environments(
    subject: Subject, unknown: list[Unknown], unit_directories: Sequence[str], proc: str
) -> list[_openclaw_environment.Environment]:
    account = subject.account
    units = _openclaw_environment.system_units(
        account.name, account.uid, home=account.home, directories=unit_directories
    )
    running, hidden = _openclaw_environment.processes(account.uid, proc)
    unknown += (_unreadable(path, reason) for path, reason in units.unreadable)
    unknown += (_unreadable(_RUNNING, reason) for _path, reason in hidden[:1])
    return [*units.environments, *(each._replace(where="the running gateway") for each in running)]


def _seen(
    subject: Subject, environments: Sequence[_openclaw_environment.Environment], unknown: list[Unknown]
) -> dict[str, Any]:
    account = subject.account
    claude = sorted({each.public["CLAUDE_CONFIG_DIR"] for each in environments if "CLAUDE_CONFIG_DIR" in each.public})

    def look() -> dict[str, Any]:
        return _openclaw_state.look_at(subject.state_dir, account.home, claude)

    try:
        seen = _other_user.call_as(account.uid, account.gid, look, timeout_seconds=_STATE_SECONDS)
    except (_other_user.OtherUserError, OSError) as error:
        unknown.append(_unreadable(subject.state_dir, str(error)))
        return {}
    unknown += (_unreadable(path, reason) for path, reason in sorted(seen["unreadable"].items()))
    return seen


def _user_environments(
    subject: Subject, seen: Mapping[str, Any], unknown: list[Unknown]
) -> list[_openclaw_environment.Environment]:
    """The environments of the units of the user's own systemd, and what ``.env`` files bring into every one of them."""
    found = []
    texts: Mapping[str, str] = seen.get("user_units", {})
    files: Mapping[str, Mapping[str, str]] = seen.get("environment_files", {})
    names = {posixpath.basename(path) for path in texts if path.endswith(".service")}
    # A drop-in may stand beside a unit that lies elsewhere.
    names |= {
        posixpath.basename(posixpath.dirname(path))[: -len(".d")]
        for path in texts
        if path.endswith(".conf") and posixpath.basename(posixpath.dirname(path)).startswith("openclaw")
    }
    for name in sorted(name for name in names if not name.endswith("-.service")):
        directories = _openclaw_environment.drop_in_directories(name)
        own = {path: text for path, text in texts.items() if posixpath.basename(path) == name}
        for directory in directories:
            own.update(
                {path: text for path, text in texts.items() if posixpath.basename(posixpath.dirname(path)) == directory}
            )
        plain, others = _openclaw_environment.environment_files(own.values())
        where = next(iter(own), name)
        found.append(_openclaw_environment.of_unit(own, where, read=files, home=subject.account.home))
        unknown += (
            _unreadable(each, "is an EnvironmentFile of a unit of that user, and was not looked at")
            for each in (*plain, *others)
            if each not in files
        )
    return found


def _credential(routes: _routes.Routes, identifier: str, path: str, provider: str) -> Iterator[_routes.Hit]:
    resolved, _why = routes.resolve_provider(provider)
    if resolved != _routes.PROXY:
        yield _routes.Hit(identifier, path, resolved, f"opens {_routes.named(provider)}")


def _state_hits(subject: Subject, routes: _routes.Routes, seen: Mapping[str, Any]) -> Iterator[_routes.Hit]:
    def below(path: str) -> str:
        return posixpath.relpath(path, subject.state_dir)

    for path, rows in sorted(seen.get("databases", {}).items()):
        for identifier, provider, model, runtime in rows.get("sessions", ()):
            resolved, why = routes.resolve_provider(provider, model) if provider else routes.resolve(model or "")
            where = f"{below(path)}#session:{identifier}"
            if (provider or model) and resolved != _routes.PROXY:
                yield _routes.Hit("session-override", where, resolved, why)
            if runtime and runtime.lower() not in _route_map.OWN_RUNTIMES:
                kind = _routes.BYPASS if "claude" in runtime.lower() else _routes.UNKNOWN
                yield _routes.Hit("session-override", where, kind, f"{_routes.named(runtime)} runs its turns")
        for index, provider in rows.get("auth_profiles", ()):
            where = f"{below(path)}#auth-profile:{index}"
            yield from _credential(routes, "credential-auth-profile", where, provider)
        for name in rows.get("secrets", ()):
            if name in _route_map.CREDENTIAL_VARIABLES:
                where = f"{below(path)}#secret:{name}"
                provider = _route_map.CREDENTIAL_VARIABLES[name]
                yield from _credential(routes, "credential-secret-store", where, provider)
        for identifier, kind, model, fallbacks in rows.get("cron", ()):
            where = f"{below(path)}#cron:{identifier}"
            if kind in ("command", "script"):
                yield _routes.Hit("code-cron-command", where, _routes.UNKNOWN, "runs with a network of its own")
            for reference in (*([model] if model else []), *fallbacks):
                resolved, why = routes.resolve(reference)
                if resolved != _routes.PROXY:
                    yield _routes.Hit("cron-model", where, resolved, why)
    if subject.provider not in routes.providers:
        for path, providers in sorted(seen.get("model_files", {}).items()):
            for url in providers.get(subject.provider, ()):
                if not routes.is_proxy(url):
                    why = routes.resolve_endpoint(url)[1]
                    yield _routes.Hit("agent-models-file", below(path), _routes.BYPASS, why)
    plugins = routes.config.get("plugins")
    plugins = plugins if isinstance(plugins, Mapping) else {}
    for name in seen.get("extensions", ()):
        if name != subject.provider and _is_loaded(name, plugins):
            where = f"extensions/{_routes.named(name)}"
            yield _routes.Hit("code-plugin", where, _routes.UNKNOWN, "runs in the gateway")
    for path in seen.get("claude_login", ()):
        yield _routes.Hit("claude-login", path, _routes.BYPASS, "lets the gateway's user talk to Anthropic directly")


def _is_loaded(name: str, plugins: Mapping[str, Any]) -> bool:
    allow, deny, entries = plugins.get("allow"), plugins.get("deny"), plugins.get("entries")
    entry = entries.get(name) if isinstance(entries, Mapping) else None
    if isinstance(entry, Mapping) and entry.get("enabled") is False:
        return False
    if isinstance(deny, list) and name in deny:
        return False
    return not isinstance(allow, list) or not allow or name in allow


def _environment_hits(
    subject: Subject,
    routes: _routes.Routes,
    seen: Mapping[str, Any],
    environments: Sequence[_openclaw_environment.Environment],
) -> Iterator[_routes.Hit]:
    files: Mapping[str, Mapping[str, str]] = seen.get("environment_files", {})
    for path, variables in sorted(files.items()):
        for name in variables:
            if name in _route_map.CREDENTIAL_VARIABLES:
                provider = _route_map.CREDENTIAL_VARIABLES[name]
                yield from _credential(routes, "credential-dotenv", f"{path}: {name}", provider)
    for environment in environments:
        for name in sorted(environment.names):
            if name in _route_map.CREDENTIAL_VARIABLES:
                provider = _route_map.CREDENTIAL_VARIABLES[name]
                yield from _credential(routes, "credential-environment", f"{environment.where}: {name}", provider)
        yield from _other_configuration(subject, environment)
    dotenv = [
        _openclaw_environment.Environment(path, frozenset(variables), {n: v for n, v in variables.items() if v})
        for path, variables in sorted(files.items())
    ]
    host = _proxy_host(subject, routes)
    for environment in (*environments, *dotenv):
        if _routes.is_switched_on(environment.public.get("OPENCLAW_LOAD_SHELL_ENV", "")):
            yield _routes.Hit(
                "credential-shell-environment",
                f"{environment.where}: OPENCLAW_LOAD_SHELL_ENV",
                _routes.BYPASS,
                "takes keys from the login shell",
            )
        if _routes.believes_any_certificate(environment.public):
            yield _routes.Hit(
                "provider-transport",
                f"{environment.where}: {_routes.TLS_SWITCH}",
                _routes.UNKNOWN,
                "has Node believe any certificate, that of the proxy included",
            )
        forward = sorted(environment.names & _FORWARD_PROXIES)
        # Node prefers the lower-case name.
        direct = environment.public.get("no_proxy") or environment.public.get("NO_PROXY") or ""
        if forward and not _openclaw_environment.is_direct(host, direct):
            yield _routes.Hit(
                "forward-proxy-environment",
                f"{environment.where}: {forward[0]}",
                _routes.UNKNOWN,
                f"NO_PROXY does not name {_routes.named(host)}",
            )


def _other_configuration(subject: Subject, environment: _openclaw_environment.Environment) -> Iterator[_routes.Hit]:
    """Whether the gateway looks elsewhere: its configuration, its state, its home, in the order that OpenClaw has."""
    public = environment.public
    state, named_by = public.get("OPENCLAW_STATE_DIR"), "OPENCLAW_STATE_DIR"
    for name in ("OPENCLAW_HOME", "HOME"):
        if not state and public.get(name):
            state, named_by = posixpath.join(public[name], ".openclaw"), name
    configuration = public.get("OPENCLAW_CONFIG_PATH")
    if not configuration and state:
        configuration = posixpath.join(state, "openclaw.json")
    else:
        named_by = "OPENCLAW_CONFIG_PATH" if configuration else named_by
    for found, expected in ((configuration, subject.config_path), (state, subject.state_dir)):
        if found and os.path.realpath(found) != os.path.realpath(expected):
            detail = f"leads to {_routes.named(found)}, and {expected} was looked at"
            yield _routes.Hit("other-configuration", f"{environment.where}: {named_by}", _routes.UNKNOWN, detail)
            return


def _proxy_host(subject: Subject, routes: _routes.Routes) -> str:
    definition = routes.providers.get(subject.provider)
    url = definition.get("baseUrl") if isinstance(definition, Mapping) else subject.base_url
    address = _routes.address_of(url)
    return address.host if address else "127.0.0.1"


def _opens_more(routes: _routes.Routes, hits: Sequence[_routes.Hit]) -> bool:
    """Whether a credential is there with which OpenClaw would choose a direct model by itself."""
    plugins = routes.config.get("plugins")
    denied = plugins.get("deny") if isinstance(plugins, Mapping) else None
    is_denied = isinstance(denied, list) and "anthropic" in denied and "anthropic" not in routes.providers
    closed = ("opens anthropic", "opens claude-cli") if is_denied else ()
    return any(
        hit.id.startswith("credential-") and hit.resolves_to != _routes.OTHER and hit.detail not in closed
        for hit in hits
    )


def _restore_hits(
    subject: Subject,
    routes: _routes.Routes,
    seen: Mapping[str, Any],
    environments: Sequence[_openclaw_environment.Environment],
    size: int,
) -> Iterator[_routes.Hit]:
    copy = f"{posixpath.basename(subject.config_path)}.bak"
    if copy not in seen.get("older_copies", ()):
        return
    if environments and all(each.public.get("OPENCLAW_CONFIG_READONLY") == "1" for each in environments):
        return
    path = f"{subject.config_path}.bak"
    try:
        snapshot = _config_read.read(path, allow_hard_link=True)
    except (_config_read.ConfigFileError, OSError):
        # OpenClaw cannot restore what cannot be read.
        return
    older = snapshot.value if isinstance(snapshot.value, Mapping) else {}
    lost = _lost(older, routes.config, len(snapshot.text.encode("utf-8", "surrogatepass")), size)
    for hit in _routes.Routes(older, provider=subject.provider, base_url=subject.base_url).hits() if lost else ():
        if hit.resolves_to in (_routes.BYPASS, _routes.UNKNOWN) and not _is_code(hit.id):
            detail = f"{lost}, and {copy} says {hit.path} leads around the proxy"
            yield _routes.Hit("configuration-restore", subject.config_path, _routes.BYPASS, detail)
            return


def _lost(older: Mapping[str, Any], config: Mapping[str, Any], older_size: int, size: int) -> str:
    """What OpenClaw 2026.9.6 takes for damage, and puts the older copy back for; empty when it sees none."""
    if "meta" not in config:
        return "has no meta"
    older_gateway, gateway = older.get("gateway"), config.get("gateway")
    had_mode = isinstance(older_gateway, Mapping) and older_gateway.get("mode")
    if had_mode and not (isinstance(gateway, Mapping) and gateway.get("mode")):
        return "has no gateway.mode"
    if older_size >= 512 and size * 2 < older_size:
        return "has less than half of the size"
    return ""


def _judge(
    hits: Sequence[_routes.Hit],
    unknown: Sequence[Unknown],
    routes: _routes.Routes,
    *,
    policy: str,
    exceptions: Sequence[PolicyException],
    today: datetime.date,
    strict_egress: bool,
    remediate: str,
    digest: str,
) -> Report:
    findings: list[Finding] = []
    uncertain: list[Unknown] = []
    accepted: list[Accepted] = []
    to_close: list[_routes.Hit] = []
    valid = [each for each in exceptions if each.expires >= today]

    def accept(identifier: str, path: str, resolved: str) -> bool:
        for each in valid:
            # A path has brackets of its own.
            if fnmatchcase(identifier, each.id) and fnmatchcase(path, each.path.replace("[", "[[]")):
                accepted.append(Accepted(identifier, path, resolved, each.reason, each.expires.isoformat()))
                return True
        return False

    # Names of sessions, plugins and models are the gateway user's text, and end on a terminal.
    shown = [hit._replace(path=_harmless(hit.path), detail=_harmless(hit.detail)) for hit in hits]
    for hit in {hit[:4]: hit for hit in shown}.values():
        runs_code = hit.id in _UNCERTAIN or _is_code(hit.id)
        if runs_code and strict_egress and _route_map.STRICT_EGRESS in _route_map.BY_ID[hit.id].expectations:
            continue
        if hit.resolves_to == _routes.OTHER and policy == CLAUDE_ONLY:
            continue
        if accept(hit.id, hit.path, hit.resolves_to):
            continue
        remedy = _route_map.remedy_of(hit.id)
        if runs_code or (hit.resolves_to == _routes.UNKNOWN and policy == CLAUDE_ONLY):
            uncertain.append(Unknown(hit.id, hit.path, hit.detail, remedy))
            continue
        findings.append(Finding(hit.id, ERROR, hit.path, hit.resolves_to, hit.detail, remedy))
        to_close.append(hit)
    uncertain += (each for each in unknown if not accept(each.id, each.path, _routes.UNKNOWN))
    for each in exceptions:
        if each.expires < today:
            findings.append(
                Finding(
                    "exception-expired",
                    ERROR,
                    each.id if each.path == "*" else f"{each.id} {each.path}",
                    _routes.UNKNOWN,
                    f"was accepted until {each.expires.isoformat()}: {_redact.scrub(each.reason)}",
                    _route_map.remedy_of("exception-expired"),
                )
            )
    wanted = [
        edit
        for hit in to_close
        if remediate == "all" or (remediate == "default" and hit.by_default)
        for edit in hit.edits
    ]
    if remediate != "none":
        wanted += routes.explicit_edits()
    patch, withheld = remediation_patch(routes.config, wanted)
    compliant = False if findings else None if uncertain else True
    return Report(compliant, findings, list(dict.fromkeys(uncertain)), accepted, patch, withheld, digest)


def _harmless(text: str) -> str:
    return _redact.printable(_redact.scrub(text))


def _is_code(identifier: str) -> bool:
    route = _route_map.BY_ID.get(identifier)
    return route is not None and route.kind == _route_map.CODE


def remediation_patch(config: Any, wanted: Sequence[_routes.Edit]) -> tuple[dict[str, Any], list[str]]:
    """The merge patch that makes every edit, and the paths of those that it cannot make.

    The first edit of a path counts.
    A merge patch repeats a list whole. Where that would carry a secret into a module's arguments, the edit is left to
    a person.
    """
    edits = list({edit.path: edit for edit in reversed(wanted)}.values())
    # Elements of a list go from its end, so that the others keep their places.
    edits.sort(
        key=lambda edit: [(isinstance(part, int), part) if isinstance(part, int) else (False, 0) for part in edit.path]
    )
    after = config
    withheld: list[str] = []
    for edit in reversed(edits):
        try:
            if edit.value is None:
                changed = _config_desired.remove_value(after, edit.path)
            else:
                changed = _config_desired.set_value(after, edit.path, edit.value)
            carried = _merge_patch.diff(config, changed)
        except (_config_desired.DesiredStateError, ValueError):
            withheld.append(_routes.shown(edit.path))
            continue
        if _redact.secret_texts(carried):
            withheld.append(_routes.shown(edit.path))
            continue
        after = changed
    patch = _merge_patch.diff(config, after)
    return (patch if isinstance(patch, dict) else {}), sorted(withheld)


def is_strict(egress: _egress.Observation | None) -> bool:
    """Whether the kernel lets the gateway's user reach nothing but what is listed, and was seen to."""
    return egress is not None and egress.enforced is True and egress.probed and egress.mode == _egress.STRICT


def egress_values(egress: _egress.Observation) -> dict[str, Any]:
    """What is seen of the kernel rule, as a module returns it and a receipt keeps it."""
    return {
        "enforced": egress.enforced,
        "probed": egress.probed,
        "mode": egress.mode or "",
        "digest": egress.digest or "",
        "networks": list(egress.networks),
        "reason": egress.reason,
    }


def as_return_values(report: Report) -> dict[str, Any]:
    """The report as a module returns it and a receipt keeps it."""
    return {
        "compliant": report.compliant,
        "findings": [each._asdict() for each in report.findings],
        "unknown": [each._asdict() for each in report.unknown],
        "accepted": [each._asdict() for each in report.accepted],
        "remediation_patch": report.patch,
        "remediation_withheld": report.patch_withheld,
        "config_digest": report.config_digest,
    }
