#!/usr/bin/env bash
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Stage: the artifact: build, Galaxy's importer, installation, and use of what was installed
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"

work=$root/.cache/artifact
rm -rf "$work"
mkdir -p "$work/home"
copy_tree "$work/tree"

build() {
  cd "$work/tree"
  ansible-galaxy collection build --output-path "$work"
  artifact=$(compgen -G "$work/failclosed-openclaw-*.tar.gz")
  # Nothing of the checkout's own tooling belongs into it.
  if tar --list --gzip --file "$artifact" | grep -E '^(\.|ansible\.cfg$|demo$|test$)|/(node_modules|__pycache__)/'; then
    echo "the files above do not belong into the artifact: see build_ignore in galaxy.yml"
    return 1
  fi
}

import_into_galaxy() {
  cd "$work"
  python -m galaxy_importer.main "$work"/failclosed-openclaw-*.tar.gz
}

# From here on the artifact is all there is: no ansible.cfg, no link to the checkout.
installed() (
  cd "$work/home"
  env -u ANSIBLE_CONFIG HOME="$work/home" ANSIBLE_COLLECTIONS_PATH="$work/installed" "$@"
)

install_artifact() {
  installed ansible-galaxy collection install --offline --no-deps --collections-path "$work/installed" \
    "$work"/failclosed-openclaw-*.tar.gz
}

read_documentation() {
  local path names=() role
  for path in plugins/modules/*.py; do names+=("failclosed.openclaw.$(basename "$path" .py)"); done
  installed ansible-doc --type module --json "${names[@]}" >"$work/modules.json"
  for role in roles/*/; do
    installed ansible-doc --type role --json "failclosed.openclaw.$(basename "$role")" >"$work/role.json"
    grep -q '"entry_points"' "$work/role.json"
  done
}

check_syntax() {
  local playbook
  printf 'openclaw:\n  hosts:\n    gateway.example.com:\n' >"$work/inventory.yml"
  for playbook in playbooks/*.yml; do
    installed ansible-playbook --syntax-check --inventory "$work/inventory.yml" \
      "failclosed.openclaw.$(basename "$playbook" .yml)"
  done
}

check "ansible-galaxy collection build" build
check "galaxy-importer" import_into_galaxy
check "install the artifact" install_artifact
check "ansible-doc" read_documentation
check "playbooks by name" check_syntax
finish_stage
