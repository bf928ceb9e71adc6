"""Documents: YAML and JSON as typed, validated values with located errors, and their way into the model and back."""

from federator.documents.backfill import to_filler
from federator.documents.checks_cohorts import cohort_parents
from federator.documents.configured import Configuration, read_configuration
from federator.documents.documents import Document, Documents, Source
from federator.documents.expressions import (
    Expression,
    ExpressionError,
    cluster_variables,
    compile_expression,
    flavor_variables,
    role_variables,
    workload_variables,
)
from federator.documents.kinds import KINDS
from federator.documents.limit import limit_document, to_limit
from federator.documents.offline import to_snapshot
from federator.documents.problems import DocumentErrors, Problem, did_you_mean
from federator.documents.reading import read_files, read_objects, read_text
from federator.documents.schema import json_schema
from federator.documents.stored import stamped, to_workload, workload_spec
from federator.documents.translate import to_cluster, to_cohort, to_planning, to_policy, to_queue, to_spent, to_usage
from federator.documents.workloads import WorkloadSpec
from federator.documents.writing import (
    canonical,
    cluster_document,
    placement_document,
    planning_document,
    policy_document,
    with_displacements,
    workload_document,
)
from federator.documents.writing_queues import cohort_document, queue_document, with_usage

__all__ = [
    "KINDS",
    "Configuration",
    "Document",
    "DocumentErrors",
    "Documents",
    "Expression",
    "ExpressionError",
    "Problem",
    "Source",
    "WorkloadSpec",
    "canonical",
    "cluster_document",
    "cluster_variables",
    "cohort_document",
    "cohort_parents",
    "compile_expression",
    "did_you_mean",
    "flavor_variables",
    "json_schema",
    "limit_document",
    "placement_document",
    "planning_document",
    "policy_document",
    "queue_document",
    "read_configuration",
    "read_files",
    "read_objects",
    "read_text",
    "role_variables",
    "stamped",
    "to_cluster",
    "to_cohort",
    "to_filler",
    "to_limit",
    "to_planning",
    "to_policy",
    "to_queue",
    "to_snapshot",
    "to_spent",
    "to_usage",
    "to_workload",
    "with_displacements",
    "with_usage",
    "workload_document",
    "workload_spec",
    "workload_variables",
]
