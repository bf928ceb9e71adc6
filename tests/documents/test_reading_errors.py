"""Every slip in a document is told with its place, its field and its cure."""

from __future__ import annotations

from pathlib import Path

import pytest

from federator.documents import DocumentErrors, Problem, read_files, read_objects, read_text

HEAD = "apiVersion: federator.dev/v1alpha1\n"
CERN = HEAD + "kind: Cluster\nmetadata: {name: cern}\n---\n"
WORKLOAD = HEAD + "kind: Workload\nmetadata: {name: a}\nspec:\n"
QUEUE = HEAD + "kind: Queue\nmetadata: {name: a}\nspec:\n"
DOWN = HEAD + "kind: Cluster\nmetadata: {name: a}\nspec:\n  downtimes:\n  - "
PLANNING = HEAD + "kind: Planning\nmetadata: {name: a}\nspec:\n"
POLICY = HEAD + "kind: PlacementPolicy\nmetadata: {name: a}\nspec:\n"


def problems(text: str, file: str = "f.yaml") -> list[Problem]:
    """The problems of a text that must have some."""
    with pytest.raises(DocumentErrors) as caught:
        read_text(text, file)
    return list(caught.value.problems)


CASES = [
    # text, line, column, field, part of the message, part of the cure
    (WORKLOAD + "  replcas: 3\n", 5, 3, "spec.replcas", "no 'replcas'", "'replicas'"),
    (WORKLOAD + "  replicas: '3'\n", 5, 13, "spec.replicas", "whole number", "without quotes: 3"),
    (WORKLOAD + "  replicas: -1\n", 5, 13, "spec.replicas", "too small", "0"),
    (WORKLOAD + "  replicas: 1000001\n", 5, 13, "spec.replicas", "too large", "1000000"),
    (WORKLOAD + "  requests: {cpu: 1x}\n", 5, 19, "spec.requests.cpu", "no known unit 'x'", "Gi"),
    (WORKLOAD + "  requests: {memory: 2GB}\n", 5, 22, "spec.requests.memory", "'GB'", "'2Gi'"),
    (WORKLOAD + "  requests: {mem: 2Gi}\n", 5, 14, "spec.requests.mem", "no resource", "'memory'"),
    (WORKLOAD + "  requests: {cpu: -1}\n", 5, 19, "spec.requests.cpu", "negative", "0"),
    (WORKLOAD + "  requests: {memory: 512m}\n", 5, 22, "spec.requests.memory", "less than a byte", "'512Mi'"),
    (WORKLOAD + "  requests: {cpu: 16Gi}\n", 5, 19, "spec.requests.cpu", "more cores", "under memory"),
    (
        WORKLOAD + "  requests: {nvidia.com/gpu: 500m}\n",
        5,
        30,
        'spec.requests["nvidia.com/gpu"]',
        "no whole number",
        "write 1",
    ),
    (WORKLOAD + "  duration: 90\n", 5, 13, "spec.duration", "unit", "write 90s"),
    (WORKLOAD + "  container: {env: {A: 1}}\n", 5, 24, "spec.container.env.A", "must be text", "quotes: '1'"),
    (WORKLOAD + "  container: {env: {A: yes}}\n", 5, 24, "spec.container.env.A", "not true", "in quotes"),
    (WORKLOAD + "  container: {command: sh -c x}\n", 5, 24, "spec.container.command", "a list", "[sh, -c, x]"),
    (WORKLOAD + "  lifetime: servce\n", 5, 13, "spec.lifetime", "not one of", "'service'"),
    (WORKLOAD + "  gang: {scope: clster}\n", 5, 17, "spec.gang.scope", "not a scope", "'cluster'"),
    (WORKLOAD + "  minReplicas: 5\n  replicas: 3\n", 5, 16, "spec.minReplicas", "above the 3", "at most 3"),
    (WORKLOAD + "  submittedAt: 2026-01-01\n", 5, 16, "spec.submittedAt", "time zone", "2026-01-01T00:00:00Z"),
    (WORKLOAD + "  roles: [{name: a}]\n  replicas: 2\n", 6, 13, "spec.replicas", "beside 'roles'", "each role"),
    (POLICY + "  tiers: [{name: t, fillTo: 95}]\n", 5, 29, "spec.tiers[0].fillTo", "share", "95%"),
    (POLICY + "  tiers: [{name: t, fillTo: 120%}]\n", 5, 29, "spec.tiers[0].fillTo", "more than", "100%"),
    (POLICY + "  tiers: [{name: t, weightBy: rom}]\n", 5, 31, "spec.tiers[0].weightBy", "neither", "'room'"),
    (POLICY + "  clusters: {cern: {min: 7, max: 6}}\n", 5, 26, "spec.clusters.cern.min", "above max 6", "at most 6"),
    (POLICY + "  clusters: {cern: {mx: 6}}\n", 5, 21, "spec.clusters.cern.mx", "no 'mx'", "'max'"),
    (POLICY + "  clusters: {Cern: {max: 6}}\n", 5, 14, "spec.clusters.Cern", "Kubernetes", "'cern'"),
    (POLICY + "  flavors: {order: [a100]}\n", 5, 21, "spec.flavors.order[0]", "mapping", ""),
    (
        POLICY + "  flavors: {order: [{where: flavr.name}]}\n",
        5,
        29,
        "spec.flavors.order[0].where",
        "'flavr'",
        "'flavor'",
    ),
    (POLICY + "  flavors: {by: prize}\n", 5, 17, "spec.flavors.by", "not one of", "'price'"),
    (DOWN + "{to: 2026-12-01T18:00:00Z}\n", 6, 5, "spec.downtimes[0].from", "missing", ""),
    (DOWN + "{from: 2026-12-01T18:00:00Z}\n", 6, 5, "spec.downtimes[0].to", "missing", ""),
    (
        DOWN + "{from: 2026-12-01T18:00:00Z, to: 2026-12-01T19:00:00+01:00}\n",
        6,
        38,
        "spec.downtimes[0].to",
        "2026-12-01T18:00:00Z is not after 'from', 2026-12-01T18:00:00Z",
        "write when it ends",
    ),
    (
        DOWN + "{from: 2026-12-01T18:00:00, to: 2026-12-01T19:00:00Z}\n",
        6,
        12,
        "spec.downtimes[0].from",
        "time zone",
        "18:00:00Z",
    ),
    (DOWN + "{from: 2026-12-01T18:00:00Z, to: late}\n", 6, 38, "spec.downtimes[0].to", "'late' is not", "write 2026"),
    (
        DOWN + "{from: 2026-12-01T08:00:00Z, to: 2026-12-01T18:00:00Z, drain: 4}\n",
        6,
        67,
        "spec.downtimes[0].drain",
        "unit",
        "write 4s",
    ),
    (
        DOWN + "{from: 2026-12-01T08:00:00Z, to: 2026-12-01T18:00:00Z, reason: 5}\n",
        6,
        68,
        "spec.downtimes[0].reason",
        "must be text",
        "'5'",
    ),
    (
        DOWN + '{from: 2026-12-01T08:00:00Z, to: 2026-12-01T18:00:00Z, reason: "a\\nb"}\n',
        6,
        68,
        "spec.downtimes[0].reason",
        "not one line",
        "one line",
    ),
    (
        DOWN + "{from: 2026-12-01T08:00:00Z, to: 2026-12-01T18:00:00Z, drian: 4h}\n",
        6,
        60,
        "spec.downtimes[0].drian",
        "no 'drian'",
        "'drain'",
    ),
    (
        DOWN + "\n  - ".join(["{from: 2026-12-01T08:00:00Z, to: 2026-12-01T18:00:00Z}"] * 51) + "\n",
        6,
        3,
        "spec.downtimes",
        "has 51 entries",
        "the most is 50",
    ),
    (QUEUE + "  budget: {money: 5}\n", 5, 3, "spec.budget.period", "missing", ""),
    (QUEUE + "  budget: {period: 30d}\n", 5, 20, "spec.budget.period", "bounds nothing", "'money', or 'carbon'"),
    (QUEUE + "  budget: {period: 0s, money: 5}\n", 5, 20, "spec.budget.period", "zero", "30d"),
    (QUEUE + "  budget: {period: 1d, money: -5}\n", 5, 31, "spec.budget.money", "amount of money", "12.50"),
    (QUEUE + "  budget: {period: 1d, money: 1e30}\n", 5, 31, "spec.budget.money", "amount of money", "12.50"),
    (QUEUE + "  budget: {period: 1d, carbon: 50}\n", 5, 32, "spec.budget.carbon", "mass with its unit", "50kg"),
    (QUEUE + "  budget: {period: 1d, carbon: 50lb}\n", 5, 32, "spec.budget.carbon", "mass with its unit", "50kg"),
    (POLICY + "  data: {halfWeight: 0}\n", 5, 22, "spec.data.halfWeight", "above zero", "100Gi"),
    (POLICY + "  data: {}\n", 5, 3, "spec.data.halfWeight", "missing", ""),
    (POLICY + "  stay: {moveBudget: 10%}\n", 5, 22, "spec.stay.moveBudget", "rate", "10%/h"),
    (POLICY + "  match: {where: workload.x > 1}\n", 5, 18, "spec.match.where", "has no 'x'", "it has"),
    (POLICY + "  require: {where: clster.name}\n", 5, 20, "spec.require.where", "'clster'", "'cluster'"),
    (POLICY + "  require: {where: cluster.labels.gpu}\n", 5, 20, "spec.require.where", "a text, not", '== "..."'),
    (POLICY + "  match: {where: '1'}\n", 5, 18, "spec.match.where", "a number, not", "compare it"),
    (POLICY + "  match: {where: 1/0 > 1}\n", 5, 18, "spec.match.where", "always fails", "evaluated"),
    (
        POLICY + "  tiers: [{name: t, weightBy: cluster.labels.weight}]\n",
        5,
        31,
        "spec.tiers[0].weightBy",
        "a text, not a number",
        "int(cluster.labels.weight)",
    ),
    (POLICY + "  tiers: [{name: t, weightBy: 1 == 1}]\n", 5, 31, "spec.tiers[0].weightBy", "true or false", "whole"),
    (
        HEAD + "kind: Planning\nmetadata: {name: a}\nspec: {order: workload.name}\n",
        4,
        15,
        "spec.order",
        "a text",
        "int(",
    ),
    (POLICY + "  require: {where: 1 +}\n", 5, 20, "spec.require.where", "column 4", "go on"),
    (HEAD + "kind: Workloads\nmetadata: {name: a}\n", 2, 7, "kind", "no kind 'Workloads'", "'Workload'"),
    (HEAD + "metadata: {name: a}\n", 1, 1, "", "kind is missing", "kind: Workload"),
    ("apiVersion: batch/v1\nkind: Jobb\n", 2, 7, "kind", "no kind 'Jobb'", "'Job'"),
    ("apiVersion: v1\nkind: ConfigMap\n", 2, 7, "kind", "not a workload", ""),
    ("apiVersion: federator.dev/v1\nkind: Queue\n", 1, 13, "apiVersion", "not read", "federator.dev/v1alpha1"),
    (HEAD + "kind: Queue\nmetadata: {name: Atlas_1}\n", 3, 18, "metadata.name", "not a name", "'atlas-1'"),
    (HEAD + "kind: Queue\nmetadata: {name: }\n", 3, 18, "metadata.name", "missing", ""),
    (HEAD + "kind: Queue\nmetadata: {name: a, labels: {x: 1}}\n", 3, 33, "metadata.labels.x", "text", "'1'"),
    (
        CERN + POLICY + "  tiers: [{name: t, clusters: [cren]}]\n",
        9,
        32,
        "spec.tiers[0].clusters[0]",
        "'cren'",
        "'cern'",
    ),
    (CERN + POLICY + "  tiers: [{name: t, clusters: ['x*']}]\n", 9, 32, "spec.tiers[0].clusters[0]", "matches", "cern"),
    (
        CERN + POLICY + "  tiers: [{name: t, weights: {cer: 1}}]\n",
        9,
        31,
        "spec.tiers[0].weights.cer",
        "'cer'",
        "'cern'",
    ),
    (CERN + POLICY + "  clusters: {cer: {}}\n", 9, 14, "spec.clusters.cer", "'cer'", "'cern'"),
    ("a:\n\tb: 1\n", 2, 1, "", "tab", "spaces"),
    ("a: 1\na: 2\n", 2, 1, "a", "twice, first in line 1", "keep one"),
    ("1: a\n", 1, 1, "", "not text", "in quotes"),
    ("yes: a\n", 1, 1, "", "not text", "in quotes"),
    ("a: [1, 2\nb: 3\n", 2, 2, "", "not YAML", "]"),
    ("a: 'x\n", 2, 1, "", "end of stream", "close the quotes"),
    ("a: *b\n", 1, 4, "a", "not defined", "&"),
    ("a: &x [*x]\n", 1, 8, "a[0]", "part of", "remove"),
    ('a: ["x\\0"]\n', 1, 5, "a[0]", "NUL", "leave it out"),
    ("a: .inf\n", 1, 4, "a", "not a number", "quotes"),
    ("a: " + "9" * 50, 1, 4, "a", "40 digits", "quotes"),
    ("a: !!python/object:x {}\n", 1, 4, "a", "tag", "leave"),
    ("- a\n", 1, 1, "", "not a document", "mapping"),
    (
        "apiVersion: batch/v1\nkind: Job\nmetadata: {name: a}\n",
        1,
        1,
        "spec.template.spec.containers",
        "no container",
        "",
    ),
]


