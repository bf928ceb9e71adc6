"""The output of one replica, from the kubelet through the API server."""

from __future__ import annotations

from collections.abc import AsyncIterator

from federator.clusters.kubernetes.cache import Cache
from federator.clusters.kubernetes.client import KubernetesClient
from federator.clusters.kubernetes.discovery import object_path
from federator.clusters.kubernetes.errors import ApiError
from federator.clusters.kubernetes.observe import Known, in_order
from federator.clusters.kubernetes.pods import PodRecord
from federator.ports import NoLogs


async def replica_logs(
    client: KubernetesClient, cache: Cache, intent: str, index: int, *, follow: bool, tail_lines: int | None,
    timeout_s: float,
) -> AsyncIterator[bytes]:  # fmt: skip
    """The output of the replica's latest pod, in pieces. Raises NoLogs and ClusterUnreachable."""
    pod = _pod_of(cache.intents.get(intent), index)
    if pod is None or pod.ours is None:
        raise NoLogs(f"replica {index} has no pod (it has not started, or its pod is gone)")
    if pod.phase == "Pending":
        waiting = pod.ours.waiting
        why = f"{waiting.reason}: {waiting.message}" if waiting else "its container is being created"
        raise NoLogs(f"replica {index} has not started ({why})")
    query = {"container": pod.ours.container}
    if follow:
        query["follow"] = "true"
    if tail_lines is not None:
        query["tailLines"] = str(max(0, tail_lines))
    path = object_path("v1", "pods", pod.namespace, pod.name) + "/log"
    try:
        async with client.stream(path, query, silence_s=None if follow else timeout_s) as pieces:
            async for piece in pieces:
                yield piece
    except ApiError as error:
        raise NoLogs(f"replica {index}: {error.message}") from error


def _pod_of(known: Known | None, index: int) -> PodRecord | None:
    if known is None:
        return None
    mine = [pod for pod in known.pods.values() if pod.ours is not None and pod.ours.index == index]
    if mine:
        return max(mine, key=lambda pod: (pod.ours.created_s if pod.ours else 0.0, pod.uid))
    nameless = [pod for pod in known.pods.values() if pod.ours is not None and pod.ours.index is None]
    standing = in_order(nameless) + [pod for pod in nameless if pod.ended]
    return standing[index] if index < len(standing) else None
