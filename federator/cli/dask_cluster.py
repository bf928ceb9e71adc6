"""Runs spread over a cluster that Dask leads (``distributed``, the optional group ``federator[dask]``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from federator.cli.failures import UNREACHABLE, WRONG_INPUT, Failure

Task = TypeVar("Task")
Result = TypeVar("Result")
CONNECT_S = 10


def on_dask(address: str, run: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
    """What ``run`` makes of each task on the workers of the scheduler at this address, in the order of the tasks.

    Each runs once however many are alike. Raises Failure where distributed is not installed, nobody answers, or there
    are no workers.
    """
    try:
        from distributed import Client
    except ImportError:
        cure = "install federator[dask], with the version that the cluster has"
        raise Failure(f"--dask needs the package distributed, which is not installed; {cure}", WRONG_INPUT) from None
    connect: Callable[..., Any] = Client
    try:
        client = connect(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:  # what cannot be an address is a ValueError
        raise Failure(f"no Dask scheduler answers at {address}: {error}", UNREACHABLE) from None
    with client:
        if not client.scheduler_info()["workers"]:
            raise Failure(f"the Dask scheduler at {address} has no workers; start some with `dask worker`", UNREACHABLE)
        futures = client.map(run, tasks, pure=False)
        for future in futures:
            yield future.result()
