"""From Workload documents and native manifests to what planning and dispatching need of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from federator.documents.common import API_VERSION
from federator.documents.complaints import Misfit, faults_of, locate
from federator.documents.native import Native, NativeRole, read_native
from federator.documents.problems import DocumentErrors
from federator.documents.quantities import resources_of
from federator.documents.translate import to_constraint, to_toleration
from federator.documents.workload import CheckpointsPart, ContainerPart, RolePart, WorkloadBody, WorkloadDocument
from federator.model.checkpoints import ABILITY, Checkpoints
from federator.model.intent import Container
from federator.model.resources import Resources
from federator.model.workload import Gang, Input, Lifetime, Role, Workload


@dataclass(frozen=True, slots=True)
class WorkloadSpec:
    """A workload as the planner reads it, and what its replicas run.

    At most one of ``containers`` (by the name of the role) and ``manifest`` is given; neither where a document for
    offline plans says only what is needed. ``namespace`` is the manifest's own, empty where it has none.
    """

    workload: Workload
    containers: Mapping[str, Container] = field(default_factory=dict)
    manifest: Mapping[str, Any] | None = None
    enforce_duration: bool = False
    namespace: str = ""
    checkpoints: Checkpoints | None = None
    """Where the checkpoints of its replicas are kept; None: nothing is kept for them."""

    @property
    def runnable(self) -> bool:
        """Whether it says what every replica runs."""
        return self.manifest is not None or all(role.name in self.containers for role in self.workload.roles)


def read_workload(raw: Mapping[str, Any]) -> WorkloadSpec:
    """The workload of a raw document, read in full. Raises DocumentErrors."""
    metadata = raw.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    file = f"workload {name}" if name else "<workload>"
    try:
        if raw.get("kind") != "Workload" or raw.get("apiVersion") != API_VERSION:
            return _of_native(raw, read_native(raw))
        try:
            document = WorkloadDocument.model_validate(raw)
        except ValidationError as error:
            raise Misfit(*faults_of(error, WorkloadDocument)) from None
        return of_document(document)
    except Misfit as misfit:
        raise DocumentErrors(locate(misfit, file, None)) from None


def template_of(body: WorkloadBody) -> Native | None:
    """What the whole manifest in a Workload says; None where there is none. Raises Misfit."""
    if not body.template:
        return None
    return read_native(body.template, base=("spec", "template"), template=True)


def of_document(document: WorkloadDocument) -> WorkloadSpec:
    """The workload of a typed document. Raises Misfit for a manifest that cannot be read."""
    body, native = document.spec, template_of(document.spec)
    given = body.model_fields_set
    roles = _roles(body, native)
    lifetime = Lifetime(body.lifetime)
    parallelism = body.parallelism
    gang = _gang(body)
    if native is not None:
        lifetime = lifetime if "lifetime" in given else native.lifetime
        parallelism = parallelism if "parallelism" in given or "replicas" in given else native.parallelism
        gang = gang or _gang_of(native)
    workload = Workload(
        name=document.metadata.name,
        roles=roles,
        queue=body.queue if "queue" in given or native is None else native.queue,
        labels=document.metadata.labels,
        priority=body.priority if "priority" in given or native is None else native.priority,
        submitted_at_s=body.submitted_at or 0.0,
        lifetime=lifetime,
        min_replicas=min(body.min_replicas, sum(role.replicas for role in roles)),
        gang=gang,
        clusters=to_constraint(body.clusters),
        needs=_needs(body, lifetime, native),
        duration_s=body.duration if body.duration is not None or native is None else native.duration_s,
        parallelism=parallelism,
        retries=body.retries if "retries" in given or native is None else native.retries,
        inputs=tuple(Input(part.name, part.size, part.at) for part in body.inputs),
        checkpoint_every_s=body.checkpoint_every,
    )
    containers = {} if native else _containers(body, roles)
    manifest = body.template or None
    return WorkloadSpec(
        workload,
        containers,
        manifest,
        body.enforce_duration,
        namespace_of(manifest or {}),
        to_checkpoints(body.checkpoints, body.checkpoint_every),
    )


def to_checkpoints(part: CheckpointsPart | None, every_s: float | None) -> Checkpoints | None:
    """Where checkpoints are kept, and how often."""
    return None if part is None or every_s is None else Checkpoints(part.url, every_s, part.limit)


def _of_native(raw: Mapping[str, Any], native: Native) -> WorkloadSpec:
    metadata = raw["metadata"]
    roles = tuple(_native_role(role, native.limits) for role in native.roles)
    workload = Workload(
        name=metadata["name"],
        roles=roles,
        queue=native.queue,
        labels=metadata.get("labels") or {},
        priority=native.priority,
        lifetime=native.lifetime,
        min_replicas=min(1, sum(role.replicas for role in roles)),
        gang=_gang_of(native),
        needs=native.needs,
        duration_s=native.duration_s,
        parallelism=native.parallelism,
        retries=native.retries,
    )
    return WorkloadSpec(workload, {}, raw, False, namespace_of(raw))


def _gang_of(native: Native) -> Gang | None:
    """A manifest of several roles cannot be cut in pieces: all of it goes to one cluster, or nothing."""
    return Gang("cluster") if len(native.roles) > 1 else None


def namespace_of(manifest: Mapping[str, Any]) -> str:
    """The namespace that a manifest names; empty where it names none."""
    metadata = manifest.get("metadata")
    namespace = metadata.get("namespace") if isinstance(metadata, Mapping) else None
    return namespace if isinstance(namespace, str) else ""


def _native_role(role: NativeRole, limits: Resources) -> Role:
    return Role(role.name, role.replicas, role.requests, role.flavors, role.tolerations, limits)


def _gang(body: WorkloadBody) -> Gang | None:
    if body.gang is None:
        return None
    scope, _, label = body.gang.scope.partition(" ")
    return Gang(scope, label.strip())


def _roles(body: WorkloadBody, native: Native | None) -> tuple[Role, ...]:
    """The roles of the document; without any, the one role that it is, or those of its manifest."""
    if body.roles:
        return tuple(_role(part, body) for part in body.roles)
    flavors, tolerations = to_constraint(body.flavors), tuple(map(to_toleration, body.tolerations))
    given, limits = body.model_fields_set, Resources.of(body.limits)
    if native is None:
        return (Role("", body.replicas, resources_of(body.requests), flavors, tolerations, limits),)
    roles = []
    for role in native.roles:
        alone = len(native.roles) == 1
        roles.append(
            Role(
                role.name,
                body.replicas if alone and "replicas" in given else role.replicas,
                resources_of(body.requests) if alone and "requests" in given else role.requests,
                flavors if "flavors" in given else role.flavors,
                tolerations if "tolerations" in given else role.tolerations,
                limits if "limits" in given else native.limits,
            )
        )
    return tuple(roles)


def _role(part: RolePart, body: WorkloadBody) -> Role:
    return Role(
        part.name,
        part.replicas,
        resources_of(part.requests),
        to_constraint(body.flavors if part.flavors is None else part.flavors),
        tuple(map(to_toleration, body.tolerations if part.tolerations is None else part.tolerations)),
        Resources.of(body.limits if part.limits is None else part.limits),
    )


def _containers(body: WorkloadBody, roles: tuple[Role, ...]) -> dict[str, Container]:
    own = {part.name: part.container for part in body.roles}
    found = {role.name: own.get(role.name) or body.container for role in roles}
    return {name: to_container(part) for name, part in found.items() if part is not None}


def to_container(part: ContainerPart) -> Container:
    """The container."""
    return Container(part.image, part.command, part.args, part.env, part.working_dir)


def _needs(body: WorkloadBody, lifetime: Lifetime, native: Native | None) -> frozenset[str]:
    """A container without an image is a process of the node it runs on: not every provider has that."""
    needs = {*body.needs, *(("service",) if lifetime is Lifetime.SERVICE else ())}
    needs |= {ABILITY} if body.checkpoints is not None else set()
    if native is not None:
        return native.needs | needs
    parts = [part.container or body.container for part in body.roles] or [body.container]
    return frozenset(needs | {"container" if part.image else "process" for part in parts if part is not None})
