"""The form of every document that is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from federator.documents.common import API_VERSION

Raw = dict[str, Any]


def document_of(kind: str, name: str, spec: Raw, labels: Mapping[str, str] | None = None) -> Raw:
    """A document with what says something of the spec."""
    metadata: Raw = {"name": name, **({"labels": dict(labels)} if labels else {})}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": said(spec)}


def said(values: Raw) -> Raw:
    """Without what says nothing: None, and what is empty or false."""
    return {
        key: value
        for key, value in values.items()
        if value is not None and value is not False and value not in ("", {}, [])
    }
