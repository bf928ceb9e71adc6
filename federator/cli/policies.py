"""policy check, test, diff and import, schema: policies as code."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Annotated

import typer

from federator.cli.failures import WRONG_INPUT, Failure
from federator.cli.files import FilesArgument, read
from federator.cli.output import Format, complain, document, say, yaml_text
from federator.cli.policy_diff import diff
from federator.cli.policy_testing import run_tests
from federator.documents import json_schema, policy_document, to_policy
from federator.model.policy import Match

FIRST = 0
"""The order of imported preferences: before all policies that leave theirs out."""

app = typer.Typer(no_args_is_help=True, help="Policies as code.")
app.command("test")(run_tests)
app.command("diff")(diff)


@app.command("check")
def check(files: FilesArgument) -> None:
    """Read policies (with clusters beside them, if names are to be checked) and tell all that is wrong."""
    documents = read(files)
    count = len(documents.policies)
    known = "" if documents.clusters else "; no cluster is among these files, so names of clusters were not checked"
    say(f"{count} {'policy' if count == 1 else 'policies'} in order{known}")


@app.command("import")
def import_policies(files: FilesArgument) -> None:
    """Turn ReplicaSchedulingPreferences into PlacementPolicies, as YAML on standard output."""
    documents = read(files)
    preferences = documents.of("ReplicaSchedulingPreference")
    if not preferences:
        raise Failure(f"there is no ReplicaSchedulingPreference in {', '.join(files)}", WRONG_INPUT)
    made = []
    for one in preferences:
        policy = to_policy(one)
        name = policy.match.workload or one.name
        if policy.replicas is not None:
            complain(
                f"{one.source}: a policy has no totalReplicas; write replicas: {policy.replicas} in workload {name}"
            )
        made.append(
            policy_document(
                replace(policy, order=FIRST, match=Match(where=f'workload.name == "{name}"'), replicas=None)
            )
        )
    sys.stdout.write(yaml_text(*made))


def schema(
    kind: Annotated[str, typer.Argument(help="A kind of document: Cluster, Workload, PlacementPolicy, Queue ...")],
) -> None:
    """Print the JSON Schema of a kind."""
    document(json_schema(kind), Format.JSON)
