#!/usr/bin/env bash
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Stage: pytest; without --fast also against a real OpenClaw and against the package registries
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"

# A file's tests share what they have prepared.
parallel=(--numprocesses=auto --maxprocesses=4 --dist=loadfile)

if [[ ${FAILCLOSED_FAST:-} ]]; then
  # Its tests take a minute for each interpreter.
  export FAILCLOSED_SUPERVISOR_PYTHON=$FAILCLOSED_TOOLS/venv/bin/python
  run_pytest "pytest" "${parallel[@]}" --ignore=tests/docs -m "not openclaw and not registry and not long"
else
  check "install OpenClaw from the lock" install_openclaw roles/openclaw_gateway/files/openclaw "$FAILCLOSED_TOOLS/openclaw"
  check "install typescript from the lock" install_javascript_tools
  export FAILCLOSED_TYPECHECK=$javascript_tools/node_modules
  run_pytest "pytest" "${parallel[@]}" --ignore=tests/docs --ignore=tests/leaks -m "not long"
fi
finish_stage
