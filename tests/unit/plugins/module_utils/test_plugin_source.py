# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.failclosed.openclaw.plugins.module_utils import _plugin_source
from ansible_collections.failclosed.openclaw.plugins.module_utils._plugin_source import (
    SourceError,
    exact_version,
    parse,
)

COMMIT = "a" * 40


@pytest.mark.parametrize(
    ("text", "kind", "name", "reference"),
    [
        ("/srv/plugin", "local", "/srv/plugin", None),
        ("npm:example", "npm", "example", None),
        ("npm:example@1.2.3", "npm", "example", "1.2.3"),
        ("npm:@scope/example@1.2.3-beta.1", "npm", "@scope/example", "1.2.3-beta.1"),
        ("npm:@scope/example@beta", "npm", "@scope/example", "beta"),
        ("clawhub:example@1.2.3", "clawhub", "example", "1.2.3"),
        ("git:https://git.example/x.git#v1.2.3", "git", "https://git.example/x.git", "v1.2.3"),
        ("git+https://git.example/x#" + COMMIT, "git", "https://git.example/x", COMMIT),
        ("git:git.example/owner/x#v1", "git", "https://git.example/owner/x", "v1"),
        ("git:/srv/x.git#v1", "git", "/srv/x.git", "v1"),
        ("git:file:///srv/x.git#v1", "git", "/srv/x.git", "v1"),
        ("git:/srv/x.git", "git", "/srv/x.git", None),
        ("marketplace:x@/srv/market", "marketplace", "x", "/srv/market"),
        ("marketplace:x@owner/repository", "marketplace", "x", "owner/repository"),
    ],
)
def test_forms(text, kind, name, reference):
    assert parse(text) == _plugin_source.Source(kind, name, reference, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "of no known form"),
        ("relative/path", "of no known form"),
        ("~/plugin", "of no known form"),
        ("https://x.example/x.tgz", "of no known form"),
        ("example", "write npm:example"),
        ("@scope/example", "write npm:@scope/example"),
        ("npm:", "names no package"),
        ("npm:--registry=http://x.example", "names no package"),
        ("npm:../x@1.0.0", "names no package"),
        ("npm:example@^1.2.3", "no exact version"),
        ("npm:example@1", "no exact version"),
        ("npm:example@git+https://x", "no exact version"),
        ("npm:example@--pack-destination=x", "no exact version"),
        ("git:ssh://git@git.example/x#v1", "has no key"),
        ("git:git@git.example:x#v1", "has no key"),
        ("git:http://git.example/x#v1", "fetched safely"),
        ("git:git://git.example/x#v1", "fetched safely"),
        ("git:ext::sh -c id#v1", "fetched safely"),
        ("git:--upload-pack=id#v1", "fetched safely"),
        ("git:https://user:secret@git.example/x#v1", "a user or a password"),
        ("git:/srv/x#--output=x", "no usable tag or commit"),
        ("git:/srv/x#a..b", "no usable tag or commit"),
        ("git:/srv/x#", "no usable tag or commit"),
        ("marketplace:x", "names no marketplace entry"),
        ("marketplace:--link@m", "names no marketplace entry"),
        ("marketplace:x@--link", "names no marketplace entry"),
        ("marketplace:x@http://m.example", "without protection"),
    ],
)
def test_refused_forms_say_what_to_give(text, message):
    with pytest.raises(SourceError, match=message.replace("(", r"\(")) as caught:
        parse(text)
    assert "secret" not in str(caught.value)


@given(st.text(max_size=40))
def test_no_text_becomes_an_option_of_a_program(text):
    for prefix in ("", "npm:", "git:", "clawhub:", "marketplace:"):
        try:
            source = parse(prefix + text)
        except SourceError:
            continue
        assert not source.name.startswith("-")
        assert not (source.reference or "").startswith("-")


@pytest.mark.parametrize(
    ("text", "version", "expected"),
    [
        ("npm:example@1.2.3", None, "1.2.3"),
        ("npm:example", "1.2.3", "1.2.3"),
        ("npm:example@1.2.3", "1.2.3", "1.2.3"),
        ("git:/srv/x#v1", None, None),
        ("git:/srv/x#v1", "1.0.0", "1.0.0"),
        ("marketplace:x@m", "1.0.0", "1.0.0"),
    ],
)
def test_exact(text, version, expected):
    assert exact_version(parse(text), version) == expected


@pytest.mark.parametrize(
    ("text", "version", "message"),
    [
        ("npm:example", None, "needs an exact one"),
        ("npm:example@beta", None, "moves; give an exact version"),
        ("npm:example", "latest", "is no exact version, such as 1.4.2"),
        ("npm:example@1.2.3", "1.2.4", "disagree"),
        ("clawhub:example", None, "needs an exact one"),
        ("git:/srv/x", None, "names no tag or commit"),
        ("marketplace:x@m", None, "a marketplace has no other pin"),
    ],
)
def test_what_moves_is_refused(text, version, message):
    with pytest.raises(SourceError, match=message):
        exact_version(parse(text), version)
