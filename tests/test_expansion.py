"""References in commands and variables mean the same to a process and to a shell."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federator.expansion import environment, expand, shell_environment, shell_word

PIECES = st.lists(
    st.sampled_from(["$(A)", "$(B)", "$$", "$(C)", "$", "it's", '"', " ", "\n", "`id`", "\\"]), max_size=6
)


@pytest.mark.parametrize(
    ("text", "meant"),
    [("$(A)", "1"), ("$$(A)", "$(A)"), ("$(B)", "$(B)"), ("$A ${A}", "$A ${A}"), ("$(A", "$(A"), ("a$$b", "a$b")],
)
def test_references_are_replaced_as_kubernetes_replaces_them(text: str, meant: str) -> None:
    assert expand(text, {"A": "1"}) == meant


def test_variables_refer_to_ours_and_to_those_before_them_and_none_takes_the_place_of_ours() -> None:
    own = {"OURS": "o"}
    made = environment(own, {"A": "$(OURS) $(B)", "B": "$(A)!", "OURS": "mine"})
    assert made == {"OURS": "o", "A": "o $(B)", "B": "o $(B)!"}


@settings(max_examples=15, deadline=None)
@given(PIECES, PIECES)
def test_a_shell_is_told_the_same(value: list[str], word: list[str]) -> None:
    own, given_ = {"A": "it's $5"}, {"B": "".join(value)}
    env = shell_environment({name: shlex.quote(text) for name, text in own.items()}, given_)
    script = f"printf '%s|' {env['B']} {shell_word(''.join(word), env)}"
    told = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True).stdout
    meant = environment(own, given_)
    assert told == f"{meant['B']}|{expand(''.join(word), meant)}|"
