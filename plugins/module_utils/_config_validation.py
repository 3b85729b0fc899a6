# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection failclosed.openclaw: not for use from outside it.

"""Whether a candidate for ``openclaw.json`` is valid: our schema, OpenClaw's schema, OpenClaw itself.

OpenClaw has the last word. It sees the candidate in a scratch directory that its user cannot write, with
OPENCLAW_CONFIG_READONLY=1 and the real state directory, because the plugins there bring in rules of their
own. Measured with 2026.9.6: ``config validate`` and ``config schema`` write nothing into the state but the
empty companion files (-wal, -shm) of a database that they read; caches go to the scratch directory.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Union

from ansible_collections.failclosed.openclaw.plugins.module_utils import (
    _config_memory,
    _openclaw,
    _redact,
)
from ansible_collections.failclosed.openclaw.plugins.module_utils._config_desired import (
    format_path,
    touches,
)
from ansible_collections.failclosed.openclaw.plugins.module_utils._config_memory import Memory

Path = tuple[Union[str, int], ...]

MANAGED = "managed_schema"
EXPORTED = "exported_schema"
PROGRAM = "program"

_VERSION = re.compile(r"\b(\d{4}\.\d+\.\d+(?:-[0-9A-Za-z.]+)?)")
# Our environment is not the gateway's: what is missing here may well be there.
_ENVIRONMENT_WARNING = "Missing env var"


class ValidationError(Exception):
    """The candidate is invalid, or cannot be validated as demanded; ``findings`` say where."""

    def __init__(self, message: str, findings: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(message)
        self.findings = [dict(finding) for finding in findings]


class Validation(NamedTuple):
    """How a candidate is validated.

    ``openclaw_command``: argv prefix of OpenClaw's command line; without it only our own schema has a
    say. ``user``: who runs it (None: the owner of the configuration's directory). ``state_directory``:
    None for the configuration's directory. ``when_invalid``: "fail" refuses to touch a file that is
    invalid already, "repair" goes on if the candidate is valid.
    """

    openclaw_command: Sequence[str] = ()
    user: str | None = None
    state_directory: str | None = None
    timeout_seconds: float = 120.0
    when_invalid: str = "fail"


class Verdict(NamedTuple):
    """What validating said: warnings, who had a say, and the version of OpenClaw that was asked."""

    findings: tuple[dict[str, str], ...]
    validated: tuple[str, ...]
    openclaw_version: str | None


def finding(path: str, rule: str, message: str, remedy: str, *, source: str, severity: str) -> dict[str, str]:
    """A finding as it is returned; it never holds a value of the file."""
    # Keys of the file, and what plugins say, are written by others.
    return {
        "path": _redact.printable(path),
        "rule": rule,
        "message": _redact.printable(message),
        "remedy": _redact.printable(remedy),
        "source": source,
        "severity": severity,
    }


class Candidate(NamedTuple):
    """A content to judge: its value with includes resolved, and the text that OpenClaw shall read."""

    value: Any
    text: bytes
    digest: str


class Validator:
    """Judges candidates for one file; starts OpenClaw only when ``judge`` needs it."""

    def __init__(
        self,
        validation: Validation,
        *,
        path: str,
        directory_uid: int | None,
        touched: Sequence[Path],
        secret_paths: Sequence[Path],
        memory: Memory,
        check_mode: bool,
    ) -> None:
        self._validation = validation
        self._path = path
        self._directory_uid = directory_uid
        self._touched = touched
        self._secret_paths = secret_paths
        self._memory = memory
        self._check_mode = check_mode

    @property
    def _state_directory(self) -> str:
        return self._validation.state_directory or os.path.dirname(self._path)

    def judge_unchanged(self, candidate: Candidate) -> Verdict:
        """Judge a file that stays as it is by our own schema; OpenClaw is not started."""
        findings: list[dict[str, str]] = []
        validated: list[str] = []
        self._judge_by_managed_schema(candidate, findings, validated)
        verdict = Verdict(tuple(findings), tuple(validated), None)
        self._raise_errors(verdict, "does not satisfy this collection's schema")
        return verdict

    def program_that_validated(self, verdict: Verdict) -> str:
        """What identifies the program behind a verdict, for the memory; empty if it was not asked."""
        return self._program_identity() if PROGRAM in verdict.validated else ""

    def _program_identity(self) -> str:
        program = _config_memory.program_identity(self._validation.openclaw_command)
        return f"{program}\n{_openclaw.plugins_fingerprint(self._state_directory)}"

    def _is_known_valid(self, digest: str) -> bool:
        identity = self._program_identity()
        return any(
            record.get("digest") == digest and record.get("program") == identity
            for record in self._memory.records(self._path)
        )

    def judge(self, candidate: Candidate, before: Candidate | None) -> Verdict:
        """Judge a candidate that shall replace ``before``; raises ValidationError."""
        findings: list[dict[str, str]] = []
        validated: list[str] = []
        self._judge_by_managed_schema(candidate, findings, validated)
        self._raise_errors(Verdict(tuple(findings), (), None), "would not satisfy this collection's schema")
        version = None
        reason = self._why_program_cannot_run()
        if reason is None:
            version = self._judge_by_program(candidate, before, findings, validated)
        elif self._validation.openclaw_command and not self._check_mode:
            raise ValidationError(f"openclaw_command: {reason}; nothing was changed")
        else:
            remedy = "give openclaw_command, so that OpenClaw itself decides what is valid"
            findings.append(
                finding(
                    "<root>",
                    PROGRAM,
                    f"OpenClaw has not validated this: {reason}",
                    remedy,
                    source=PROGRAM,
                    severity="warning",
                )
            )
        if not validated and not self._check_mode:
            raise ValidationError(
                "nothing on this host can validate the file: install the package python3-jsonschema on the"
                " target, or give openclaw_command; nothing was changed"
            )
        verdict = Verdict(tuple(findings), tuple(validated), version)
        self._raise_errors(verdict, f"would not be valid to OpenClaw {version}" if version else "would not be valid")
        return verdict

    def _raise_errors(self, verdict: Verdict, what: str) -> None:
        errors = [each for each in verdict.findings if each["severity"] == "error"]
        if not errors:
            return
        described = "; ".join(f"{each['path']}: {each['message']} ({each['remedy']})" for each in errors[:5])
        more = f"; and {len(errors) - 5} more" if len(errors) > 5 else ""
        raise ValidationError(f"{self._path} {what}: {described}{more}. Nothing was changed.", verdict.findings)

    def _judge_by_managed_schema(
        self, candidate: Candidate, findings: list[dict[str, str]], validated: list[str]
    ) -> None:
        from ansible_collections.failclosed.openclaw.plugins.module_utils._managed_schema import MANAGED_SCHEMA

        self._judge_by_schema(candidate, MANAGED_SCHEMA, MANAGED, findings, validated)

    def _judge_by_schema(
        self,
        candidate: Candidate,
        schema: Mapping[str, Any],
        source: str,
        findings: list[dict[str, str]],
        validated: list[str],
    ) -> None:
        # Imported here, so that a file that is already right does not pay for jsonschema.
        from ansible_collections.failclosed.openclaw.plugins.module_utils import _schema

        try:
            broken = _schema.validate(candidate.value, schema)
        except _schema.SchemaLibraryMissingError as missing:
            findings.append(
                finding(
                    "<root>",
                    source,
                    f"not checked: {missing}",
                    "install python3-jsonschema on the target",
                    source=source,
                    severity="warning",
                )
            )
            return
        except _schema.SchemaUnusableError as unusable:
            findings.append(
                finding(
                    "<root>",
                    source,
                    f"not checked: {unusable}",
                    "report this; OpenClaw's own check still ran",
                    source=source,
                    severity="warning",
                )
            )
            return
        validated.append(source)
        for each in broken:
            # A missing key concerns whoever wrote anything into the object that lacks it.
            concerned = each.path[:-1] if each.rule == "required" else each.path
            severity = "error" if touches(concerned, self._touched) else "warning"
            findings.append(
                finding(format_path(each.path), each.rule, each.message, each.remedy, source=source, severity=severity)
            )

    def _why_program_cannot_run(self) -> str | None:
        command = self._validation.openclaw_command
        if not command:
            return "openclaw_command is not given"
        for argument in command:
            if argument.startswith("/") and not os.path.exists(argument):
                return f"{argument} does not exist on this host"
        if not command[0].startswith("/"):
            return f"{command[0]} is not an absolute path"
        try:
            self._account()
        except _openclaw.OpenClawError as error:
            return str(error)
        return None

    def _account(self) -> _openclaw.Account:
        user = self._validation.user if self._validation.user is not None else self._directory_uid
        if user == 0 and self._validation.user is None:
            self._refuse_root_by_chance()
        if user is None:
            raise _openclaw.OpenClawError(
                f"{os.path.dirname(self._path)} does not exist, so whom to run it as is not known; set user"
            )
        return _openclaw.account_of(user)

    def _refuse_root_by_chance(self) -> None:
        # Whoever owns a directory on the way can move one of root's there, and would choose whom OpenClaw runs as.
        parent = os.path.dirname(os.path.dirname(os.path.realpath(self._path)))
        while True:
            uid = os.stat(parent).st_uid
            if uid != 0:
                raise _openclaw.OpenClawError(
                    f"{os.path.dirname(self._path)} belongs to root, and {parent} above it to uid {uid}, who could have"
                    " put it there; name in user whom OpenClaw shall run as"
                )
            if parent == "/":
                return
            parent = os.path.dirname(parent)

    def _judge_by_program(
        self,
        candidate: Candidate,
        before: Candidate | None,
        findings: list[dict[str, str]],
        validated: list[str],
    ) -> str | None:
        account = self._account()
        secrets = sorted(_redact.secret_texts(candidate.value, sensitive_paths=self._secret_paths))
        try:
            version = _openclaw.require_supported(self._validation.openclaw_command)
            with _openclaw.scratch_directory(account) as (scratch, temporary):
                program = _Program(self._validation, account, scratch, temporary, self._state_directory, secrets)
                if version is None:
                    version = program.version()
                self._judge_by_exported_schema(program, candidate, version, findings, validated)
                what = f"would not satisfy the schema of OpenClaw {version or '(unknown version)'}"
                self._raise_errors(Verdict(tuple(findings), (), None), what)
                if before is not None and self._validation.when_invalid == "fail":
                    self._require_valid_before(program, before, version)
                findings.extend(program.validate("candidate.json", candidate.text))
        except _openclaw.OpenClawError as error:
            raise ValidationError(f"{_redact.scrub(str(error), secrets)}; nothing was changed") from None
        validated.append(PROGRAM)
        return version

    def _require_valid_before(self, program: _Program, before: Candidate, version: str | None) -> None:
        if self._is_known_valid(before.digest):
            return
        errors = [each for each in program.validate("before.json", before.text) if each["severity"] == "error"]
        if errors:
            described = "; ".join(f"{each['path']}: {each['message']}" for each in errors[:5])
            raise ValidationError(
                f"{self._path} is already invalid to OpenClaw {version} on this host: {described}. Nothing was changed."
                " Correct it, or set when_invalid: repair to go on if the result is valid.",
                errors,
            )

    def _judge_by_exported_schema(
        self,
        program: _Program,
        candidate: Candidate,
        version: str | None,
        findings: list[dict[str, str]],
        validated: list[str],
    ) -> None:
        from ansible_collections.failclosed.openclaw.plugins.module_utils import _schema

        if not _schema.is_available():
            return
        plugins = candidate.value.get("plugins") if isinstance(candidate.value, Mapping) else None
        load = plugins.get("load") if isinstance(plugins, Mapping) else None
        key = hashlib.sha256(
            "\0".join(
                (
                    repr(tuple(self._validation.openclaw_command)),
                    _config_memory.program_identity(self._validation.openclaw_command),
                    str(version),
                    _openclaw.plugins_fingerprint(self._state_directory),
                    json.dumps(load, sort_keys=True),
                )
            ).encode("utf-8", "surrogatepass")
        ).hexdigest()
        schema = self._memory.schema(key)
        if schema is None:
            exported = program.schema(candidate.text)
            try:
                schema = _schema.prepare(exported)
            except _schema.SchemaUnusableError as unusable:
                findings.append(
                    finding(
                        "<root>",
                        EXPORTED,
                        f"not checked: {unusable}",
                        "OpenClaw's own check still ran",
                        source=EXPORTED,
                        severity="warning",
                    )
                )
                return
            self._memory.remember_schema(key, schema)
        self._judge_by_schema(candidate, schema, EXPORTED, findings, validated)


class _Program:
    """OpenClaw's command line, run on files in a scratch directory."""

    def __init__(
        self,
        validation: Validation,
        account: _openclaw.Account,
        scratch: str,
        temporary: str,
        state: str,
        secrets: Sequence[str],
    ) -> None:
        self._validation = validation
        self._account = account
        self._scratch = scratch
        self._temporary = temporary
        self._state = state
        self._secrets = secrets
        self._written: dict[str, str] = {}

    def _run(self, arguments: Sequence[str], config: str) -> tuple[list[str], _openclaw.Completed]:
        command = [*self._validation.openclaw_command, *arguments]
        environment = _openclaw.environment_for(
            self._account, command=command, config=config, state=self._state, temporary=self._temporary
        )
        completed = _openclaw.run(
            command,
            account=self._account,
            environment=environment,
            timeout_seconds=self._validation.timeout_seconds,
            secrets=self._secrets,
        )
        return command, completed

    def _file(self, name: str, text: bytes) -> str:
        if name not in self._written:
            self._written[name] = _openclaw.write_scratch(self._scratch, name, text, self._account)
        return self._written[name]

    def version(self) -> str | None:
        command, completed = self._run(["--version"], f"{self._scratch}/none.json")
        match = _VERSION.search(completed.stdout)
        if completed.returncode != 0 or match is None:
            raise _openclaw.OpenClawError(
                f"openclaw_command does not start OpenClaw: {_openclaw.failure_text(command, completed, self._secrets)}"
            )
        return match.group(1)

    def schema(self, text: bytes) -> Any:
        command, completed = self._run(["config", "schema"], self._file("candidate.json", text))
        try:
            document = json.loads(completed.stdout)
        except (ValueError, RecursionError):
            document = None
        if completed.returncode != 0 or document is None:
            raise _openclaw.OpenClawError(_openclaw.failure_text(command, completed, self._secrets))
        return document

    def validate(self, name: str, text: bytes) -> list[dict[str, str]]:
        """The program's findings about a file; raises OpenClawError when it says nothing usable."""
        command, completed = self._run(["config", "validate", "--json"], self._file(name, text))
        try:
            document = json.loads(completed.stdout)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict) or not isinstance(document.get("valid"), bool):
            raise _openclaw.OpenClawError(_openclaw.failure_text(command, completed, self._secrets))
        valid = document["valid"] and completed.returncode == 0
        errors = [] if valid else self._findings(document.get("issues"), "error")
        if not valid and not errors:
            raise _openclaw.OpenClawError(_openclaw.failure_text(command, completed, self._secrets))
        return [*errors, *self._findings(document.get("warnings"), "warning")]

    def _findings(self, issues: Any, severity: str) -> list[dict[str, str]]:
        found = []
        for issue in issues if isinstance(issues, list) else []:
            if not isinstance(issue, dict):
                continue
            message = _redact.scrub(str(issue.get("message", ""))[:500], self._secrets)
            if severity == "warning" and message.startswith(_ENVIRONMENT_WARNING):
                continue
            path = _redact.scrub(str(issue.get("path") or "<root>")[:500], self._secrets)
            remedy = "see `openclaw config schema` and OpenClaw's documentation of this key"
            found.append(finding(path, PROGRAM, message, remedy, source=PROGRAM, severity=severity))
        return found[:50]
