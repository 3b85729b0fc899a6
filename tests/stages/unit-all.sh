#!/usr/bin/env bash
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Stage: (only with --all) pytest: what takes minutes on a real OpenClaw
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"

check "install OpenClaw from the lock" install_openclaw roles/openclaw_gateway/files/openclaw "$FAILCLOSED_TOOLS/openclaw"
run_pytest "pytest" --ignore=tests/docs --ignore=tests/leaks -m long
finish_stage
