#!/usr/bin/env bash
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Stage: types and tests of the OpenClaw plugin
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"

test_plugin() {
  cd plugin
  node --test --test-reporter=spec --test-reporter-destination=stdout \
    --test-reporter=junit --test-reporter-destination="$report" "test/**/*.test.js"
}

check "install typescript from the lock" install_javascript_tools
check "tsc" "$javascript_tools/node_modules/.bin/tsc" --project plugin/tsconfig.json --typeRoots "$javascript_tools/node_modules/@types"
report=$root/.cache/logs/node.xml
rm -f "$report"
attempt "node --test" test_plugin
count_report "node --test" "$report"
finish_stage
