"""Grants a user what the documentation says is needed, read from the documentation itself."""

from __future__ import annotations

import re
import urllib.error
from pathlib import Path

import yaml

from tests.clusters.kubernetes.real import call
from tests.servers.control_plane import ControlPlane

PAGE = Path(__file__).parents[3] / "docs" / "kubernetes.md"
PATHS = {
    "Namespace": "/api/v1/namespaces",
    "PriorityClass": "/apis/scheduling.k8s.io/v1/priorityclasses",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/federator/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/federator/rolebindings",
}


async def grant_documented_rights(plane: ControlPlane) -> None:
    """Apply every object of the page's YAML blocks that is about rights."""
    applied = 0
    for block in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), flags=re.DOTALL):
        for document in yaml.safe_load_all(block):
            if isinstance(document, dict) and document.get("kind") in PATHS:
                try:
                    await call(plane, "POST", PATHS[document["kind"]], document)
                except urllib.error.HTTPError as error:
                    if error.code != 409:
                        raise
                applied += 1
    assert applied >= 4, "the page has no YAML with rights any more, so this shows nothing"
