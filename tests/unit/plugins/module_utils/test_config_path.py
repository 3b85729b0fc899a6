# Copyright (c) 2026, the failclosed.openclaw authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.failclosed.openclaw.plugins.module_utils import _config_path

ACCEPTED: list[tuple[str, tuple[Any, ...]]] = [
    ("gateway", ("gateway",)),
    ("gateway.port", ("gateway", "port")),
    ("agents.entries.main.tools.exec.node", ("agents", "entries", "main", "tools", "exec", "node")),
    ('channels.discord.guilds["123"].channels', ("channels", "discord", "guilds", "123", "channels")),
    ('agents.entries["my.agent"].model', ("agents", "entries", "my.agent", "model")),
    ("agents.entries['my.agent'].model", ("agents", "entries", "my.agent", "model")),
    ('agents.defaults.models["openai/gpt-5.4"].alias', ("agents", "defaults", "models", "openai/gpt-5.4", "alias")),
    ("agents.entries.main.skills[0]", ("agents", "entries", "main", "skills", 0)),
    ("plugins.allow[0]", ("plugins", "allow", 0)),
    ("plugins.allow.0", ("plugins", "allow", "0")),
    ('a["0"]', ("a", "0")),
    ("a[00]", ("a", "00")),
    ("a[100000]", ("a", 100_000)),
    ("a[100001]", ("a", "100001")),
    ("a[key]", ("a", "key")),
    ("a[ key ].b", ("a", "key", "b")),
    ('a[ "b" ]', ("a", "b")),
    ("a[0][1].b", ("a", 0, 1, "b")),
    ('["a.b"].c', ("a.b", "c")),
    ("[0].c", (0, "c")),
    (r"a\.b.c", ("a.b", "c")),
    (r"a\[0\]", ("a[0]",)),
    (" a . b ", ("a", "b")),
    ("\ufeffa\u00a0", ("a",)),
    ('a["b\\"c"]', ("a", 'b"c')),
    ("a['it\\'s']", ("a", "it's")),
    ("a['say \"x\"']", ("a", 'say "x"')),
    ("a['\\x41\\v\\0\\u0042']", ("a", "A\x0b\0B")),
    ('a["\\q"]', ("a", "q")),
    ('a["]"].b', ("a", "]", "b")),
    ('a["\\ud83d\\ude00"]', ("a", "\U0001f600")),
    ("a.é", ("a", "é")),
    ("a-b:c.d", ("a-b:c", "d")),
]
REFUSED = [
    "", "  ", ".", "a.", ".a", "a..b", "a. .b", "a[", "a[]", "a[ ]", "a[0", "a[0]b", "a[0] .b", "a.[0]", "a[0].", "a\\",
    'a[""]', 'a["  "]', "a['x]", "a['x'y']", "a['\\1']", "a['\\x4']", "a['\\u12']", "a['\\01']", "a['\t']",
    "__proto__", "a.__proto__.b", "a.constructor", 'a["prototype"]', "a[__proto__]",
]  # fmt: skip


@pytest.mark.parametrize(("path", "segments"), ACCEPTED)
def test_parse(path: str, segments: tuple[Any, ...]) -> None:
    parsed = _config_path.parse(path)
    assert parsed == segments
    assert [type(segment) for segment in parsed] == [type(segment) for segment in segments]


@pytest.mark.parametrize("path", REFUSED)
def test_parse_refuses(path: str) -> None:
    with pytest.raises(ValueError):
        _config_path.parse(path)


@pytest.mark.parametrize(
    ("segments", "path"),
    [
        ((), ""),
        (("a", "b"), "a.b"),
        (("a", 0, "b"), "a[0].b"),
        (("a", "0"), 'a["0"]'),
        (("a.b",), '["a.b"]'),
        (("a", "provider/model.v1", "alias"), 'a["provider/model.v1"].alias'),
        (("a", 'q"\\\n\x01'), 'a["q\\"\\\\\\n\\u0001"]'),
        (("a", "\ud800"), 'a["\\ud800"]'),
        (("a", "é"), 'a["é"]'),
        (("a:b-c", "$d"), "a:b-c.$d"),
        (("a", "b\n"), 'a["b\\n"]'),
    ],
)
def test_format(segments: tuple[Any, ...], path: str) -> None:
    assert _config_path.format(segments) == path


SEGMENTS = st.lists(
    st.one_of(
        st.integers(0, _config_path.MAX_INDEX),
        st.text(max_size=6).filter(lambda key: key.strip(_config_path._WHITE) != ""),
        st.sampled_from(["0", "a.b", "a[0]", '"', "'", "\\", "]", " x "]),
    ).filter(lambda segment: segment not in ("__proto__", "constructor", "prototype")),
    min_size=1,
    max_size=5,
)


@given(SEGMENTS)
def test_parse_undoes_format(segments: list[Any]) -> None:
    assert _config_path.parse(_config_path.format(tuple(segments))) == tuple(segments)


@given(st.text(alphabet="ab.[]\"'\\ 0\t", max_size=12))
def test_parse_raises_nothing_else(path: str) -> None:
    try:
        segments = _config_path.parse(path)
    except ValueError:
        return
    assert segments
    assert _config_path.parse(_config_path.format(segments)) == segments


def test_resolve_takes_types_from_the_tree() -> None:
    tree = {"list": [{"1": "x"}], "7": {}}
    assert _config_path.resolve(("list", "0", 1), tree) == ("list", 0, "1")
    assert _config_path.resolve((7, "x"), tree) == ("7", "x")
    assert _config_path.resolve(("list", "1"), tree) == ("list", 1)
    assert _config_path.resolve(("list", "00"), tree) == ("list", "00")
    assert _config_path.resolve(("list", "5", "0", 3), tree) == ("list", 5, "0", 3)
    assert _config_path.resolve(("none", "0"), tree) == ("none", "0")
