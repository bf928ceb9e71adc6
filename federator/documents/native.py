"""Native manifests as workloads: what a Kubernetes object asks for, read from its pod templates.

Known kinds: ``batch/v1`` Job, ``apps/v1`` Deployment (and StatefulSet, ReplicaSet), Kubeflow's MPIJob; any other kind
with one replica field is read by the same annotations. The manifest itself is passed on as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from federator.documents.complaints import Misfit, Path
from federator.documents.fields import MAX_REPLICAS, is_name
from federator.documents.podspec import Pod, read_pod
from federator.documents.problems import did_you_mean
from federator.documents.quantities import amount_of, parse_duration, parse_quantity
from federator.model.resources import Resources
from federator.model.selectors import Constraint, Toleration
from federator.model.workload import Lifetime

V = TypeVar("V")

QUEUE = "federator.dev/queue"
PRIORITY = "federator.dev/priority"
DURATION = "federator.dev/duration"
LIFETIME = "federator.dev/lifetime"
REPLICAS_PATH = "federator.dev/replicas-path"
REQUESTS = "federator.dev/requests"
LIMITS = "federator.dev/limits"

KEYS: Mapping[str, str] = {
    QUEUE: "the queue it waits in (default `default`)",
    PRIORITY: "its priority, a whole number (default 0)",
    DURATION: "the expected run time of a replica, such as `2h`",
    LIFETIME: "`batch` or `service`, for kinds that are not known",
    REPLICAS_PATH: "where the number of replicas stands, for kinds that are not known (default `spec.replicas`)",
    REQUESTS: "what one replica needs, such as `cpu=1,memory=2Gi`, where there is no pod template at `spec.template`",
    LIMITS: "what each replica takes of limits by name, such as `matlab=2`",
}
"""Labels or annotations of native manifests that the federator reads (an annotation wins)."""

JOB = ("batch/v1", "Job")
MPIJOBS = (("kubeflow.org/v1", "MPIJob"), ("kubeflow.org/v2beta1", "MPIJob"))
SERVICES = (("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"), ("apps/v1", "ReplicaSet"))
EVERYWHERE = frozenset({JOB, ("apps/v1", "Deployment")})
"""Kinds that every Kubernetes server has."""


@dataclass(frozen=True, slots=True)
class NativeRole:
    """Alike pods of a manifest."""

    name: str
    replicas: int
    requests: Resources
    flavors: Constraint = Constraint()
    tolerations: tuple[Toleration, ...] = ()


@dataclass(frozen=True, slots=True)
class Native:
    """What planning reads of a manifest."""

    api_version: str
    kind: str
    roles: tuple[NativeRole, ...]
    lifetime: Lifetime
    parallelism: int | None = None
    retries: int = 3
    queue: str = "default"
    priority: int = 0
    duration_s: float | None = None
    limits: Resources = Resources()

    @property
    def needs(self) -> frozenset[str]:
        """The abilities a cluster must have for it."""
        needs = {"manifest"} | ({"service"} if self.lifetime is Lifetime.SERVICE else set())
        if (self.api_version, self.kind) not in EVERYWHERE:
            group, _, version = self.api_version.rpartition("/")
            needs.add(f"kind:{group}/{version}/{self.kind}")
        return frozenset(needs)


def read_native(manifest: Mapping[str, Any], *, base: Path = (), template: bool = False) -> Native:
    """What planning reads of the manifest at path ``base``. Raises Misfit with everything that is wrong.

    ``template``: it stands in a Workload, which may give what the manifest lacks.
    """
    faults: list[tuple[Path, str, str]] = []
    reader = _Reader(manifest, base, faults, template)
    native = reader.read()
    if faults or native is None:
        raise Misfit(*faults)
    return native


class _Reader:
    """Reads one manifest and notes its faults."""

    def __init__(
        self, manifest: Mapping[str, Any], base: Path, faults: list[tuple[Path, str, str]], template: bool
    ) -> None:
        self._manifest = manifest
        self._base = base
        self._faults = faults
        self._template = template
        self._notes: dict[str, str] = {}
        for part in ("labels", "annotations"):
            found = self._mapping(("metadata", part))
            for key in KEYS:
                if key in found:
                    self._note(part, key, found[key])

    def read(self) -> Native | None:
        """The whole of it; None after faults that leave nothing to read."""
        api_version, kind = self._manifest.get("apiVersion"), self._manifest.get("kind")
        for key, value in (("apiVersion", api_version), ("kind", kind)):
            if not isinstance(value, str) or not value:
                self._wrong((key,), "is missing" if value is None else "must be text", f"write the manifest's {key}")
                return None
        if not self._template:
            self._check_metadata()
        version = str(api_version), str(kind)
        self._mapping(("spec",))
        parallelism = None
        retries = 3
        if version == JOB:
            roles, parallelism, retries = self._job()
        elif version in MPIJOBS:
            roles = self._mpi()
        else:
            roles = self._generic(known=version in SERVICES)
        duration = self._notes.get(DURATION)
        return Native(
            version[0],
            version[1],
            roles,
            self._lifetime(version),
            parallelism,
            retries,
            self._notes.get(QUEUE, "default"),
            self._priority(),
            self._parsed(DURATION, duration, parse_duration) if duration is not None else None,
            self._limits(),
        )

    def _check_metadata(self) -> None:
        """A name, and labels that are text: what a cluster would refuse later is refused now."""
        name = self._find(("metadata", "name"))
        if not isinstance(name, str) or not is_name(name):
            message = "is missing" if name is None else f"'{name}' is not a name that Kubernetes would take"
            self._wrong(("metadata", "name"), message, "give it one of small letters, digits and '-'")
        for part in ("labels", "annotations"):
            for key, value in self._mapping(("metadata", part)).items():
                if not isinstance(value, str) and key not in KEYS:
                    self._wrong(("metadata", part, key), "must be text", f"write it in quotes: '{value}'")

    def _wrong(self, path: Path, message: str, cure: str = "") -> None:
        self._faults.append(((*self._base, *path), message, cure))

    def _note(self, part: str, key: str, value: object) -> None:
        if not isinstance(value, str) or not value:
            self._wrong(("metadata", part, key), "must be text", "write it in quotes")
            return
        self._notes[key] = value

    def _find(self, path: Path) -> Any:
        here: Any = self._manifest
        for step in path:
            if not isinstance(here, Mapping):
                return None
            here = here.get(str(step))
        return here

    def _mapping(self, path: Path) -> Mapping[str, Any]:
        found = self._find(path)
        if found is None:
            return {}
        if not isinstance(found, Mapping):
            self._wrong(path, "must be a mapping", "write keys indented below")
            return {}
        return found

    def _count(self, path: Path, default: int | None) -> int | None:
        found = self._find(path)
        if found is None:
            return default
        if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= MAX_REPLICAS:
            cure = (
                f"write it without quotes: {found}" if isinstance(found, str) and found.isdigit() else "write a number"
            )
            self._wrong(path, f"must be a whole number from 0 to {MAX_REPLICAS}", cure)
            return default
        return found

    def _pod(self, path: Path, name: str, replicas: int) -> NativeRole:
        pod: Pod = read_pod(self._mapping(path), (*self._base, *path), self._faults)
        return NativeRole(name, replicas, pod.requests, pod.flavors, pod.tolerations)

    def _job(self) -> tuple[tuple[NativeRole, ...], int | None, int]:
        """Replicas are the completions; a Job without them runs ``parallelism`` pods once each."""
        width = self._count(("spec", "parallelism"), None)
        completions = self._count(("spec", "completions"), width if width is not None else 1) or 0
        parallelism = width if width is not None and 0 < width < completions else None
        retries = self._count(("spec", "backoffLimit"), 3) or 0
        return (self._pod(("spec", "template", "spec"), "", completions),), parallelism, min(retries, 1000)

    def _mpi(self) -> tuple[NativeRole, ...]:
        roles = []
        known = {"Launcher": "launcher", "Worker": "worker"}
        specs = self._mapping(("spec", "mpiReplicaSpecs"))
        for key in specs:
            if key not in known:
                self._wrong(("spec", "mpiReplicaSpecs", key), "is not a role of an MPIJob", did_you_mean(key, known))
        for key, name in known.items():
            at: Path = ("spec", "mpiReplicaSpecs", key)
            if self._find(at) is None:
                if key == "Launcher":
                    self._wrong(("spec", "mpiReplicaSpecs"), "has no Launcher", "add it, with its template")
                continue
            roles.append(self._pod((*at, "template", "spec"), name, self._count((*at, "replicas"), 1) or 0))
        return tuple(roles)

    def _generic(self, *, known: bool) -> tuple[NativeRole, ...]:
        """One replica field, and a pod template or the requests in an annotation."""
        path: Path = tuple(self._notes.get(REPLICAS_PATH, "spec.replicas").split("."))
        replicas = self._count(path, 1) or 0
        has_pod = isinstance(self._find(("spec", "template", "spec", "containers")), list)
        if REQUESTS in self._notes:
            return (NativeRole("", replicas, self._written_requests()),)
        if has_pod or known:
            return (self._pod(("spec", "template", "spec"), "", replicas),)
        if not self._template:
            self._wrong(
                ("metadata", "annotations"),
                f"what a {self._manifest['kind']} needs is not known: it has no pod template at spec.template",
                f"add the annotation {REQUESTS}: cpu=1,memory=2Gi",
            )
        return (NativeRole("", replicas, Resources()),)

    def _written_requests(self) -> Resources:
        asked = self._pairs(REQUESTS, parse_quantity, "QUANTITY", "cpu=1")
        return Resources.of({name: amount_of(name, quantity) for name, quantity in asked.items()})

    def _limits(self) -> Resources:
        return (
            Resources.of(self._pairs(LIMITS, _pieces, "NUMBER", "matlab=2")) if LIMITS in self._notes else Resources()
        )

    def _pairs(self, key: str, parse: Callable[[str], V], form: str, example: str) -> dict[str, V]:
        """What an annotation says by name: ``a=1,b=2``."""
        found: dict[str, V] = {}
        for part in self._notes[key].split(","):
            name, equals, value = (text.strip() for text in part.partition("="))
            if not equals or not name:
                self._wrong(("metadata", "annotations", key), f"'{part}' is not NAME={form}", f"write {example}")
                continue
            read = self._parsed(key, value, parse)
            if read is not None:
                found[name] = read
        return found

    def _lifetime(self, version: tuple[str, str]) -> Lifetime:
        written = self._notes.get(LIFETIME)
        if written is not None and written not in ("batch", "service"):
            self._wrong(("metadata", "annotations", LIFETIME), f"'{written}' is not a lifetime", "batch or service")
        if version in SERVICES:
            return Lifetime.SERVICE
        if version == JOB or version in MPIJOBS or written != "service":
            return Lifetime.BATCH
        return Lifetime.SERVICE

    def _priority(self) -> int:
        written = self._notes.get(PRIORITY, "0")
        if written.lstrip("+-").isdigit() and len(written) < 11:
            return int(written)
        self._wrong(("metadata", "annotations", PRIORITY), f"'{written}' is not a whole number", "write '10'")
        return 0

    def _parsed(self, key: str, text: str, parse: Any) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            message, _, cure = str(error).partition("; ")
            self._wrong(("metadata", "annotations", key), message, cure)
            return None


def _pieces(text: str) -> int:
    if text.isdigit() and 0 < int(text) <= MAX_REPLICAS:
        return int(text)
    raise ValueError(f"'{text}' is not a number of whole pieces; write 1 or more")
