"""Finds and checks the credentials before the client library sees them, so that errors name the file and the cure.

The library's own messages may quote a whole user entry, token included; none of them is ever passed on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from federator.clusters.kubernetes.settings import KubernetesSettings

IN_CLUSTER = "the pod's service account"
IN_CLUSTER_MARK = "KUBERNETES_SERVICE_HOST"


class BadKubeconfig(Exception):
    """The text names the file, what is wrong with it, and the cure; never a secret."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where the credentials come from. ``path`` empty: the pod's service account."""

    path: str = ""
    context: str = ""
    server: str = ""
    files: str = ""
    """As ``path``, where the library is to merge several files."""

    def __str__(self) -> str:
        return f"{self.path}, context {self.context}" if self.path else IN_CLUSTER


def find_source(settings: KubernetesSettings, environment: Mapping[str, str] = os.environ) -> Source:
    """The file, the context and the server that the settings mean. Reads the file; raises BadKubeconfig."""
    path = settings.kubeconfig
    if not path and IN_CLUSTER_MARK in environment:
        return Source(server=f"https://{environment[IN_CLUSTER_MARK]}")
    files = path = os.path.expanduser(path or environment.get("KUBECONFIG", "") or "~/.kube/config")
    if os.pathsep in path:
        # Several files are merged by the library; what follows is checked in the first that is there.
        path = next((part for part in path.split(os.pathsep) if part and Path(part).exists()), path)
    config = _read(path)
    context = settings.context or str(config.get("current-context") or "")
    if not context:
        raise BadKubeconfig(f"{path}: no current-context; name a context in the Cluster document")
    chosen = _entry(path, config, "contexts", "context", context)
    cluster = _entry(path, config, "clusters", "cluster", str(chosen.get("cluster", "")))
    if chosen.get("user"):
        _entry(path, config, "users", "user", str(chosen["user"]))
    server = cluster.get("server")
    if not isinstance(server, str) or not server.startswith(("https://", "http://")):
        raise BadKubeconfig(
            f"{path}: the cluster of context {context} has no server address; add `server: https://...`"
        )
    return Source(path, context, server.rstrip("/"), files)


def _read(path: str) -> Mapping[str, Any]:
    try:
        text = Path(path).read_text()
    except FileNotFoundError:
        raise BadKubeconfig(
            f"kubeconfig {path} is not there; put it there or correct `kubeconfig` in the Cluster document"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise BadKubeconfig(f"kubeconfig {path} cannot be read: {reason}") from None
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise BadKubeconfig(f"kubeconfig {path}{where}: not YAML; write it anew") from None
    if not isinstance(config, Mapping):
        raise BadKubeconfig(f"kubeconfig {path} is not a kubeconfig (no mapping of clusters, users and contexts)")
    return config


def _entry(path: str, config: Mapping[str, Any], section: str, key: str, name: str) -> Mapping[str, Any]:
    entries = config.get(section)
    names: list[str] = []
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, Mapping):
            if entry.get("name") == name and isinstance(entry.get(key) or {}, Mapping):
                return entry.get(key) or {}
            names.append(str(entry.get("name")))
    known = f"it has {', '.join(sorted(names))}" if names else "it has none"
    raise BadKubeconfig(f"kubeconfig {path}: no {key} called {name!r}; {known}")
