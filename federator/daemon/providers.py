"""Which provider serves which kind of cluster: a table, and how each is made from its document."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from federator.clusters.fake import FakeProvider, FakeSettings
from federator.clusters.htcondor import HTCondorProvider, HTCondorSettings, ScheddQueue
from federator.clusters.htcondor.settings import Access
from federator.clusters.kubernetes.provider import KubernetesProvider
from federator.clusters.kubernetes.settings import KubernetesSettings
from federator.clusters.local.provider import LocalProvider
from federator.clusters.local.settings import LocalSettings
from federator.clusters.pilots import PilotsProvider, PilotsSettings
from federator.clusters.sent import PilotJobs, PilotQueue, SentPilots
from federator.clusters.sizing import Limits
from federator.clusters.slurm import SlurmProvider, SlurmQueue, SlurmSettings
from federator.documents import Document, DocumentErrors, Problem, to_cluster
from federator.documents.pilot_jobs import PilotJobsPart
from federator.documents.quantities import resources_of
from federator.model.checkpoints import Sign, plain
from federator.model.resources import GPU
from federator.ports import Clock, ClusterProvider, LineStore


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What providers need that no document says."""

    directory: Path
    """Of the daemon's state: local clusters keep theirs below it."""
    clock: Clock
    federation: str
    """Marks what is ours at a cluster, so that two federators can share one."""
    lines: LineStore
    """Keeps what pilots pull, and what they hold."""
    leased: Callable[[str, str], None] = lambda cluster, outcome: None
    """Counts one lease of a cluster by its outcome."""
    spent: Callable[[str, str, float], None] = lambda cluster, use, core_seconds: None
    """Counts core seconds of a cluster's pilots by use."""
    kept: Callable[[str, str, int], None] = lambda cluster, outcome, count: None
    """Counts so many checkpoints at a cluster by what became of them."""
    measured: Callable[[str, str, float], None] = lambda cluster, workload, cpu_s: None
    """Counts what a replica of a filler was measured to use at a cluster, in CPU seconds, when it has ended."""
    sign: Sign = plain
    """Makes addresses of places where checkpoints are kept."""
    sign_for_long: Sign = plain
    """The same, for those to whom nobody can bring new ones."""


def make_provider(document: Document, around: Surroundings) -> ClusterProvider:
    """The provider for a cluster's document. Raises DocumentErrors for a kind that this version does not serve."""
    maker = MAKERS.get(document.spec.provider)
    if maker is None:
        message = f"this version has no provider {document.spec.provider!r}"
        cure = f"use one of: {', '.join(sorted(MAKERS))}"
        raise _wrong(document, "provider", message, cure)
    return maker(document, around)


def _kubernetes(document: Document, around: Surroundings) -> ClusterProvider:
    block = document.spec.kubernetes
    settings = KubernetesSettings(
        kubeconfig=_path(document, block.kubeconfig),
        context=block.context,
        namespace=block.namespace,
        namespace_per_queue=block.namespace_per_queue,
        qps=block.qps,
        burst=block.burst,
        concurrency=block.concurrency,
        timeout_s=block.timeout,
        priority_class=block.priority_class,
        backfill_priority_class=block.backfill_priority_class,
    )
    return KubernetesProvider(
        document.name,
        settings,
        clock=around.clock,
        random=Random(document.name),
        federation=around.federation,
        kept=lambda outcome, count: around.kept(document.name, outcome, count),
        sign=around.sign,
    )


def _local(document: Document, around: Surroundings) -> ClusterProvider:
    cluster = to_cluster(document)
    directory = around.directory / (document.spec.local.directory or f"local/{document.name}")
    settings = LocalSettings(
        directory=directory,
        flavors=cluster.flavors or (),
        binding=cluster.binding,
        whole_cores=cluster.whole_cores,
    )
    return LocalProvider(
        document.name,
        settings,
        clock=around.clock,
        kept=lambda outcome: around.kept(document.name, outcome, 1),
        measured=lambda workload, cpu_s: around.measured(document.name, workload, cpu_s),
        sign=around.sign,
    )


def _fake(document: Document, around: Surroundings) -> ClusterProvider:
    cluster = to_cluster(document)
    block = document.spec.fake
    settings = FakeSettings(
        flavors=cluster.flavors,
        binding=cluster.binding,
        whole_cores=cluster.whole_cores,
        start_delay_s=block.start_delay,
        run_time_s=block.run_time,
        latency_s=block.latency,
        fail_every=block.fail_every,
        refuse_every=block.refuse_every,
        seed=block.seed,
    )
    return FakeProvider(document.name, settings, clock=around.clock)


def _pilots(document: Document, around: Surroundings) -> ClusterProvider:
    block = document.spec.pilots
    settings = PilotsSettings(lease_s=block.lease, images_as_processes=block.images_as_processes, margin_s=block.margin)
    return PilotsProvider(
        document.name,
        settings,
        store=around.lines,
        clock=around.clock,
        count=lambda outcome: around.leased(document.name, outcome),
        spend=lambda use, core_seconds: around.spent(document.name, use, core_seconds),
        kept=lambda outcome: around.kept(document.name, outcome, 1),
        measured=lambda workload, cpu_s: around.measured(document.name, workload, cpu_s),
        sign=around.sign,
    )


