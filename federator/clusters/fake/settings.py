"""What a fake cluster is told."""

from __future__ import annotations

from dataclasses import dataclass

from federator.model.cluster import Binding, Flavor


@dataclass(frozen=True, slots=True)
class FakeSettings:
    """How a fake cluster behaves. A container may say more in its environment: ``FAKE_RUN_S`` (seconds a replica
    runs), ``FAKE_EXIT_CODE`` (how it ends), ``FAKE_OUTPUT`` (what its logs say)."""

    flavors: tuple[Flavor, ...] | None = None
    """Its nodes. None: it does not tell, and takes everything. Nodes up to ``max_count`` boot when they are needed."""
    binding: Binding = Binding.SPREAD
    whole_cores: bool = False
    """Whether a replica that asks for a part of a core takes all of it."""
    start_delay_s: float = 0.0
    """From a replica's node being chosen to its running."""
    run_time_s: float | None = None
    """How long a replica of a batch runs. None: until it is removed or its time limit is over."""
    stop_time_s: float = 0.0
    """How long a replica takes to end when asked to (never longer than its grace)."""
    latency_s: float = 0.0
    """How long every call takes."""
    timeout_s: float = 10.0
    """The longest that a call waits: a slower one fails, although what was asked for is done."""
    observe_lag_s: float = 0.0
    """By how much the cluster's news are late. What was submitted shows at once all the same."""
    fail_every: int = 0
    """Every so many-th replica of a batch fails with exit code 1; 0: none."""
    refuse_every: int = 0
    """Every so many-th new order is refused for a while; 0: none."""
    spread_run_time: float = 0.0
    """By which share of it the run time of the replicas on one node may be longer or shorter, by chance."""
    seed: int = 0
    """What chance begins with."""
    abilities: frozenset[str] = frozenset()
    """Abilities beyond container, process, service and manifest (``kind:GROUP/VERSION/KIND``)."""
    version: str = "fake"
