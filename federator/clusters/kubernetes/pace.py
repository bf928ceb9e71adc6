"""How fast we may write: a token bucket, so that one member's API server is never flooded."""

from __future__ import annotations

from federator.ports import Clock


class TokenBucket:
    """Lets ``rate`` turns a second pass on average, ``burst`` of them at once after a quiet time. 0: no limit."""

    def __init__(self, rate: float, burst: int, clock: Clock) -> None:
        self._rate = rate
        self._burst = max(1, burst)
        self._clock = clock
        self._tokens = float(self._burst)
        self._at_s = clock.now_s()

    async def turn(self) -> None:
        """Return when it is the caller's turn; turns come in the order in which they were asked for."""
        if self._rate <= 0:
            return
        now_s = self._clock.now_s()
        self._tokens = min(self._burst, self._tokens + max(0.0, now_s - self._at_s) * self._rate)
        self._at_s = now_s
        # The bucket may go into debt: each caller in line then waits for its own token.
        self._tokens -= 1.0
        if self._tokens < 0:
            await self._clock.sleep(-self._tokens / self._rate)