def _slurm(document: Document, around: Surroundings) -> ClusterProvider:
    block = document.spec.slurm
    if not block.url and block.command is None:
        cure = "give url (of slurmrestd), or command"
        raise _wrong(document, "slurm.url", "there is no way to Slurm", cure)
    settings = SlurmSettings(
        ledger=around.directory / "slurm" / document.name,
        directory=block.directory,
        url=block.url,
        command=block.command,
        user=block.user,
        token_file=_path(document, block.token_file),
        api=block.api,
        mounted_at=_path(document, block.mounted_at),
        partitions=block.partitions,
        account=block.account,
        qos=block.qos,
        backfill_partition=block.backfill_partition,
        backfill_qos=block.backfill_qos,
        gpu_resource=block.gpu_resource,
        images_as_processes=block.images_as_processes,
        array_size=block.array_size,
        poll_s=block.poll,
        timeout_s=block.timeout,
    )
    if block.submit == "pilots":
        jobs = _pilot_jobs(document, "slurm", block.pilots, block.poll, block.gpu_resource)
        queue = SlurmQueue(document.name, jobs, settings, around.federation, around.clock)
        return _sent_pilots(document, around, block.pilots, jobs, queue)
    return SlurmProvider(
        document.name,
        settings,
        clock=around.clock,
        federation=around.federation,
        kept=lambda outcome, count: around.kept(document.name, outcome, count),
        sign=around.sign,
    )


def _htcondor(document: Document, around: Surroundings) -> ClusterProvider:
    block = document.spec.htcondor
    if not block.collector:
        raise _wrong(document, "htcondor.collector", "nobody can be asked where the schedd is", "write HOST:PORT")
    files = _path(document, block.token_file), _path(document, block.ca_file)
    access = Access(block.collector, block.schedd, *files, block.timeout)
    directory = around.directory / "htcondor" / document.name
    if block.submit == "pilots":
        jobs = _pilot_jobs(document, "htcondor", block.pilots, block.poll, GPU)
        queue = ScheddQueue(document.name, jobs, access, directory, around.federation)
        return _sent_pilots(document, around, block.pilots, jobs, queue)
    settings = HTCondorSettings(access, directory, block.grace, block.poll)
    return HTCondorProvider(
        document.name,
        settings,
        clock=around.clock,
        federation=around.federation,
        kept=lambda outcome, count: around.kept(document.name, outcome, count),
        sign=around.sign_for_long,
    )


def _pilot_jobs(document: Document, block: str, part: PilotJobsPart, poll_s: float, gpu: str) -> PilotJobs:
    if not re.fullmatch(r"https?://[A-Za-z0-9.:\[\]_/-]+", part.url):
        message = f"pilots could not find the federator: {part.url!r} is no address" if part.url else "not given"
        raise _wrong(document, f"{block}.pilots.url", message, "write https://HOST:PORT, or submit: jobs")
    if not part.token_file:
        cure = f"federator token new NAME --role pilot --site {document.name} --to-file FILE, and write FILE"
        raise _wrong(document, f"{block}.pilots.tokenFile", "pilots could not register", cure)
    limits = Limits(
        size=resources_of(part.requests),
        most=part.most,
        waiting=part.waiting,
        first=part.first,
        backoff_s=part.backoff,
        keep_waiting_s=part.keep_waiting,
        patience_s=part.patience,
    )
    return PilotJobs(
        part.url,
        _path(document, part.token_file),
        limits,
        ca_file=_path(document, part.ca_file),
        runtimes=frozenset(part.runtimes),
        lifetime_s=part.lifetime,
        idle_s=part.idle,
        silent_s=part.silent,
        poll_s=poll_s,
        gpu_resource=gpu,
    )


def _sent_pilots(
    document: Document, around: Surroundings, part: PilotJobsPart, jobs: PilotJobs, queue: PilotQueue
) -> ClusterProvider:
    return SentPilots(
        document.name,
        PilotsSettings(lease_s=part.lease, images_as_processes=part.images_as_processes, margin_s=part.margin),
        jobs,
        queue,
        store=around.lines,
        clock=around.clock,
        count=lambda outcome: around.leased(document.name, outcome),
        spend=lambda use, core_seconds: around.spent(document.name, use, core_seconds),
        kept=lambda outcome: around.kept(document.name, outcome, 1),
        measured=lambda workload, cpu_s: around.measured(document.name, workload, cpu_s),
        sign=around.sign,
    )


def _path(document: Document, path: str) -> str:
    """A path of a document: it starts at the document's folder."""
    return str(Path(document.source.file).parent / Path(path).expanduser()) if path else ""


def _wrong(document: Document, field: str, message: str, cure: str) -> DocumentErrors:
    source = document.source
    return DocumentErrors((Problem(source.file, source.line, 1, f"spec.{field}", message, cure),))


MAKERS: Mapping[str, Callable[[Document, Surroundings], ClusterProvider]] = {
    "kubernetes": _kubernetes,
    "htcondor": _htcondor,
    "local": _local,
    "pilots": _pilots,
    "slurm": _slurm,
    "fake": _fake,
}
