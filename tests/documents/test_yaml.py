"""What YAML text is read as, and what is refused before it costs anything."""

from __future__ import annotations

import contextlib
import io
import json
import re
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from federator.documents import DocumentErrors, read_files, read_text, yaml_reader
from federator.documents.yaml_reader import MAX_BYTES, TextRefused, read_yaml

QUEUE = "apiVersion: federator.dev/v1alpha1\nkind: Queue\nmetadata: {name: %s}\n"


def value_of(text: str) -> object:
    ((value, _),) = read_yaml(text, "f.yaml")
    return value


def test_plain_scalars_mean_what_kubectl_takes_them_for() -> None:
    text = "a: yes\nb: 010\nc: 0x1F\nd: 1e3\ne: 2026-01-01\nf: 1:30\ng: ~\nh: '1'\ni: -3\nj: .5\nk: No\nl: !!str 5\n"
    assert value_of(text) == {
        "a": True,
        "b": 8,
        "c": 31,
        "d": 1000.0,
        "e": "2026-01-01",
        "f": "1:30",
        "g": None,
        "h": "1",
        "i": -3,
        "j": 0.5,
        "k": False,
        "l": "5",
    }


def test_merge_keys_and_aliases_are_taken() -> None:
    text = "base: &b {x: 1, y: 2}\none: {<<: *b, y: 3}\ntwo: *b\n"
    assert value_of(text) == {"base": {"x": 1, "y": 2}, "one": {"x": 1, "y": 3}, "two": {"x": 1, "y": 2}}


# 1e3, 0o7 and -.5 are numbers to kubectl and to us, but text to this library, which writes them without quotes.
others_numbers = re.compile(r"[-+]?[0-9.]+[eEo]|[-+]\.[0-9]")
words = st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=20).filter(
    lambda text: not others_numbers.match(text)
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcxyz-_. ", max_size=6), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None)
@given(json_values)
def test_what_a_yaml_library_writes_is_read_back_the_same(value: object) -> None:
    if isinstance(value, dict):
        value = {key: one for key, one in value.items() if key != "<<"}
    text = yaml.safe_dump(value)
    ((read, _),) = list(read_yaml(text, "f.yaml")) or ((None, None),)
    assert read == value


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text("abcxyz-_. ", min_size=1, max_size=6), json_values, max_size=4))
def test_json_indented_with_tabs_is_read_as_json(value: dict[str, object]) -> None:
    text = json.dumps(value, indent="\t")
    ((read, _),) = read_yaml(text, "f.json")
    assert read == value


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80))
def test_no_text_makes_the_reader_raise_anything_but_a_refusal(text: str) -> None:
    with contextlib.suppress(TextRefused):
        list(read_yaml(text, "f.yaml"))


BOMB = "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(20)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "more than 1000000 values"),
        ("[" * 100_000, "64 deep"),
        ("{a: " * 100_000, "64 deep"),
        ("- " * 100_000, "64 deep"),
        ("x" * (MAX_BYTES + 1), "8 MiB"),
    ],
    ids=["aliases", "lists", "mappings", "dashes", "bytes"],
)
def test_bombs_are_refused_soon(text: str, message: str) -> None:
    begun = time.process_time()
    with pytest.raises(DocumentErrors, match=message):
        read_text(text)
    assert time.process_time() - begun < 10


def test_a_text_with_too_many_values_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_reader, "MAX_NODES", 1000)
    with pytest.raises(DocumentErrors, match="more than 1000 values"):
        read_text("[" + "1," * 1001 + "]")


def test_folders_are_read_whole_and_in_order_and_hidden_files_are_not(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / ".hidden").mkdir()
    for name, queue in [("b/1.yml", "q1"), ("a.yaml", "q0"), ("c.json", "q2"), (".hidden/x.yaml", "x"), ("n.txt", "t")]:
        (tmp_path / name).write_text(QUEUE % queue)
    documents = read_files([tmp_path, tmp_path / "a.yaml"])
    assert [document.name for document in documents.queues] == ["q0", "q2", "q1"]
    assert documents.queues[0].source.line == 1


def test_dash_is_standard_input_and_documents_of_all_kinds_may_be_mixed() -> None:
    text = QUEUE % "a" + "---\n---\n" + (QUEUE % "b").replace("Queue", "Cluster") + "---\nkind: List\napiVersion: v1\n"
    text += "items:\n- {apiVersion: federator.dev/v1alpha1, kind: Planning, metadata: {name: p}}\n"
    documents = read_files(["-"], stdin=io.BytesIO(text.encode()))
    assert [(document.kind, document.source.line) for document in documents.all] == [
        ("Queue", 1),
        ("Cluster", 6),
        ("Planning", 13),
    ]


def test_bytes_that_are_not_utf_8_are_told_with_their_place(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(DocumentErrors) as caught:
        read_files([tmp_path / "a.yaml"])
    problem = caught.value.problems[0]
    assert (problem.line, problem.column, problem.message) == (2, 4, "is not UTF-8")
