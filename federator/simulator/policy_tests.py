"""Policy tests: what a plan of some documents must say, or a whole run keep to, and an account of what does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from federator.documents import Documents, compile_expression, read_files, to_snapshot
from federator.documents.documents import Document
from federator.documents.policy_test import FACTS, RUN, PolicyTestSpec
from federator.engine.planner import plan
from federator.model.plan import Plan, Snapshot
from federator.simulator.answer import run_document
from federator.simulator.facts import Facts
from federator.simulator.run import simulate
from federator.simulator.telling import read_scenario, told

MOST_LINES = 12


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a test ended. ``failures`` are accounts of what broke it, each of several lines."""

    name: str
    file: str
    failures: tuple[str, ...]
    plans: int


class _Broken(Exception):
    """A step at which something became true that must never; the run need not go on."""


def judged(test: Document, traces: Path) -> Verdict:
    """Run a test. Raises DocumentErrors and TraceError where its documents cannot be read."""
    spec: PolicyTestSpec = test.spec
    beside = Path(test.source.file).parent
    files = [beside / name for name in spec.files]
    scenarios = [file for file in files if file.is_file() and _is_scenario(file)]
    if scenarios:
        return _run(test, scenarios[0], [file for file in files if file not in scenarios], traces)
    seen = to_snapshot(read_files([test.source.file, *map(str, files)]))
    made = plan(seen)
    failures = [*_unexpected(spec, made), *_becomes_true(spec, seen, made)]
    if spec.holds:
        failures.append("holds speaks of a run, and there is no Scenario among the files")
    return Verdict(test.name, test.source.file, tuple(failures), 1)


def _is_scenario(file: Path) -> bool:
    return bool(read_files([str(file)]).scenarios)


def _run(test: Document, scenario: Path, others: list[Path], traces: Path) -> Verdict:
    """``others`` (policies, say) take the place of the scenario's own policies."""
    spec: PolicyTestSpec = test.spec
    failures: list[str] = []
    if spec.expect.placements is not None or spec.expect.refused is not None:
        failures.append("expect speaks of one plan; of a run say never and holds")
    one, documents = read_scenario(scenario)
    if others:
        kept = [document for document in documents.all if document.kind != "PlacementPolicy"]
        clusters = [cluster.name for cluster in documents.clusters]
        documents = Documents((*kept, *read_files(list(map(str, others)), clusters=clusters).policies))
    plans = 0

    def watch(seen: Snapshot, made: Plan) -> None:
        nonlocal plans
        plans += 1
        broken = list(_becomes_true(spec, seen, made))
        if broken:
            failures.extend(broken)
            raise _Broken

    try:
        run = simulate(told(one, documents, traces), skips=False, watch=watch)
    except _Broken:
        return Verdict(test.name, test.source.file, tuple(failures), plans)
    figures = run_document(run)
    for source in spec.holds:
        expression = compile_expression(source, RUN)
        holds, why = expression.holds({"run": figures})
        if not holds:
            failures.append(f"does not hold: {source}\n{why}\nwaits: {figures['wait_s']}; cost: {figures['cost']}")
    return Verdict(test.name, test.source.file, tuple(failures), plans)


def _unexpected(spec: PolicyTestSpec, made: Plan) -> Iterator[str]:
    expect = spec.expect
    if expect.placements is not None:
        placed: dict[str, dict[str, int]] = {}
        for one in made.placements:
            by_cluster = placed.setdefault(one.workload, {})
            by_cluster[one.cluster] = by_cluster.get(one.cluster, 0) + one.replicas
        yield from _different("placements", expect.placements, placed, made)
    if expect.refused is not None:
        refused: dict[str, int] = {}
        for refusal in made.refusals:
            refused[refusal.workload] = refused.get(refusal.workload, 0) + refusal.replicas
        yield from _different("refused", expect.refused, refused, made)


def _different(what: str, expected: Mapping[str, object], found: Mapping[str, object], made: Plan) -> Iterator[str]:
    for name in sorted({*expected, *found}):
        if (want := expected.get(name) or None) != (have := found.get(name) or None):
            lines = [f"{what} of {name}: expected {want or 'none'}, the plan says {have or 'none'}"]
            yield "\n".join([*lines, *_reasons(made, name)])


def _becomes_true(spec: PolicyTestSpec, seen: Snapshot, made: Plan) -> Iterator[str]:
    facts = Facts(seen, made)
    for source in spec.never:
        try:
            value = compile_expression(source, frozenset(), FACTS).evaluate({}, facts.functions)
        except (KeyError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
            yield f"cannot be judged: {source}\n{error}"
            continue
        if value is not False:
            yield "\n".join([f"became true: {source}", *_account(seen, made, facts)])


def _account(seen: Snapshot, made: Plan, facts: Facts) -> Iterator[str]:
    """The moment, the state, what the plan changes, and its reasons."""
    yield f"at {seen.at_s:g} s, with {len(seen.workloads)} workloads"
    for cluster in seen.clusters:
        fact = facts.cluster(cluster.name)
        yield (
            f"  {cluster.name}: {fact['used']:g} of {fact['cores']:g} cores, fill {fact['fill']:.4f}, "
            f"{fact['running']} replicas, {fact['started']} of them new{'' if fact['up'] else ', does not answer'}"
        )
    held = {(one.workload, one.role, one.cluster): one.replicas for one in seen.holdings}
    new = [one for one in made.placements if one.replicas > held.get((one.workload, one.role, one.cluster), 0)]
    for placement in new[:MOST_LINES]:
        yield f"  starts {placement.workload} on {placement.cluster} (policy {placement.policy}, tier {placement.tier})"
    waiting = sorted({refusal.workload for refusal in made.refusals})
    for name in [*dict.fromkeys(placement.workload for placement in new), *waiting][:3]:
        yield from _reasons(made, name)


def _reasons(made: Plan, workload: str) -> Iterator[str]:
    for refusal in made.refusals:
        if refusal.workload == workload:
            yield f"  refused: {refusal.replicas} of {workload}"
            for cluster, verdict in sorted(refusal.reasons.items())[:MOST_LINES]:
                yield f"    {cluster}: {verdict.reason}: {verdict.message}"
