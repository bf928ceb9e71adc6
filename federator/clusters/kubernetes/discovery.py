"""What a server can do: asked, never assumed from its version."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar

from federator.clusters.kubernetes.client import Json, KubernetesClient
from federator.clusters.kubernetes.errors import ApiError
from federator.clusters.kubernetes.objects import DEPLOYMENT, JOB, Kind
from federator.ports import ClusterUnreachable

# One request instead of one for each group, where the server has it; older ones answer as they always did.
AGGREGATED = ",".join(
    [
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
        "application/json",
    ]
)
AT_ONCE = 8
JOB_SPEC = "io.k8s.api.batch.v1.JobSpec"
PROBE = "federator-probe"
NEEDED = frozenset({"create", "list", "watch", "delete"})

Q = TypeVar("Q")
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class KindInfo:
    """Where objects of a kind are found, and what may be done with them."""

    plural: str
    namespaced: bool
    verbs: frozenset[str]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one server has. ``kinds`` holds every kind that can be made in a namespace."""

    version: str
    kinds: Mapping[Kind, KindInfo]

    @property
    def abilities(self) -> frozenset[str]:
        """As in ``Workload.needs``: ``kind:GROUP/VERSION/KIND`` for each kind (the core group's name is empty)."""
        kinds = {f"kind:{version if '/' in version else '/' + version}/{kind}" for version, kind in self.kinds}
        basic = {"manifest"}
        if JOB in self.kinds:
            basic.add("container")
        if DEPLOYMENT in self.kinds:
            basic.add("service")
        return frozenset(kinds | basic)

    def path(self, kind: Kind, namespace: str = "", name: str = "") -> str:
        """The path of one object, of all in a namespace, or of all. Raises KeyError for a kind it has not."""
        return object_path(kind[0], self.kinds[kind].plural, namespace, name)


def object_path(api_version: str, plural: str, namespace: str = "", name: str = "") -> str:
    """The path of an object (or of a collection, without a name) at the API server."""
    root = "/apis/" if "/" in api_version else "/api/"
    place = f"/namespaces/{namespace}" if namespace else ""
    return f"{root}{api_version}{place}/{plural}{'/' + name if name else ''}"


async def discover(client: KubernetesClient) -> Capabilities:
    """Ask the server for its version and its kinds. Raises ApiError and ClusterUnreachable."""
    version = await client.call("GET", "/version")
    kinds: dict[Kind, KindInfo] = {}
    roots = await asyncio.gather(*(client.call("GET", root, accept=AGGREGATED) for root in ("/api", "/apis")))
    plain: list[str] = []
    for root in roots:
        if root.get("kind") == "APIGroupDiscoveryList":
            kinds.update(read_aggregated(root))
        else:
            plain += group_versions(root)
    paths = [f"/{'apis' if '/' in group_version else 'api'}/{group_version}" for group_version in plain]
    for answer in await few_at_once(partial(answer_if_any, client), paths):
        kinds.update(read_resources(answer))
    return Capabilities(f"Kubernetes {version.get('gitVersion', '')}".strip(), MappingProxyType(kinds))


async def answer_if_any(client: KubernetesClient, path: str, query: Mapping[str, str] | None = None) -> Json:
    """The answer; nothing where it is refused, or where only this part of the server is silent.

    An aggregated API whose own server is away takes only its own kinds with it.
    """
    try:
        return await client.call("GET", path, query=query)
    except ApiError:
        return {}
    except ClusterUnreachable:
        await client.answers()
        return {}


async def few_at_once(ask: Callable[[Q], Awaitable[A]], questions: Iterable[Q]) -> list[A]:
    """The answers to all the questions, asked a few at a time; the first error ends the rest."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def in_turn(question: Q) -> A:
        async with gate:
            return await ask(question)

    asking = [asyncio.create_task(in_turn(question)) for question in questions]
    try:
        return await asyncio.gather(*asking)
    finally:
        for task in asking:
            task.cancel()


def group_versions(root: Mapping[str, Any]) -> list[str]:
    """The group versions in an APIGroupList, or the versions in the core group's APIVersions."""
    found = [str(version) for version in root.get("versions") or () if isinstance(version, str)]
    for group in root.get("groups") or ():
        found += [version["groupVersion"] for version in group.get("versions") or ()]
    return found


def read_resources(answer: Mapping[str, Any]) -> dict[Kind, KindInfo]:
    """The usable kinds in an APIResourceList."""
    group_version = str(answer.get("groupVersion") or "")
    return _usable(
        (group_version, str(r.get("kind")), str(r.get("name")), bool(r.get("namespaced")), r.get("verbs") or ())
        for r in answer.get("resources") or ()
    )


def read_aggregated(answer: Mapping[str, Any]) -> dict[Kind, KindInfo]:
    """The usable kinds in an APIGroupDiscoveryList."""
    return _usable(
        (
            "/".join(filter(None, ((group.get("metadata") or {}).get("name"), version["version"]))),
            str((r.get("responseKind") or {}).get("kind")),
            str(r.get("resource")),
            r.get("scope") == "Namespaced",
            r.get("verbs") or (),
        )
        for group in answer.get("items") or ()
        for version in group.get("versions") or ()
        for r in version.get("resources") or ()
    )


def _usable(found: Iterable[tuple[str, str, str, bool, Iterable[str]]]) -> dict[Kind, KindInfo]:
    """Only what can be made, followed and removed in a namespace; subresources have a slash in their names."""
    return {
        (group_version, kind): KindInfo(plural, namespaced, frozenset(verbs))
        for group_version, kind, plural, namespaced, verbs in found
        if namespaced and "/" not in plural and NEEDED.issubset(verbs)
    }


async def counts_failures_by_index(client: KubernetesClient, namespace: str) -> bool | None:
    """Whether Indexed Jobs of this server have ``backoffLimitPerIndex``; None where it could not be found out.

    A server whose feature gate is off knows the field and drops it, so it is asked to make such a Job in a dry run.
    """
    try:
        schema = await client.call("GET", "/openapi/v3/apis/batch/v1")
    except ApiError as error:
        # Servers too old to publish this are too old for the field.
        return False if error.status == 404 else None
    if not schema_has(schema, "backoffLimitPerIndex"):
        return False
    try:
        made = await client.call(
            "POST", object_path("batch/v1", "jobs", namespace), query={"dryRun": "All"}, body=_probe(namespace)
        )
    except ApiError:
        return None
    return (made.get("spec") or {}).get("backoffLimitPerIndex") == 0


def schema_has(schema: Mapping[str, Any], field: str) -> bool:
    """Whether the published JobSpec has the field."""
    schemas = (schema.get("components") or {}).get("schemas") or {}
    return field in ((schemas.get(JOB_SPEC) or {}).get("properties") or {})


def _probe(namespace: str) -> Json:
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": PROBE}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": PROBE, "namespace": namespace},
        "spec": {
            "completions": 2,
            "parallelism": 2,
            "completionMode": "Indexed",
            "backoffLimitPerIndex": 0,
            "template": {"spec": pod},
        },
    }
