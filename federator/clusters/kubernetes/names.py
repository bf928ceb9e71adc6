"""The labels and annotations that our objects carry, and how names are made to fit Kubernetes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from federator.model.indexset import IndexSet

PREFIX = "federator.dev/"
# Labels: what we select by.
FEDERATION = PREFIX + "federation"
INTENT = PREFIX + "intent"
WORKLOAD = PREFIX + "workload"
INDEX = PREFIX + "index"
BACKFILL = PREFIX + "backfill"
KEPT = PREFIX + "kept"
# Annotations: what must survive in full.
WORKLOAD_NAME = PREFIX + "workload-name"
WORKLOAD_UID = PREFIX + "workload-uid"
SPEC_HASH = PREFIX + "spec-hash"
TEMPLATE_HASH = PREFIX + "template-hash"
INDICES = PREFIX + "indices"
WITHDRAWN = PREFIX + "withdrawn"
ATTEMPT = PREFIX + "attempt"
REPLICAS_PATH = PREFIX + "replicas-path"
SHELL = PREFIX + "shell"

INDEX_VARIABLE = "FEDERATOR_REPLICA_INDEX"
OWN_VARIABLES = ("FEDERATOR_WORKLOAD", "FEDERATOR_INTENT", "FEDERATOR_CLUSTER")
COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index"
MANAGER = "federator"

# A Job's name becomes a label value and the stem of its pods' names.
LONGEST = 63
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
_LABEL_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")


def digest(text: str, length: int = 8) -> str:
    """A short, stable fingerprint."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def label_value(text: str) -> str:
    """The text itself where it is a label value, else a readable part of it and its fingerprint."""
    if len(text) <= LONGEST and _LABEL_VALUE.fullmatch(text):
        return text
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", text)[:50].strip("-_.")
    return f"{stem}-{digest(text)}" if stem else digest(text)


def dns_label(text: str, longest: int = LONGEST) -> str:
    """The text as a DNS label (for names of namespaces and objects); changed texts get their fingerprint."""
    plain = re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")
    if plain == text and len(plain) <= longest:
        return plain
    stem = plain[: longest - 9].strip("-")
    return f"{stem}-{digest(text)}" if stem else f"x-{digest(text)}"


def usable_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Those of a workload's labels that Kubernetes would accept and that are not ours to set."""
    return {
        key: value
        for key, value in labels.items()
        if not key.startswith(PREFIX)
        and len(key.rpartition("/")[2]) <= LONGEST
        and _LABEL_NAME.fullmatch(key.rpartition("/")[2])
        and len(value) <= LONGEST
        and _LABEL_VALUE.fullmatch(value)
    }


def may_end_well(labels: Mapping[str, str]) -> bool:
    """Whether a pod may end well because it was told to end, and has not done its work then: backfill saves what it
    has. A companion tells the one from the other."""
    return BACKFILL in labels and KEPT not in labels


def nth(indices: IndexSet, position: int) -> int | None:
    """The index at a position (a completion index) of the sorted set; None beyond its end."""
    for start, stop in indices.ranges:
        if position < stop - start:
            return start + position
        position -= stop - start
    return None


def at_positions(indices: IndexSet, positions: IndexSet) -> IndexSet:
    """The indices at these positions of the sorted set."""
    if indices.ranges == ((0, len(indices)),):
        return positions
    found = (nth(indices, position) for position in positions)
    return IndexSet.of(index for index in found if index is not None)


def read_indices(text: str) -> IndexSet:
    """The set an annotation or a status names; empty where somebody else wrote something unreadable there."""
    try:
        return IndexSet.parse(text)
    except ValueError:
        return IndexSet()
