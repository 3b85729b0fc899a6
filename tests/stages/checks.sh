# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
#
# What the stages share: named checks that go on after a failure, the counts that ./test sums up, and the type checker.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
cd "$root"
stage_failed=0
# bash would go on with the next check if the program that was interrupted ends by itself.
trap 'exit 130' INT TERM HUP

# count PASSED FAILED SKIPPED
count() {
  printf '%d %d %d\n' "$@" >>"${FAILCLOSED_COUNTS:-/dev/stdout}"
  if (($2)); then stage_failed=1; fi
}

# attempt NAME COMMAND...: runs it under errexit, keeps its exit status in $status.
attempt() {
  printf '\n== %s\n' "$1"
  shift
  set +e
  (
    set -e
    "$@"
  )
  status=$?
  set -e
}

# check NAME COMMAND...: one check, passed if the command succeeds.
check() {
  attempt "$@"
  if ((status == 0)); then
    count 1 0 0
  else
    printf '== failed: %s\n' "$1"
    count 0 1 0
  fi
}

# count_report NAME REPORT: counts the cases of a JUnit report. No case at all is a failure, and so is a runner that
# failed (its exit status is in $status) without a case that did.
count_report() {
  local passed=0 failed=0 skipped=0
  read -r passed failed skipped < <(python tests/stages/junit_counts.py "$2") || true
  if ((passed + failed == 0 || (status != 0 && failed == 0))); then
    printf '== failed: %s ended with %d and reported %d passed, %d failed\n' "$1" "$status" "$passed" "$failed"
    failed=$((failed + 1))
  fi
  count "$passed" "$failed" "$skipped"
}

# run_pytest NAME ARGUMENT...
run_pytest() {
  local name=$1 report=$root/.cache/logs/pytest.xml
  shift
  rm -f "$report"
  attempt "$name" python -m pytest --quiet --durations=25 --continue-on-collection-errors --junit-xml="$report" "$@"
  count_report "$name" "$report"
}

# copy_tree DIRECTORY [PATHSPEC...]: what a commit of the working tree would hold.
copy_tree() {
  local target=$1
  shift
  rm -rf "$target"
  mkdir -p "$target"
  git ls-files -z --cached --others --exclude-standard -- "$@" |
    while IFS= read -r -d '' path; do
      if [[ -e $path || -L $path ]]; then printf '%s\0' "$path"; fi
    done |
    tar --create --null --files-from=- |
    tar --extract --directory "$target"
}

javascript_tools=${FAILCLOSED_TOOLS:-.cache/tools}/javascript

install_javascript_tools() {
  local made_from
  made_from=$(sha256sum tests/javascript/package-lock.json)
  if [[ $made_from == "$(cat "$javascript_tools/made-from" 2>/dev/null || true)" ]]; then return; fi
  rm -rf "$javascript_tools"
  mkdir -p "$javascript_tools"
  cp tests/javascript/package.json tests/javascript/package-lock.json "$javascript_tools/"
  npm ci --prefer-offline --prefix "$javascript_tools" --ignore-scripts --no-audit --no-fund
  printf '%s\n' "$made_from" >"$javascript_tools/made-from"
}

# install_openclaw LOCK TARGET: what a directory with package.json and package-lock.json names.
install_openclaw() {
  local lock=$1 target=$2 made_from
  made_from=$(cat "$lock/package.json" "$lock/package-lock.json" | sha256sum)
  if [[ $made_from == "$(cat "$target/made-from" 2>/dev/null || true)" ]]; then return; fi
  rm -rf "$target"
  mkdir -p "$target"
  cp "$lock/package.json" "$lock/package-lock.json" "$target/"
  # The lock has the last word on what is installed; what is cached need not be asked for again.
  npm ci --prefer-offline --prefix "$target" --ignore-scripts --no-audit --no-fund
  HOME=$target OPENCLAW_STATE_DIR=$target/state node "$target/node_modules/openclaw/openclaw.mjs" --version
  printf '%s\n' "$made_from" >"$target/made-from"
}

# install_commands COMMAND:PACKAGE...: the Debian packages of the commands that are missing.
install_commands() {
  local pair missing=()
  for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
  done
  if ((${#missing[@]} == 0)); then return; fi
  apt-get update
  DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "${missing[@]}"
}

finish_stage() {
  exit "$stage_failed"
}
