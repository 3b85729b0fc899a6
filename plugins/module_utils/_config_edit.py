# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection failclosed.openclaw: not for use from outside it.

"""The engine that edits ``openclaw.json``, shared by openclaw_config and openclaw_plugin.

Usage::

    result = apply(
        ConfigFile(path="/var/lib/openclaw/.openclaw/openclaw.json"),
        DesiredState(patch={"plugins": {"entries": {"x": {"enabled": True}}}},
                     members_present={"plugins.allow": ["x"]}),
        Validation(openclaw_command=(node, openclaw_mjs), user="openclaw"),
        cache_directory=None,
        check_mode=module.check_mode,
    )
    module.exit_json(**result.as_return_values())

``apply`` raises ConfigEditError (``str(error)``, ``error.findings``); then nothing was changed.
"""

from __future__ import annotations

import json
import os
import posixpath
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Union

from ansible_collections.failclosed.openclaw.plugins.module_utils import (
    _config_include,
    _config_memory,
    _files,
    _json5,
    _merge_patch,
    _openclaw,
    _redact,
)
from ansible_collections.failclosed.openclaw.plugins.module_utils._config_desired import (
    Declared,
    DesiredState,
    DesiredStateError,
    declare,
    desired_value,
    format_path,
    is_absent,
    lookup,
    refuse_literals,
)
from ansible_collections.failclosed.openclaw.plugins.module_utils._config_read import (
    ConfigFileError,
    Tree,
    cannot_use,
    read_tree,
    split_path,
)
from ansible_collections.failclosed.openclaw.plugins.module_utils._config_validation import (
    Candidate,
    Validation,
    ValidationError,
    Validator,
    Verdict,
    finding,
)

__all__ = [
    "ConfigEditError",
    "ConfigFile",
    "DesiredState",
    "EditResult",
    "Validation",
    "apply",
]

Path = tuple[Union[str, int], ...]

SYSTEM_BACKUPS = "/var/backups/failclosed-openclaw"

# OpenClaw 2026.9.6 puts an older copy back when a file of at least this size lost more than half of it.
_GUARDED_BYTES = 512
_MAXIMUM_ATTEMPTS = 5
_LOCK_SECONDS = 180.0


class ConfigEditError(ConfigFileError):
    """The edit was refused or failed; the file is as it was, unless the text says otherwise."""


class ConfigFile(NamedTuple):
    """Where the file is and what it must look like from outside.

    ``owner``, ``group``: None keeps those of an existing file; a new file gets those of its directory.
    ``mode``: permission bits (0o600). ``backup_directory``: None for the default of the user who runs this.
    """

    path: str
    owner: str | None = None
    group: str | None = None
    mode: int = 0o600
    create: bool = True
    follow_include: bool = False
    allow_shrink: bool = False
    allow_hard_link: bool = False
    backup_keep: int = 5
    backup_directory: str | None = None


class EditResult(NamedTuple):
    """``digest``: SHA-256 (hex) of the edited file after; ``diff``: redacted; ``validated``: who had a say."""

    changed: bool
    changed_paths: list[str]
    edited_file: str
    backup_file: str | None
    digest: str
    findings: list[dict[str, str]]
    openclaw_version: str | None
    validated: list[str]
    diff: list[dict[str, str]]

    def with_findings(self, findings: Sequence[dict[str, str]]) -> EditResult:
        """The result with further findings in front."""
        return self._replace(findings=[*findings, *self.findings])

    def as_return_values(self) -> dict[str, Any]:
        """The result as a module returns it."""
        return {
            "changed": self.changed,
            "changed_paths": self.changed_paths,
            "edited_file": self.edited_file,
            "backup_file": self.backup_file,
            "digest": self.digest,
            "findings": self.findings,
            "openclaw_version": self.openclaw_version,
            "validated": self.validated,
            "diff": self.diff,
        }


class _Plan(NamedTuple):
    """An edit of one file: what it changes and the text that results."""

    tree: Tree
    before: Any
    after: Any
    changed: tuple[Path, ...]
    notes: tuple[tuple[Path, str, str], ...]
    name: str
    content: bytes


def default_backup_directory() -> str:
    """Where copies are kept: out of reach of the gateway's user when root runs this."""
    if os.geteuid() == 0:
        return SYSTEM_BACKUPS
    return posixpath.join(posixpath.expanduser("~"), ".local", "state", "failclosed-openclaw")


