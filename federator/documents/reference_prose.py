"""The sentences of ``docs/reference/`` that stand around its tables."""

INDEX = """\
# Reference of the documents

Documents are YAML or JSON, several to a file. `federator schema KIND` prints a kind's JSON Schema.

| kind | what it is |
|---|---|
{kinds}

See also [expressions](expressions.md) and [native manifests](native-manifests.md).

- Quantities are written as in Kubernetes (`500m`, `2Gi`); durations with their units (`50ms`, `90s`, `30m`, `2h`,
  `1h30m`, `7d`, `2w`); shares in per cent (`95%`, up to four decimals); times as RFC 3339 with a zone.
- A key without a value counts as left out. A key that is not known is an error.
- YAML is read as kubectl reads it, so `yes` and `on` are booleans: put them in quotes where text is meant.
- A file has at most 8 MiB, 64 levels and 1,000,000 values, each alias counted as what it stands for.
- All errors of all files are told at once, each with file, line, column, field and cure.
- Names of clusters are checked where the clusters are known: those in the documents that are read together, and those
  of the running federation.
- A field of later work is checked, and says so.
"""

EXPRESSIONS = """\
# Expressions

Expressions are CEL, the Common Expression Language. They are checked when the document is read: syntax, the names of
variables and their fields, the names of functions; and, as far as that can be told without data, that it gives what is
wanted (true or false, or a number). An expression that meets a missing key, or a type that does not
fit, does not hold; it is no error, and `federator explain` says why. So `workload.requests["nvidia.com/gpu"] > 0`
simply does not hold for a workload that asks for none.

At most {length} characters, {nesting} brackets deep, and {macros} of `exists`, `exists_one`, `all`, `map` and `filter`.

Which variables there are depends on the field. Whole numbers and fractions compare with each other, but do not add or
multiply: write `double(workload.replicas) * workload.requests.cpu`.

| variable | meaning |
|---|---|
{variables}

| function | meaning |
|---|---|
{functions}

The operators are `== != < <= > >= && || ! + - * / % in ?:`, and `has(cluster.labels.cuda)` asks whether a key is there.
"""

NATIVE = """\
# Native manifests

A Kubernetes manifest can be handed in as it is, or in `spec.template` of a [Workload](workload.md). It goes to
Kubernetes clusters that have its kind, with the number of its replicas set there.

| apiVersion | kind |
|---|---|
{known}
| any other group | any kind with one replica field |

- What a pod needs is counted as kube-scheduler does: the sum of its containers, or the most that an init container
  needs if that is more, and the overhead; limits where requests are missing.
- Its node selector, and required node affinity of a single term, limit the flavors; its tolerations count. What all
  nodes share or none (`kubernetes.io/os`, `arch`, `hostname`) is left to the cluster.
- The replicas of a Job are its `completions` (else its `parallelism`, else 1). No more than `parallelism` are wanted
  at once, where it is given; unlike in Kubernetes, a Job with `completions` alone is not held to one at a time.
  `backoffLimit` gives the retries. A Job is batch.
- A Deployment, StatefulSet or ReplicaSet is a service.
- An MPIJob has the roles `launcher` and `worker`. A manifest of several roles goes to one cluster as a whole.
- A kind that is not known has its pod template at `spec.template`, or says its requests in an annotation.

Labels or annotations that are read (an annotation wins):

| key | meaning |
|---|---|
{keys}
"""
