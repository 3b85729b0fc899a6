#!/usr/bin/env bash
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Stage: formatting and lint of Python, YAML, shell and Ansible content; licences of every file
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"

shell_scripts() {
  git ls-files -z --cached --others --exclude-standard |
    while IFS= read -r -d '' path; do
      # Templates are no shell yet.
      if [[ -f $path && ! -L $path && $path != *.j2 ]] && head -c 64 "$path" | head -n 1 | tr -d '\0' | grep -qE '^#!.*\b(ba)?sh\b'; then
        printf '%s\0' "$path"
      fi
    done
}

lint_shell() {
  shell_scripts | xargs -0 --no-run-if-empty shellcheck
}

check "ruff check" ruff check .
check "ruff format" ruff format --check .
check "yamllint" yamllint --strict .
check "shellcheck" lint_shell
check "ansible-lint" ansible-lint --offline --nocolor
check "reuse" reuse lint --lines
finish_stage