@contextmanager
def _as_edit_error(path: str) -> Iterator[None]:
    try:
        yield
    except ConfigEditError:
        raise
    except (ConfigFileError, ValidationError) as error:
        raise ConfigEditError(str(error), findings=error.findings) from None
    except DesiredStateError as error:
        raise ConfigEditError(f"{error} Nothing was changed.") from None
    except _config_include.IncludeError as error:
        raise ConfigEditError(f"{path}: {error}. Nothing was changed.") from None
    except _files.FlushFailedError as error:
        raise ConfigEditError(f"{path}: {error}.") from None
    except (_files.FileError, _openclaw.OpenClawError) as error:
        raise ConfigEditError(f"{path}: {error}. Nothing was changed.") from None
    except OSError as error:
        raise ConfigEditError(cannot_use(path, error)) from None


def apply(
    config_file: ConfigFile,
    desired: DesiredState,
    validation: Validation,
    *,
    cache_directory: str | None,
    check_mode: bool,
    secure_logging: bool = True,
) -> EditResult:
    """Make the file say what ``desired`` says; raises ConfigEditError, and then nothing was changed.

    ``cache_directory``: None for the default of the user who runs this. ``check_mode``: validate, but
    write nothing anywhere but a scratch directory.
    """
    with _as_edit_error(config_file.path):
        directory_path, name = split_path(config_file.path)
        declared = declare(desired)
        memory = _config_memory.Memory(cache_directory or _config_memory.default_directory(), write=not check_mode)
        editor = _Editor(config_file, directory_path, name, declared, validation, memory, check_mode, secure_logging)
        try:
            with _files.open_directory(directory_path) as directory:
                return editor.run(directory)
        except FileNotFoundError as error:
            if not check_mode or os.path.lexists(directory_path):
                raise ConfigEditError(
                    f"{directory_path}: does not exist ({error.strerror}); create it first, mode 0700, owned by the"
                    " gateway's user. Nothing was changed."
                ) from None
            return editor.run(None)


class _OvertakenError(Exception):
    """Our file was in place and is not any more; ``backup`` is the copy of the one that it had replaced."""

    def __init__(self, reason: _files.FileOvertakenError, backup: str | None) -> None:
        super().__init__(str(reason))
        self.reason = reason
        self.backup = backup


