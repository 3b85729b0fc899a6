#!/usr/bin/env bash
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Stage: (only with --all) pytest: what takes minutes on a real OpenClaw
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"

# The releases besides the one that the roles install, for what has to hold under several.
install_openclaw_releases() {
  local lock
  for lock in tests/openclaw-releases/*/; do
    install_openclaw "$lock" "$FAILCLOSED_OPENCLAW_RELEASES/$(basename "$lock")"
  done
}

check "install OpenClaw from the lock" install_openclaw roles/openclaw_gateway/files/openclaw "$FAILCLOSED_TOOLS/openclaw"
check "install older releases of OpenClaw from their locks" install_openclaw_releases
run_pytest "pytest" --ignore=tests/docs --ignore=tests/leaks -m long
finish_stage
