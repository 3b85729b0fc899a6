# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run openclaw_verify on the host and keep a copy of its receipt on the controller, without a task of its own."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """The module, and the copy of its receipt."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module; a copy that cannot be written fails the task, because somebody counts on it."""
        super().run(tmp, task_vars)
        result: dict[str, Any] = self._execute_module(task_vars=task_vars)
        directory = str(self._task.args.get("controller_dir") or "")
        receipt = result.get("receipt_document")
        if directory and receipt and not self._play_context.check_mode:
            name = re.sub(r"[^A-Za-z0-9._-]", "_", str((task_vars or {}).get("inventory_hostname", "host")))
            try:
                keep(Path(directory).expanduser(), name, receipt)
            except OSError as error:
                raise AnsibleActionFail(
                    f"controller_dir is {directory!r}, and the copy of the receipt cannot be written there:"
                    f" {error.strerror}. Name a directory on the controller that you may write, or leave it empty.",
                    result=result,
                ) from error
        return result


def keep(directory: Path, name: str, receipt: dict[str, Any]) -> None:
    """Write NAME.json and NAME.json.sha256 (as sha256sum checks it) where they differ; raises OSError."""
    content = json.dumps(receipt, indent=2, sort_keys=True) + "\n"
    digest = hashlib.sha256(content.encode()).hexdigest()
    directory.mkdir(parents=True, exist_ok=True)
    for path, text in (
        (directory / f"{name}.json", content),
        (directory / f"{name}.json.sha256", f"{digest}  {name}.json\n"),
    ):
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        descriptor, candidate = tempfile.mkstemp(dir=directory, prefix=f".{name}-")
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(candidate, 0o644)
        os.replace(candidate, path)
