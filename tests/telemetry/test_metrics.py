"""What is measured, and how it is shown."""

from __future__ import annotations

import pytest
from prometheus_client import Gauge
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse

from federator.telemetry.metrics import Metrics, replace

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
LABELS = {
    "cluster_capacity": ("cluster", "resource"),
    "cluster_used": ("cluster", "resource", "class"),
    "cluster_up": ("cluster",),
    "queue_workloads": ("queue", "state"),
    "queue_share": ("queue",),
    "limit_capacity": ("limit",),
    "limit_used": ("limit",),
    "refused_replicas": ("queue", "reason"),
    "placements_total": ("cluster", "policy"),
    "replicas_ended_total": ("cluster", "outcome"),
    "moves_total": (),
    "preemptions_total": ("reason",),
    "backfill_kept_free": ("cluster", "filler", "resource"),
    "production_start_seconds": ("cluster", "beside"),
    "plan_seconds": (),
    "cycle_seconds": (),
    "dispatch_seconds": ("cluster", "outcome"),
    "wait_seconds": ("queue",),
    "pilot_cpu_seconds_total": ("cluster", "use"),
    "pilot_site_marks": ("cluster", "mark"),
    "event_loop_lag_seconds": (),
    "store_seconds": (),
    "stale_policies": (),
}
"""The names and labels that dashboards and alerts are written against."""


def shown(metrics: Metrics) -> dict[str, dict[tuple[str, ...], float]]:
    """Every sample by name and label values."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in parse(metrics.render(OPENMETRICS)[0].decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


@pytest.mark.parametrize("name", LABELS)
def test_every_metric_has_its_name_its_labels_and_a_help_text(name: str) -> None:
    metrics = Metrics()
    metric = getattr(metrics, name)
    labelled = metric.labels(*(f"{label}-1" for label in LABELS[name])) if LABELS[name] else metric
    act = next(getattr(labelled, verb) for verb in ("observe", "set", "inc") if hasattr(labelled, verb))
    act(1)
    samples = {sample: values for sample, values in shown(metrics).items() if sample.startswith(f"federator_{name}")}
    assert samples, "nothing is shown under this name"
    text = metrics.render()[0].decode()
    assert f"# HELP federator_{name} " in text
    for label in LABELS[name]:
        assert f'{label}="{label}-1"' in text


def test_the_version_that_runs_is_shown() -> None:
    assert shown(Metrics("1.2.3"))["federator_build_info"] == {("1.2.3",): 1.0}


def test_replace_leaves_exactly_the_series_that_were_given() -> None:
    metrics = Metrics()
    replace(metrics.cluster_used, {("cern", "cpu", "production"): 1, ("cern", "cpu", "foreign"): 2})
    replace(metrics.cluster_used, {("cern", "cpu", "foreign"): 3, ("exoscale", "cpu", "foreign"): 4})
    assert shown(metrics)["federator_cluster_used"] == {
        ("foreign", "cern", "cpu"): 3.0,
        ("foreign", "exoscale", "cpu"): 4.0,
    }, "labels are shown by name: class, cluster, resource"
    replace(metrics.cluster_used, {})
    assert "federator_cluster_used" not in shown(metrics)


def test_two_daemons_in_one_process_do_not_mix() -> None:
    one, other = Metrics(), Metrics()
    one.moves_total.inc()
    assert shown(other)["federator_moves_total"] == {(): 0.0}


def test_no_metric_has_a_label_for_workloads_or_users() -> None:
    metrics = Metrics()
    for attribute in vars(metrics).values():
        if isinstance(attribute, Gauge):
            assert not {"workload", "user", "owner"} & set(attribute._labelnames)
