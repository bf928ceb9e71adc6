"""From a Scenario document, and those it names, to a story."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from heapq import merge
from itertools import chain
from pathlib import Path

from federator.documents import Documents, read_files, to_snapshot
from federator.documents.documents import Document
from federator.documents.problems import DocumentErrors, Problem
from federator.documents.scenario import FaultPart, ScenarioSpec, TransfersPart
from federator.documents.sources import TracePart
from federator.documents.translate import planning_of
from federator.documents.yaml_reader import TextRefused, read_yaml
from federator.model.plan import Snapshot
from federator.model.policy import FULL_PPM
from federator.model.workload import Workload
from federator.simulator.chance import generated
from federator.simulator.standing import begun, present
from federator.simulator.story import Arrival, Bandwidths, CutOff, Fault, NodesDown, Story
from federator.simulator.traces.opening import TraceError, find
from federator.simulator.traces.workloads import arrivals

POLICIES = ("PlacementPolicy", "ReplicaSchedulingPreference")


def read_scenario(file: Path, policies: Path | None = None) -> tuple[Document, Documents]:
    """The scenario in a file, and all documents that are read with it. ``policies`` take the place of its own.

    Raises DocumentErrors.
    """
    beside = [str(file.parent / name) for name in _named(file)]
    documents = read_files([str(file), *beside])
    found = documents.scenarios
    if len(found) != 1:
        cure = "write a document of kind Scenario" if not found else "keep one to a file"
        raise DocumentErrors([Problem(str(file), message=f"has {len(found)} scenarios", cure=cure)])
    if policies is None:
        return found[0], documents
    return found[0], with_policies(documents, policies)


def with_policies(documents: Documents, policies: Path) -> Documents:
    """The documents with the policies of a file or folder instead of their own. Raises DocumentErrors."""
    instead = read_files([str(policies)], clusters=[cluster.name for cluster in documents.clusters])
    kept = [one for one in documents.all if one.kind not in POLICIES]
    return Documents((*kept, *(one for one in instead.all if one.kind in POLICIES)))


def _named(file: Path) -> Sequence[str]:
    """The files that a scenario names. What is wrong with it is told when it is read with them."""
    try:
        text = file.read_text(encoding="utf-8-sig")
        values = [value for value, _ in read_yaml(text, str(file))]
    except (OSError, UnicodeDecodeError, TextRefused):
        return ()
    specs = [value.get("spec") for value in values if isinstance(value, dict) and value.get("kind") == "Scenario"]
    lists = [spec.get("files") for spec in specs if isinstance(spec, dict)]
    return [name for names in lists if isinstance(names, list) for name in names if isinstance(name, str)]


def told(scenario: Document, documents: Documents, traces: Path, seed: int | None = None) -> Story:
    """The story. ``traces`` is where logs are that are not beside the scenario. Raises DocumentErrors, TraceError."""
    spec: ScenarioSpec = scenario.spec
    seed = spec.seed if seed is None else seed
    whole = to_snapshot(documents, at_s=0.0)
    _complete(scenario, whole)
    if "planning" in spec.model_fields_set or not documents.planning:
        whole = replace(whole, planning=planning_of(spec.planning))
    standing, handed_in = begun(whole) if spec.present else ((), tuple(_handed_in(whole)))
    beside = Path(scenario.source.file).parent
    named = [part.trace or (part.generate and part.generate.like) for part in spec.workloads]
    logs = {trace.file: find(trace.file, beside, traces) for trace in named if trace}
    return Story(
        federation=present(whole),
        arrivals=lambda: merge(handed_in, *_sources(spec, seed, logs), key=lambda one: one.at_s),
        seed=seed,
        lasts_s=spec.lasts,
        one_by_one=spec.same_second == "oneByOne",
        faults=tuple(map(_fault, spec.faults)),
        standing=standing,
        bandwidths=_bandwidths(spec.transfers),
        name=scenario.name,
    )


def onward(whole: Snapshot, name: str, lasts_s: float | None) -> Story:
    """How a federation goes on as it is, with nothing new handed in. Raises DocumentErrors."""
    for cluster in whole.clusters:
        if cluster.flavors is None:
            cure = "write its flavors into the snapshot, or leave it out"
            raise DocumentErrors([Problem(name, message=f"the nodes of {cluster.name} are not known", cure=cure)])
    standing, waiting = begun(whole)
    return Story(present(whole), lambda: iter(waiting), lasts_s=lasts_s, standing=standing, name=name)


def _complete(scenario: Document, federation: Snapshot) -> None:
    """Whether the story can be told, and ends. Raises DocumentErrors."""
    spec: ScenarioSpec = scenario.spec
    source, problems = scenario.source, []
    unknown = [cluster.name for cluster in federation.clusters if cluster.flavors is None]
    if not federation.clusters:
        problems.append(("spec.files", "there is no cluster", "name a file with documents of kind Cluster"))
    if unknown:
        problems.append(("spec.files", f"the nodes of {unknown[0]} are not known", "write its flavors"))
    problems += _strangers(spec, federation)
    for cluster in federation.clusters:
        if cluster.downtimes:
            cure = f"leave them out, and write faults: [{{downtime: {cluster.name}, at: 4h, lasts: 10h, drain: 2h}}]"
            problems.append(("spec.files", f"{cluster.name} has downtimes, and a scenario has no dates", cure))
    for at, part in enumerate(spec.workloads):
        made = part.generate
        if made and spec.lasts is None and (made.lasts is None or made.every) and made.count is None:
            place = f"spec.workloads[{at}].generate"
            problems.append((place, "never ends", "give it a count or lasts, or the scenario"))
    if problems:
        raise DocumentErrors([Problem(source.file, source.line, 1, *problem) for problem in problems])


def _strangers(spec: ScenarioSpec, federation: Snapshot) -> Iterator[tuple[str, str, str]]:
    """Flavors that faults name and that are not there: the place, what is wrong, the cure."""
    known = {one.name: {flavor.name for flavor in one.flavors or ()} for one in federation.clusters}
    for at, part in enumerate(spec.faults):
        if part.nodes is not None and part.flavor is not None and part.flavor not in known[part.nodes]:
            message = f"{part.nodes} has no flavor '{part.flavor}'"
            yield f"spec.faults[{at}].flavor", message, f"known: {', '.join(sorted(known[part.nodes]))}"


def _handed_in(whole: Snapshot) -> Iterator[Arrival]:
    """Workload documents: the first at the beginning, the others as long after it as their times say."""
    times = [one.submitted_at_s for one in whole.workloads if one.submitted_at_s > 0]
    first_s = min(times, default=0.0)

    def at(workload: Workload) -> float:
        return max(0.0, workload.submitted_at_s - first_s)

    for workload in sorted(whole.workloads, key=lambda one: (at(one), one.name)):
        run_s = whole.planning.unknown_duration_s if workload.duration_s is None else workload.duration_s
        yield Arrival(at(workload), replace(workload, submitted_at_s=at(workload)), run_s)


def _sources(spec: ScenarioSpec, seed: int, logs: Mapping[str, Path]) -> Iterator[Iterator[Arrival]]:
    for part in spec.workloads:
        if part.trace is not None:
            yield arrivals(part.trace, logs[part.trace.file])
        elif part.generate is not None:
            like = part.generate.like
            yield generated(part.generate, seed, spec.lasts, _jobs(like, logs[like.file]) if like else ())


def _jobs(part: TracePart, path: Path) -> Iterator[Arrival]:
    """The jobs of a log that others are like. Raises TraceError where there is none."""
    found = arrivals(part, path)
    first = next(found, None)
    if first is None:
        raise TraceError(str(path), 0, "none of its jobs counts", "skip fewer, or name another log")
    return chain((first,), found)


def _bandwidths(part: TransfersPart | None) -> Bandwidths | None:
    if part is None:
        return None
    return Bandwidths(part.bandwidth, {frozenset(link.between): link.bandwidth for link in part.links})


def _fault(part: FaultPart) -> Fault:
    ends_s = None if part.lasts is None else part.at + part.lasts
    if part.outage is not None:
        return Fault(part.outage, part.at, ends_s)
    if part.downtime is not None:
        return Fault(part.downtime, part.at, ends_s, drain_s=part.drain)
    if part.crash is not None:
        return Fault(part.crash, part.at, ends_s, crashing=part.share / FULL_PPM)
    if part.nodes is not None:
        nodes = NodesDown(part.flavor or "", part.count, part.mean_time_between, part.repair)
        return Fault(part.nodes, part.at, ends_s, nodes=nodes)
    if part.cut is not None:
        cut = CutOff(part.share / FULL_PPM, part.away, part.lease)
        return Fault(part.cut, part.at, ends_s, cut=cut)
    if part.stale is not None:
        return Fault(part.stale, part.at, ends_s, lag_s=part.lag)
    return Fault(part.slow or "", part.at, ends_s, slower=part.by)