@pytest.mark.parametrize(("text", "line", "column", "field", "message", "cure"), CASES)
def test_a_slip_is_told_with_its_place_and_its_cure(
    text: str, line: int, column: int, field: str, message: str, cure: str
) -> None:
    found = problems(text)
    assert len(found) == 1, found
    problem = found[0]
    assert (problem.line, problem.column) == (line, column), problem
    assert problem.field.startswith(field), problem
    assert message in problem.message, problem
    assert cure in problem.cure, problem


def test_all_errors_of_all_files_are_told_at_once_in_the_order_of_their_places(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(WORKLOAD + "  replcas: 1\n  retries: -1\n")
    (tmp_path / "a.yaml").write_text("a: [\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "c.json").write_text('{"apiVersion": "federator.dev/v1alpha1",\n\t"kind": "Quue"}')
    with pytest.raises(DocumentErrors) as caught:
        read_files([tmp_path, tmp_path / "none.yaml"])
    places = [(Path(p.file).name, p.line) for p in caught.value.problems]
    assert places == [("a.yaml", 2), ("b.yaml", 5), ("b.yaml", 6), ("none.yaml", 0), ("c.json", 2)]


def test_the_words_of_a_problem_name_everything() -> None:
    problem = problems(CERN + POLICY + "  tiers: [{name: t, clusters: [cren]}]\n", "gpu.yaml")[0]
    assert str(problem) == (
        "gpu.yaml:9:32: spec.tiers[0].clusters[0]: no cluster is called 'cren'; did you mean 'cern'?"
    )


def test_two_documents_of_one_kind_and_name_are_told_with_both_places() -> None:
    queue = HEAD + "kind: Queue\nmetadata: {name: a}\n"
    (problem,) = problems(queue + "---\n" + queue)
    assert problem.line == 7
    assert "f.yaml:3" in problem.message


def test_a_bad_document_hides_no_unknown_cluster_in_it() -> None:
    found = problems(CERN + POLICY + "  ordr: 1\n  clusters: {cer: {max: 1}}\n")
    assert {problem.field for problem in found} == {"spec.ordr", "spec.clusters.cer"}


def test_names_of_clusters_are_checked_only_where_clusters_are_known() -> None:
    text = POLICY + "  tiers: [{name: t, clusters: [cern]}]\n"
    assert read_text(text).policies
    assert read_text(text, clusters=["cern"]).policies
    with pytest.raises(DocumentErrors, match="no cluster is called 'cern'"):
        read_text(text, clusters=["other"])


def test_an_object_of_a_request_is_refused_without_a_line() -> None:
    with pytest.raises(DocumentErrors) as caught:
        read_objects([{"apiVersion": "federator.dev/v1alpha1", "kind": "Queue", "metadata": {"name": "a", "x": 1}}])
    assert str(caught.value).startswith("Queue/a: metadata.x: there is no 'x' here")
    deep: object = {}
    for _ in range(100):
        deep = {"a": deep}
    with pytest.raises(DocumentErrors, match="64 deep"):
        read_objects([deep])  # type: ignore[list-item]


def test_a_queue_that_no_document_has_is_a_warning() -> None:
    text = HEAD + "kind: Queue\nmetadata: {name: atlas}\n---\n" + WORKLOAD + "  queue: atlsa\n"
    (warning,) = read_text(text).warnings
    assert "did you mean 'atlas'?" in str(warning)
