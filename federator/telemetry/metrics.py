"""What the federator counts and measures, for Prometheus. `docs/metrics.md` tells the person on call what it means.

Base units throughout: seconds, cpu in cores, memory in bytes. No label carries the name of a workload or a user, so
the number of series grows with clusters, queues and policies only. The daemon sets the values; nothing here reads any.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version as installed_version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder

FAST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""For what happens inside the daemon: planning, cycles, the database."""
REMOTE_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""For calls to clusters."""
WAIT_S = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, 12 * 3600.0, 86400.0, 3 * 86400.0, 7 * 86400.0)
"""For the time from submission to the first replica that runs."""
START_S = (0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)
"""For the time from a plan to the start at the cluster: the graces of fillers are within it."""
LAG_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
"""For how late the event loop comes; 0.05 is our limit and therefore a boundary."""


class Metrics:
    """Every metric of one daemon, in a registry of its own, so that two daemons in one process do not mix."""

    def __init__(self, version: str = "") -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # when a series began tells nothing that the start of the process does not
        self.registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self.registry)
        self.cluster_capacity = self._gauge(
            "cluster_capacity", "What the nodes of a cluster can give out in all.", "cluster", "resource"
        )
        self.cluster_used = self._gauge(
            "cluster_used",
            "What is in use on a cluster, by class: production, backfill, foreign.",
            "cluster",
            "resource",
            "class",
        )
        self.cluster_up = self._gauge("cluster_up", "1 if the cluster answers, else 0.", "cluster")
        self.queue_workloads = self._gauge("queue_workloads", "Workloads of a queue by state.", "queue", "state")
        self.queue_share = self._gauge(
            "queue_share", "The part of the federation that the queue uses, of its dominant resource, 0 to 1.", "queue"
        )
        self.queue_spent = self._gauge(
            "queue_spent", "What a queue with a budget has spent in its period: money, or g of CO2.", "queue", "what"
        )
        self.limit_capacity = self._gauge("limit_capacity", "How much there is of a limit by name, in all.", "limit")
        self.limit_used = self._gauge("limit_used", "How much of a limit by name is in use, in all.", "limit")
        self.refused_replicas = self._gauge(
            "refused_replicas", "Replicas that the latest plan gave no place, by the main reason.", "queue", "reason"
        )
        self.placements_total = self._counter(
            "placements_total", "Replicas given to a cluster for the first time.", "cluster", "policy"
        )
        self.replicas_ended_total = self._counter(
            "replicas_ended_total",
            "Replicas of batch work that ended, by outcome: succeeded, failed, lost, preempted.",
            "cluster",
            "outcome",
        )
        self.moves_total = self._counter("moves_total", "Replicas moved from one cluster to another.")
        self.preemptions_total = self._counter("preemptions_total", "Replicas that had to give way.", "reason")
        self.backfill_cpu_seconds_total = self._counter(
            "backfill_cpu_seconds_total",
            "CPU time of a filler by outcome: useful, lost.",
            "cluster",
            "filler",
            "outcome",
        )
        self.backfill_measured_cpu_seconds_total = self._counter(
            "backfill_measured_cpu_seconds_total",
            "CPU time that ended replicas of a filler were measured to use, where the cluster tells it.",
            "cluster",
            "filler",
        )
        self.backfill_evictions_total = self._counter(
            "backfill_evictions_total",
            "Replicas of a filler that ended before their time, by cause.",
            "cluster",
            "filler",
            "cause",
        )
        self.backfill_kept_free = self._gauge(
            "backfill_kept_free", "What a filler leaves free of a cluster.", "cluster", "filler", "resource"
        )
        self.production_start_seconds = self._histogram(
            "production_start_seconds",
            "Time from the plan that sent production to a cluster until it was seen to run, by whether backfill ran "
            "there: backfill, free.",
            START_S,
            "cluster",
            "beside",
        )
        self.plan_seconds = self._histogram("plan_seconds", "Time to make one plan.", FAST_S)
        self.cycle_seconds = self._histogram("cycle_seconds", "Time of one whole cycle.", FAST_S)
        self.dispatch_seconds = self._histogram(
            "dispatch_seconds", "Time a cluster took to answer an order, by outcome.", REMOTE_S, "cluster", "outcome"
        )
        self.wait_seconds = self._histogram(
            "wait_seconds", "Time from submission until the first replica ran.", WAIT_S, "queue"
        )
        self.pilots = self._gauge("pilots", "Pilots by state: active, draining, suspect, lost.", "cluster", "state")
        self.pilot_site_marks = self._gauge(
            "pilot_site_marks", "1 while a site is sent no pilots: closed, full or away.", "cluster", "mark"
        )
        self.pilot_cpu_seconds_total = self._counter(
            "pilot_cpu_seconds_total", "Core seconds of pilots that live, by use: payload, idle.", "cluster", "use"
        )
        self.leases_total = self._counter(
            "leases_total",
            "Leases by outcome: granted, succeeded, failed, void, stopped, returned, refused.",
            "cluster",
            "outcome",
        )
        self.checkpoints_total = self._counter(
            "checkpoints_total", "Checkpoints by outcome: kept, failed, resumed, damaged.", "cluster", "outcome"
        )
        self.checkpoint_strays_total = self._counter(
            "checkpoint_strays_total",
            "Tasks whose checkpoints nobody needs any more, by outcome: removed, given up; and tries that failed.",
            "outcome",
        )
        self.event_loop_lag_seconds = self._histogram(
            "event_loop_lag_seconds", "How late the event loop woke up a task that was due.", LAG_S
        )
        self.store_seconds = self._histogram("store_seconds", "Time of one transaction in the database.", FAST_S)
        self.policy_shadow_difference = self._gauge(
            "policy_shadow_difference",
            "Replicas that a policy in the shadow would put elsewhere, let wait or let start.",
            "policy",
        )
        self.stale_policies = self._gauge(
            "stale_policies", "1 while the files in force are older than those on disk, because those hold an error."
        )
        self.build_info = Info("federator_build", "The version that runs.", registry=self.registry)
        self.build_info.info({"version": version or installed_version("federator")})

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """All metrics as text, and its content type: OpenMetrics if the Accept header asks for it, else Prometheus."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"federator_{name}", text, labels, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"federator_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"federator_{name}", text, labels, buckets=buckets, registry=self.registry)


def replace(gauge: Gauge, values: Mapping[tuple[str, ...], float]) -> None:
    """Make a labelled gauge show exactly these series: the keys are label values in the order of the label names.

    New values come first and stale series go after, so that a scrape in between misses nothing.
    """
    for labels, value in values.items():
        gauge.labels(*labels).set(value)
    shown = {tuple(sample.labels.values()) for family in gauge.collect() for sample in family.samples}
    for labels in shown - {tuple(map(str, labels)) for labels in values}:
        gauge.remove(*labels)
