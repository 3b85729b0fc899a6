#!/usr/bin/env bash
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Stage: pytest; without --fast also against a real OpenClaw and against the package registries
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"

# The releases besides the one that the roles install, for what has to hold under several.
install_openclaw_releases() {
  local lock
  for lock in tests/openclaw-releases/*/; do
    install_openclaw "$lock" "$FAILCLOSED_OPENCLAW_RELEASES/$(basename "$lock")"
  done
}

if [[ ${FAILCLOSED_FAST:-} ]]; then
  # Its tests take a minute for each interpreter.
  export FAILCLOSED_SUPERVISOR_PYTHON=$FAILCLOSED_TOOLS/venv/bin/python
  run_pytest "pytest" --ignore=tests/docs -m "not openclaw and not registry and not long"
else
  check "install OpenClaw from the lock" install_openclaw roles/openclaw_gateway/files/openclaw "$FAILCLOSED_TOOLS/openclaw"
  check "install older releases of OpenClaw from their locks" install_openclaw_releases
  check "install typescript from the lock" install_javascript_tools
  export FAILCLOSED_TYPECHECK=$javascript_tools/node_modules
  run_pytest "pytest" --ignore=tests/docs --ignore=tests/leaks -m "not long"
fi
finish_stage
