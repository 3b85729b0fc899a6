#!/usr/bin/env bash
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Stage: strict mypy on the plugins, the roles' programs and the test machinery
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"

# mypy knows the modules by the names under which they import each other.
collection=.collections/ansible_collections/failclosed/openclaw
mapfile -t programs < <(
  find "$collection"/roles/ "$collection"/tests/{benchmarks,demonstration,proof,simulator}/ -name '*.py'
)
# What managed hosts run, as their Pythons have it. mypy knows none older than 3.10; what 3.9 lacks is looked for by
# tests/unit/repository/test_python_versions.py.
mapfile -t on_hosts < <(find "$collection"/roles/ -name '*.py')
# They run from one directory and import each other by their plain names.
hosts=tests/hosts/roles/hosts/files

check "mypy: plugins, roles, test programs" mypy "$collection/plugins" "${programs[@]}"
check "mypy: plugins and roles on Python 3.10" mypy --python-version 3.10 "$collection/plugins" "${on_hosts[@]}"
check "mypy: disposable hosts" env MYPYPATH="$hosts" mypy "$hosts"
# They import each other, and the simulator, by their plain names.
leaks=tests/leaks:tests/simulator:tests/unit/simulator

check "mypy: leaks" env MYPYPATH="$leaks:.collections" mypy --explicit-package-bases tests/leaks
check "mypy: stages" mypy tests/stages
finish_stage
