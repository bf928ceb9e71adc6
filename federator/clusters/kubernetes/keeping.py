"""Checkpoints of replicas that run in pods: a companion runs the payload, in the payload's own container. Pure.

What it is and where it puts them comes in a Secret, one for each Job, which the Job owns. The folder that the payload
writes to is the pod's own.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from federator.clusters import companions
from federator.clusters.kubernetes import names
from federator.expansion import CHECKPOINT_DIR
from federator.model.checkpoints import Attempt, Sign, attempt
from federator.model.indexset import IndexSet
from federator.model.intent import Order
from federator.ports import OrderRefused

Json = dict[str, Any]
TOLD_AT, KEPT_AT = "/run/federator/told", "/run/federator/kept"
"""Where the two volumes are in the container."""
FOLDER = f"{KEPT_AT}/checkpoint"
"""What the payload writes to; drafts are written beside it."""
TELLS = "/dev/termination-log"
"""What is written here stands in the pod's status once its container has ended."""
COMPANION, ADDRESSES = "companion", "addresses"
"""Keys of the Secret: the program with its first addresses, and newer ones."""


def check(order: Order, one: Attempt) -> None:
    """Raises OrderRefused where no pod of an order could keep anything."""
    if order.container is None or not order.container.command:
        words = "checkpoints are kept by a program that runs the payload, and the image's own command is not known here"
        raise OrderRefused("Invalid", f"{words}: give container.command", permanent=True)
    if one.kept.url.startswith("file:"):
        words = f"pods do not see {one.kept.url}: keep checkpoints in a bucket or on a web server"
        raise OrderRefused("NoStore", words, permanent=True)


def secret_name(job: str) -> str:
    """Of the Secret of a Job."""
    return f"{job}-checkpoints"


def put_in(pod: Json, job: str) -> None:
    """Let a companion run what a pod's container runs. It needs no shell: Kubernetes itself puts the index in."""
    container = pod["containers"][0]
    payload = [*container["command"], *container.pop("args", ())]
    index = f"$({names.INDEX_VARIABLE})"
    container["command"] = [
        *companions.PYTHON.split(), f"{TOLD_AT}/{COMPANION}", "run", index, FOLDER, *payload
    ]  # fmt: skip
    others = [entry for entry in container["env"] if entry["name"] != CHECKPOINT_DIR]
    container["env"] = [{"name": CHECKPOINT_DIR, "value": FOLDER}, *others]
    container["volumeMounts"] = [
        {"name": "federator-told", "mountPath": TOLD_AT, "readOnly": True},
        {"name": "federator-kept", "mountPath": KEPT_AT},
    ]
    pod["volumes"] = [
        {"name": "federator-told", "secret": {"secretName": secret_name(job)}},
        {"name": "federator-kept", "emptyDir": {}},
    ]


def secret(job: Json, sign: Sign, now_s: float) -> Json:
    """The Secret of a Job that the server has made. Raises OrderRefused where nobody here can reach the store."""
    metadata, grace_s = job["metadata"], job["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    told = {
        "graceSeconds": grace_s,
        "tellsAll": False,
        "drops": True,
        "hides": False,
        "failsIfTold": True,
        "tells": TELLS,
        "renewed": f"{TOLD_AT}/{ADDRESSES}",
        **addresses(metadata["annotations"][names.ATTEMPT], metadata["annotations"][names.INDICES], sign, now_s),
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": secret_name(metadata["name"]),
            "namespace": metadata["namespace"],
            "labels": {key: metadata["labels"][key] for key in (names.FEDERATION, names.INTENT, names.KEPT)},
            "annotations": {names.WORKLOAD_UID: metadata["annotations"][names.WORKLOAD_UID]},
            "ownerReferences": [
                {"apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"], "uid": metadata["uid"]}
            ],
        },
        "data": {COMPANION: _encoded(companions.pack(told))},
    }


def renewed(kept: str, indices: IndexSet, sign: Sign, now_s: float) -> Json:
    """What changes of the Secret of a Job when its addresses are given anew. Raises OrderRefused."""
    return {"data": {ADDRESSES: _encoded(json.dumps(addresses(kept, str(indices), sign, now_s)).encode())}}


def addresses(kept: str, indices: str, sign: Sign, now_s: float) -> Json:
    """Where the checkpoints of a Job's replica are. A Job may run it a second time, before 1.23 of Kubernetes."""
    one = attempt(json.loads(kept))
    assert one is not None  # only such Jobs have it
    return companions.addresses(one, IndexSet.parse(indices), sign, now_s, again=True)


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()
