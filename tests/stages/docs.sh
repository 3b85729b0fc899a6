#!/usr/bin/env bash
# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Stage: documentation of modules and roles, changelog fragments, links in the Markdown files
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"

check "antsibull-docs" antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs=all \
  --disallow-unknown-collection-refs .
check "antsibull-changelog" antsibull-changelog lint
run_pytest "links" tests/docs
finish_stage