class _Editor:
    def __init__(
        self,
        config_file: ConfigFile,
        directory_path: str,
        name: str,
        declared: Declared,
        validation: Validation,
        memory: _config_memory.Memory,
        check_mode: bool,
        secure_logging: bool,
    ) -> None:
        self.config_file = config_file
        self.directory_path = directory_path
        self.name = name
        self.declared = declared
        self.validation = validation
        self.memory = memory
        self.check_mode = check_mode
        self.secure_logging = secure_logging
        state_directory = validation.state_directory or directory_path
        self.secret_paths = (*declared.secret_paths, *_openclaw.sensitive_plugin_paths(state_directory))

    def run(self, directory: int | None) -> EditResult:
        refuse_literals(self.declared, self.secret_paths)
        plan = self._plan(directory)
        validator = self._validator(directory)
        if not plan.changed:
            return self._finish_unchanged(directory, plan, validator)
        if self.check_mode or directory is None:
            verdict = validator.judge(self._candidate(plan), self._candidate_before(plan))
            return self._result(plan, verdict, directory=directory)
        lock = f"{_files.key_for(self.config_file.path)}.lock"
        with _files.private_directory(self.memory.directory):
            pass
        with (
            _files.private_directory(posixpath.join(self.memory.directory, "locks")) as locks,
            _files.exclusive_lock(locks, lock, timeout_seconds=_LOCK_SECONDS),
        ):
            return self._write_with_retries(directory, validator)

    def _write_with_retries(self, directory: int, validator: Validator) -> EditResult:
        judged: dict[str, Verdict] = {}
        last: _files.FileChangedError | None = None
        overtaken: EditResult | None = None
        for attempt in range(_MAXIMUM_ATTEMPTS):
            plan = self._plan(directory)
            if not plan.changed:
                # Whoever overtook us had read what we wrote: it is still this run that made the edit.
                if overtaken is not None:
                    state = plan.tree.states.get(self.name)
                    return overtaken._replace(digest="" if state is None else state.digest)
                return self._finish_unchanged(directory, plan, validator)
            candidate = self._candidate(plan)
            key = f"{candidate.digest} {_files.digest_of(candidate.text)}"
            if key not in judged:
                judged[key] = validator.judge(candidate, self._candidate_before(plan))
            # Made before the file is written: after that, nothing may fail with the words "nothing was changed".
            result = self._result(plan, judged[key], directory=directory)
            try:
                backup = self._write(directory, plan)
            except _OvertakenError as error:
                last = error.reason
                overtaken = result.with_findings(_conflict_findings(attempt + 1))._replace(backup_file=error.backup)
                continue
            except _files.FileChangedError as error:
                last = error
                continue
            findings = [*_conflict_findings(attempt), *self._remember(plan, result.digest, validator, judged[key])]
            return result.with_findings(findings)._replace(backup_file=backup)
        raise ConfigEditError(
            f"{self.config_file.path}: another program kept changing the file during {_MAXIMUM_ATTEMPTS} attempts"
            f" ({last}); it is as that program left it. Find out who writes it, or stop the gateway, and try again."
        )

    def _plan(self, directory: int | None) -> _Plan:
        tree = read_tree(directory, self.directory_path, self.name, allow_hard_link=self.config_file.allow_hard_link)
        before = tree.resolved.value
        outcome = desired_value(self.declared, before)
        after = outcome.value
        changed = tuple(_merge_patch.changed_paths(before, after))
        if not tree.exists and not self.declared.desired.reverse:
            # A new file is a change, even when nothing is to be in it.
            changed = changed or ((),)
        if not changed:
            return _Plan(tree, before, after, (), outcome.notes, self.name, b"")
        if not tree.exists:
            if not self.config_file.create:
                raise ConfigEditError(
                    f"{self.config_file.path}: does not exist, and create is false. Nothing was changed."
                )
            text = json.dumps(after, indent=2, ensure_ascii=False) + "\n"
            return _Plan(tree, before, after, changed, outcome.notes, self.name, text.encode("utf-8", "surrogatepass"))
        name, content = self._edit_text(tree, before, after, changed)
        self._guard(tree, name, content, before, after)
        return _Plan(tree, before, after, changed, outcome.notes, name, content)

    def _edit_text(self, tree: Tree, before: Any, after: Any, changed: Sequence[Path]) -> tuple[str, bytes]:
        name, base = self._owner(tree, changed)
        patch = _merge_patch.diff(before, after)
        for part in base:
            patch = patch[part]
        state = tree.states[name]
        where = posixpath.join(self.directory_path, name)
        for path in changed:
            own = lookup(tree.values[name], path[len(base) :])
            if not is_absent(own) and _config_include.contains_include(own):
                raise ConfigEditError(
                    f"{where}: {format_path(path)} would be set whole, and holds an $include; edit it by hand."
                    " Nothing was changed."
                )
        try:
            text = _json5.merge_patch(_json5.decode(state.content), patch)
            value = _json5.loads(text)
        except ValueError as error:
            raise ConfigEditError(
                f"{where}: {_redact.scrub(str(error), self._secrets(before, after))}. Nothing was changed."
            ) from None
        values = {**tree.values, name: value}
        resolved = values[self.name]
        if tree.resolved.sites:
            resolved = _config_include.resolve(self.name, values[self.name], lambda each: values[each]).value
        if not _json5.same(resolved, after):
            raise ConfigEditError(
                f"{where}: the edited text does not say what was asked for; this happens when includes overlap."
                " Edit the file by hand. Nothing was changed."
            )
        return name, text.encode("utf-8", "surrogatepass")

    def _owner(self, tree: Tree, changed: Sequence[Path]) -> tuple[str, Path]:
        owners: dict[tuple[str, Path], Path] = {}
        for path in changed:
            owners.setdefault(_config_include.owner_of(path, self.name, tree.resolved), path)
        for (name, _base), path in owners.items():
            if name != self.name and not self.config_file.follow_include:
                raise ConfigEditError(
                    f"{self.config_file.path}: {format_path(path)} belongs to the included file"
                    f" {posixpath.join(self.directory_path, name)}; edit that file, or set follow_include."
                    " Nothing was changed."
                )
        if len(owners) > 1:
            names = sorted({posixpath.join(self.directory_path, name) for name, _base in owners})
            raise ConfigEditError(
                f"{self.config_file.path}: this edit reaches {' and '.join(names)}, which cannot be replaced in one"
                " step; use a task for each of them. Nothing was changed."
            )
        return next(iter(owners))

    def _guard(self, tree: Tree, name: str, content: bytes, before: Any, after: Any) -> None:
        if self.config_file.allow_shrink:
            return
        lost = [
            format_path(path)
            for path in (("meta",), ("gateway", "mode"))
            if not is_absent(lookup(before, path)) and is_absent(lookup(after, path))
        ]
        size = len(tree.states[name].content)
        if size >= _GUARDED_BYTES and len(content) * 2 < size:
            lost.append(f"more than half of its {size} bytes")
        if lost:
            raise ConfigEditError(
                f"{posixpath.join(self.directory_path, name)}: the edit would take away {' and '.join(lost)}; OpenClaw"
                " takes that for damage and puts an older copy back. Set allow_shrink if it is meant."
                " Nothing was changed."
            )

    def _secrets(self, *trees: Any) -> set[str]:
        found = {value for _path, value in self.declared.secrets}
        for tree in trees:
            found |= _redact.secret_texts(tree, sensitive_paths=self.secret_paths)
        return found

    def _validator(self, directory: int | None) -> Validator:
        return Validator(
            self.validation,
            path=self.config_file.path,
            directory_uid=None if directory is None else os.fstat(directory).st_uid,
            touched=self.declared.touched_paths,
            secret_paths=self.secret_paths,
            memory=self.memory,
            check_mode=self.check_mode,
        )

    def _candidate(self, plan: _Plan) -> Candidate:
        return self._candidate_of(plan.after, plan.content, bool(plan.tree.resolved.sites))

    def _candidate_before(self, plan: _Plan) -> Candidate | None:
        if not plan.tree.exists:
            return None
        content = plan.tree.states[self.name].content
        return self._candidate_of(plan.before, content, bool(plan.tree.resolved.sites))

    def _candidate_of(self, value: Any, content: bytes, has_includes: bool) -> Candidate:
        # Relative includes do not resolve from the scratch directory: there the merged value is judged.
        if has_includes:
            content = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
        return Candidate(value, content, _files.digest_of(content))

    def _ownership(self, directory: int, state: _files.FileState | None) -> _files.Ownership:
        default = os.fstat(directory) if state is None else None
        uid = state.uid if state is not None else default.st_uid if default is not None else os.geteuid()
        gid = state.gid if state is not None else default.st_gid if default is not None else os.getegid()
        if self.config_file.owner is not None:
            uid = _files.user_id(self.config_file.owner)
        if self.config_file.group is not None:
            gid = _files.group_id(self.config_file.group)
        return _files.Ownership(uid, gid, self.config_file.mode)

    def _write(self, directory: int, plan: _Plan) -> str | None:
        folder, base = posixpath.split(plan.name)
        state = plan.tree.states.get(plan.name)
        with _files.open_beneath(directory, folder) as below:
            ownership = self._ownership(below, state)
            if state is not None and state.links > 1 and state.uid not in (ownership.uid, os.geteuid()):
                raise _files.FileError(f"{plan.name}: is a hard link to a file of uid {state.uid}")
            _files.remove_stale_candidates(below, base)
            backup = self._back_up(plan.name, state)
            try:
                _files.replace_file(below, base, plan.content, ownership, expected=state)
            except _files.FileOvertakenError as error:
                raise _OvertakenError(error, backup) from None
        return backup

    def _back_up(self, name: str, state: _files.FileState | None) -> str | None:
        if state is None or self.config_file.backup_keep <= 0:
            return None
        root = self.config_file.backup_directory or default_backup_directory()
        with _files.private_directory(root):
            pass
        folder = posixpath.join(root, _files.key_for(posixpath.join(self.directory_path, name)))
        with _files.private_directory(folder) as ring:
            kept = _files.keep_backup(ring, state, keep=self.config_file.backup_keep)
        return None if kept is None else posixpath.join(folder, kept)

    def _finish_unchanged(self, directory: int | None, plan: _Plan, validator: Validator) -> EditResult:
        if not plan.tree.exists or directory is None:
            return self._result(plan, Verdict((), (), None), directory=directory)
        candidate = self._candidate_of(plan.after, plan.tree.states[self.name].content, bool(plan.tree.resolved.sites))
        digest = plan.tree.states[self.name].digest
        record = self._recall(plan, digest)
        if record is None:
            verdict = validator.judge_unchanged(candidate)
        else:
            verdict = Verdict(tuple(record["findings"]), tuple(record["validated"]), record["openclaw_version"])
        result = self._result(plan, verdict, directory=directory)
        if result.changed and not self.check_mode:
            state = plan.tree.states[self.name]
            _files.set_ownership(directory, self.name, self._ownership(directory, state))
        if record is None and verdict.validated:
            return result.with_findings(self._remember(plan, digest, validator, verdict))
        return result

    def _record_key(self, digest: str) -> str:
        desired = self.declared.desired._asdict()
        return _config_memory.record_key(digest, desired, self.validation.openclaw_command)

    def _recall(self, plan: _Plan, digest: str) -> dict[str, Any] | None:
        # With includes, other files have a say, and the digest of this one says too little.
        return None if plan.tree.resolved.sites else self.memory.recall(self.config_file.path, self._record_key(digest))

    def _remember(self, plan: _Plan, digest: str, validator: Validator, verdict: Verdict) -> Sequence[dict[str, str]]:
        # What is remembered is given back without looking again: a note would be lost.
        if plan.tree.resolved.sites or plan.notes:
            return ()
        try:
            self.memory.remember(
                self.config_file.path,
                {
                    "key": self._record_key(digest),
                    "digest": digest,
                    "findings": list(verdict.findings),
                    "validated": list(verdict.validated),
                    "openclaw_version": verdict.openclaw_version,
                    "program": validator.program_that_validated(verdict),
                },
            )
        except (OSError, _files.FileError) as error:
            # The edit itself is done.
            reason = error.strerror if isinstance(error, OSError) else error
            message = f"{self.memory.directory}: that this content is valid could not be remembered: {reason}"
            return [_note(message, "check the space and the permissions there; until then every run validates again")]
        return ()

    def _attributes_diff(self, directory: int | None, plan: _Plan) -> dict[str, str] | None:
        folder = posixpath.dirname(plan.name)
        state = plan.tree.states.get(plan.name)
        if directory is None:
            return None
        try:
            with _files.open_beneath(directory, folder) as below:
                wanted = self._ownership(below, state)
        except _files.FileError:
            # In check mode the user may be one that the real run creates first.
            if self.check_mode:
                return None
            raise
        if state is None:
            return None
        found = _files.Ownership(state.uid, state.gid, state.mode)
        if found == wanted:
            return None
        path = posixpath.join(self.directory_path, plan.name)
        return {
            "before_header": f"{path} (owner and mode)",
            "after_header": f"{path} (owner and mode)",
            "before": _attributes_text(found),
            "after": _attributes_text(wanted),
        }

    def _result(self, plan: _Plan, verdict: Verdict, *, directory: int | None) -> EditResult:
        path = posixpath.join(self.directory_path, plan.name)
        diff = []
        if plan.changed:
            diff.append(self._content_diff(plan, path))
        attributes = self._attributes_diff(directory, plan)
        if attributes is not None:
            diff.append(attributes)
        state = plan.tree.states.get(plan.name)
        digest = state.digest if state is not None else ""
        findings = [
            finding(format_path(where), "note", message, remedy, source="edit", severity="warning")
            for where, message, remedy in plan.notes
        ]
        return EditResult(
            changed=bool(diff),
            changed_paths=[format_path(each) for each in plan.changed if each],
            edited_file=path,
            backup_file=None,
            digest=_files.digest_of(plan.content) if plan.changed else digest,
            findings=[*findings, *verdict.findings],
            openclaw_version=verdict.openclaw_version,
            validated=list(verdict.validated),
            diff=diff,
        )

    def _content_diff(self, plan: _Plan, path: str) -> dict[str, str]:
        key = self.memory.fingerprint_key()

        def shown(tree: Any) -> str:
            pruned = _pruned(tree, plan.changed)
            if pruned is _NOTHING:
                return ""
            redacted = _redact.redact(
                pruned,
                key=key,
                sensitive_paths=self.secret_paths,
                is_public=self.declared.is_public,
                detailed=not self.secure_logging,
            )
            return _redact.printable(json.dumps(redacted, indent=2, ensure_ascii=False)) + "\n"

        before = shown(plan.before) if plan.tree.exists else ""
        return {"before_header": path, "after_header": path, "before": before, "after": shown(plan.after)}


def _note(message: str, remedy: str) -> dict[str, str]:
    return finding("<root>", "note", message, remedy, source="edit", severity="warning")


def _conflict_findings(conflicts: int) -> list[dict[str, str]]:
    if not conflicts:
        return []
    times = "once" if conflicts == 1 else f"{conflicts} times"
    message = f"another program wrote this file at the same time ({times}); its change was kept, and the edit was made"
    return [_note(f"{message} on top of it", "nothing, if you know which program that is")]


_NOTHING = object()


def _pruned(tree: Any, paths: Sequence[Path]) -> Any:
    """Only what changed: the rest of the file is nobody's business in a log."""
    if any(not path for path in paths):
        return tree
    if not isinstance(tree, Mapping):
        return _NOTHING
    kept: dict[str, Any] = {}
    for key, member in tree.items():
        below = [path[1:] for path in paths if path[0] == key]
        if not below:
            continue
        pruned = _pruned(member, below)
        if pruned is not _NOTHING:
            kept[key] = pruned
    return kept if kept else _NOTHING


def _attributes_text(ownership: _files.Ownership) -> str:
    mode = stat.S_IMODE(ownership.mode)
    return f"owner {ownership.uid}\ngroup {ownership.gid}\nmode {mode:04o}\n"
