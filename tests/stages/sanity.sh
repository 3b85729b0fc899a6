#!/usr/bin/env bash
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Stage: ansible-test sanity in a copy of the tree, under every Python that is present
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"

copy=$root/.cache/build/ansible_collections/failclosed/openclaw
home=$root/.cache/sanity
output=$root/.cache/logs/sanity-output.log

# ansible-test passes HOME and PATH on, and nothing else of the environment.
run_sanity() {
  cd "$copy"
  HOME=$home ansible-test sanity --local 2>&1 | tee "$output"
}

fetch_pip() {
  if compgen -G "$home/pip-*.whl" >/dev/null; then return; fi
  mkdir -p "$home"
  python -m pip download --quiet --no-input --disable-pip-version-check --no-deps --only-binary :all: \
    --require-hashes --requirement tests/requirements-ansible-test.txt --dest "$home"
}

# ansible-test tests what git lists, and would take the ignored copy for a part of the surrounding checkout. The link in
# .collections is the checkout's own; the artifact does not have it either.
copy_as_repository() {
  copy_tree "$copy" . ":!.collections"
  git init --quiet "$copy"
}

check "fetch pip for ansible-test" fetch_pip
check "set up a home for ansible-test" python tests/stages/ansible_test_home.py "$home"
check "copy the tree" copy_as_repository
rm -f "$output"
attempt "ansible-test sanity" run_sanity
# One count for each test and Python version. The names of those that failed come at the end, after the word FATAL.
started=$(grep -c '^Running sanity test ' "$output" || true)
failed=$(sed -n '/^FATAL: The [0-9]* sanity test/,$p' "$output" | grep -cvE '^FATAL:|^$' || true)
if ((status != 0 && failed == 0)) || ((started == 0)); then failed=$((failed + 1)); fi
count $((started > failed ? started - failed : 0)) "$failed" 0
finish_stage
