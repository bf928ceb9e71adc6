"""From files, text and objects to typed documents, with every error of all of them at once."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ValidationError

from federator.documents.checks import check_together
from federator.documents.complaints import Misfit, explain, locate
from federator.documents.documents import Document, Documents, Source
from federator.documents.entries import Entry, refuse_depth
from federator.documents.kinds import KINDS, NATIVE_KINDS, PLAIN_GROUPS, VERSIONS
from federator.documents.marks import Marks
from federator.documents.native import read_native
from federator.documents.problems import DocumentErrors, Problem, did_you_mean
from federator.documents.workload import WorkloadBody
from federator.documents.workloads import template_of
from federator.documents.yaml_reader import MAX_BYTES, TextRefused, read_yaml

SUFFIXES = (".yaml", ".yml", ".json")
STDIN = "<stdin>"


def read_files(
    paths: Sequence[str | Path],
    *,
    stdin: BinaryIO | None = None,
    clusters: Iterable[str] | None = None,
    cohorts: Mapping[str, str] | None = None,
) -> Documents:
    """The documents in files, in folders (all YAML and JSON below them, sorted), and for ``-`` in ``stdin``.

    ``clusters`` are names that exist besides those in the documents, ``cohorts`` the parents of those that do, by name.
    Raises DocumentErrors.
    """
    problems: list[Problem] = []
    entries: list[Entry] = []
    seen: set[str] = set()
    for given in paths:
        if str(given) == "-":
            data = stdin.read(MAX_BYTES + 1) if stdin else b""
            _read_bytes(data, STDIN, entries, problems)
            continue
        for path in _files_in(Path(given), problems):
            real = os.path.realpath(path)
            if real not in seen:
                seen.add(real)
                _read_file(path, entries, problems)
    return _together(entries, problems, clusters, cohorts)


def read_text(
    text: str,
    name: str = "<text>",
    clusters: Iterable[str] | None = None,
    cohorts: Mapping[str, str] | None = None,
) -> Documents:
    """The documents in a text; ``name`` is what errors call it (JSON, where it ends so). Raises DocumentErrors."""
    problems: list[Problem] = []
    entries: list[Entry] = []
    _read_text(text, name, entries, problems)
    return _together(entries, problems, clusters, cohorts)


def read_objects(
    objects: Iterable[Mapping[str, Any]],
    clusters: Iterable[str] | None = None,
    cohorts: Mapping[str, str] | None = None,
) -> Documents:
    """Documents that are JSON values already; what exists besides is given as to ``read_files``.

    Raises DocumentErrors; instead of a file it names the object (``Workload/w``), and places in it have no line.
    """
    problems: list[Problem] = []
    entries: list[Entry] = []
    for value in objects:
        fault = refuse_depth(value)
        if fault is None:
            entries.extend(replace(one, file=one.called) for one in _split(Entry("", value)))
        else:
            problems.append(Problem(Entry("", value).called, message=fault, cure="flatten it, or split it"))
    return _together(entries, problems, clusters, cohorts)


def _files_in(path: Path, problems: list[Problem]) -> Iterator[Path]:
    """The file, or all documents below the folder, in the order of their names; hidden ones are passed over."""
    try:
        is_folder = stat.S_ISDIR(os.stat(path).st_mode)
    except OSError as error:
        cure = "check the name" if isinstance(error, FileNotFoundError) else "check its permissions"
        problems.append(
            Problem(str(path), message=f"cannot be read: {(error.strerror or str(error)).lower()}", cure=cure)
        )
        return
    if not is_folder:
        yield path
        return
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            file = Path(folder, name)
            if name.endswith(SUFFIXES) and not name.startswith(".") and file.is_file():
                yield file


def _read_file(path: Path, entries: list[Entry], problems: list[Problem]) -> None:
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        message = f"cannot be read: {(error.strerror or str(error)).lower()}"
        problems.append(Problem(str(path), message=message, cure="check its permissions"))
        return
    _read_bytes(data, str(path), entries, problems)


def _read_bytes(data: bytes, file: str, entries: list[Entry], problems: list[Problem]) -> None:
    if len(data) > MAX_BYTES:
        problems.append(Problem(file, message="is larger than 8 MiB", cure="split it into several files"))
        return
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        problems.append(Problem(file, line, column, "", "is not UTF-8", "save it as UTF-8"))
        return
    _read_text(text, file, entries, problems)


def _read_text(text: str, file: str, entries: list[Entry], problems: list[Problem]) -> None:
    try:
        for value, marks in read_yaml(text, file):
            if value is not None:  # nothing between two ---
                entries.extend(_split(Entry(file, value, marks)))
    except TextRefused as error:
        problems.append(error.problem)


def _split(entry: Entry) -> Iterator[Entry]:
    """The items of a Kubernetes List (``kind: List``), or the entry itself."""
    value, marks = entry.raw, entry.marks
    is_list = isinstance(value, Mapping) and value.get("apiVersion") == "v1" and value.get("kind") == "List"
    if not is_list or not isinstance(value.get("items"), list):
        yield entry
        return
    inside = marks.inside["items"] if isinstance(marks, Marks) and isinstance(marks.inside, dict) else None
    places = inside.inside if isinstance(inside, Marks) and isinstance(inside.inside, list) else None
    for index, item in enumerate(value["items"]):
        yield Entry(entry.file, item, places[index] if places else None)


def _together(
    entries: list[Entry],
    problems: list[Problem],
    clusters: Iterable[str] | None,
    cohorts: Mapping[str, str] | None,
) -> Documents:
    """Each entry as a typed document, then all of them checked against each other."""
    documents = []
    for entry in entries:
        try:
            documents.append(read_document(entry))
        except DocumentErrors as error:
            problems.extend(error.problems)
    found, warnings = check_together(entries, clusters, cohorts or {})
    if problems or found:
        raise DocumentErrors((*problems, *found))
    return Documents(tuple(documents), tuple(sorted(warnings)))


def read_document(entry: Entry) -> Document:
    """One document by itself. Raises DocumentErrors."""
    raw, file, marks = entry.raw, entry.file, entry.marks
    try:
        kind, api_version = _kind_of(raw)
        if kind not in KINDS or api_version not in VERSIONS[kind]:
            return _native(entry, kind, api_version)
        model = KINDS[kind]
        try:
            envelope: Any = model.model_validate(raw)
        except ValidationError as error:
            raise DocumentErrors(explain(error, model, file, marks)) from None
        if isinstance(envelope.spec, WorkloadBody):
            template_of(envelope.spec)
    except Misfit as misfit:
        raise DocumentErrors(locate(misfit, file, marks)) from None
    metadata = envelope.metadata
    source = Source(file, entry.line)
    return Document(kind, api_version, metadata.name, source, raw, envelope.spec, metadata.labels, kind == "Workload")


def _native(entry: Entry, kind: str, api_version: str) -> Document:
    native = read_native(entry.raw)
    name = entry.raw["metadata"]["name"]
    labels = entry.raw["metadata"].get("labels") or {}
    return Document(kind, api_version, name, Source(entry.file, entry.line), entry.raw, native, labels, True)


def _kind_of(raw: Any) -> tuple[str, str]:
    """Kind and apiVersion, if the document can be of that kind at all. Raises Misfit."""
    if not isinstance(raw, Mapping):
        raise Misfit(((), "is not a document", "a document is a mapping with apiVersion, kind, metadata and spec"))
    kind, api_version = raw.get("kind"), raw.get("apiVersion")
    for key, value in (("kind", kind), ("apiVersion", api_version)):
        if not isinstance(value, str) or not value:
            near = VERSIONS.get(kind, ("federator.dev/v1alpha1",))[0] if isinstance(kind, str) else ""
            example = near if key == "apiVersion" else "Workload"
            message = "is missing" if value is None else "must be text"
            raise Misfit(((key,) if value is not None else (), f"{key} {message}", f"write {key}: {example}"))
    assert isinstance(kind, str)
    assert isinstance(api_version, str)
    ours = api_version.startswith(("federator.dev/", "scheduling.kubefed.io/", "scheduling.federation.k8s.io/"))
    if kind in KINDS and api_version not in VERSIONS[kind] and (ours or "." not in api_version):
        message = f"{kind} is not read in the version '{api_version}'"
        raise Misfit((("apiVersion",), message, f"write {' or '.join(VERSIONS[kind])}"))
    if ours and kind not in KINDS:
        raise Misfit((("kind",), f"there is no kind '{kind}'", did_you_mean(kind, KINDS, what="kinds")))
    if kind not in KINDS:
        _native_kind(kind, api_version)
    return kind, api_version


def _native_kind(kind: str, api_version: str) -> None:
    """Refuse what is no workload; a kind of any other group may be one. Raises Misfit."""
    group = api_version.rpartition("/")[0]
    if api_version == "v1":
        cure = "wrap it in a Job" if kind == "Pod" else "keep it out: it goes to the clusters by other ways"
        raise Misfit((("kind",), f"a {kind} is not a workload", cure))
    if group and group not in PLAIN_GROUPS:
        return
    version = NATIVE_KINDS.get(kind)
    if version is None:
        raise Misfit(
            (("kind",), f"there is no kind '{kind}'", did_you_mean(kind, (*KINDS, *NATIVE_KINDS), what="kinds"))
        )
    if version != api_version:
        raise Misfit((("apiVersion",), f"{kind} is not read in the version '{api_version}'", f"write {version}"))
