"""Which pilots eat work: those where payload after payload fails that runs elsewhere. Pure.

A node without its file systems or with a broken disk takes a payload, loses it within seconds, and is free for the
next: it draws work in because it is broken. A failure alone does not tell whether the node or the work is to blame;
what became of the same work on other pilots does.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import NamedTuple

FAILED_IN_A_ROW = 3
"""So many failures of which the node may be to blame, with no success between, and it is asked whether it is."""
BACKOFF_S = 60.0
"""Until one payload is tried on a suspect pilot; doubled for each that failed."""
BACKOFF_MAX_S = 3600.0
REMEMBERED_S = 3600.0
"""How long it is known how a workload ended on a pilot."""
PILOTS_KNOWN = 16
"""Of so many pilots, those where it ended last, is known how a workload ended there."""
LONGEST_RUN = 16
"""No more failures than these, the latest, are kept of a pilot."""
HOSTS_KNOWN = 1024
STEADY_S = 5.0
STEADIER = 10.0
"""What has run for so long on a pilot, and so many times as long as it ran where it failed, runs well there."""
BROKEN = 3
"""A workload that failed on so many other pilots, and ran well on few, is to blame itself."""


class Elsewhere(Enum):
    """What other pilots tell of a workload."""

    WORKS = auto()
    UNKNOWN = auto()
    FAILS = auto()


@dataclass(slots=True)
class Doubt:
    """A pilot is suspect: it is given nothing but, from ``due_s`` on, one payload as a probe."""

    why: str
    due_s: float
    failed: int = 0
    """Probes that failed."""
    probe: str = ""
    """The lease that is tried now."""
    since_s: float = 0.0
    """When it was given."""
    ran_s: float = 0.0
    """How long what failed there ran, at most."""
    told: bool = False
    """Whether it was told that the next probe is due."""
    host: str = ""
    """Where a suspect pilot was before it; empty: it was not."""

    def takes(self, now_s: float) -> bool:
        """Whether it is to be given its one payload."""
        return not self.probe and now_s >= self.due_s

    def passed(self, now_s: float) -> bool:
        """Whether the probe has run for so much longer than what failed that its end need not be awaited."""
        return bool(self.probe) and now_s - self.since_s >= max(BACKOFF_S, STEADIER * self.ran_s)

    def put_off(self, now_s: float) -> None:
        """The next probe has to wait."""
        self.probe, self.told = "", False
        self.due_s = now_s + min(BACKOFF_MAX_S, BACKOFF_S * 2.0 ** min(self.failed, 30))

    def words(self, now_s: float) -> str:
        """``3 payloads of 2 workloads failed in a row; one is tried in 60 s``."""
        since = f", and {_count(self.failed, 'probe')} since" if self.failed else ""
        left_s = self.due_s - now_s
        when = (
            "one is tried now"
            if self.probe
            else "the next is tried"
            if left_s <= 0
            else f"one is tried in {left_s:.0f} s"
        )
        return f"{self.why}{since}; {when}"


class Failed(NamedTuple):
    """A payload that failed: of which workload, and after how long."""

    workload: str
    ran_s: float


class Judged(NamedTuple):
    """What follows from an end."""

    excused: bool = False
    """The node is to blame, not the work."""
    changed: tuple[str, ...] = ()
    """Pilots that became suspect, or are trusted again."""


@dataclass(slots=True)
class _Ends:
    """How a workload ended last, by pilot, and when: the latest last."""

    by_pilot: OrderedDict[str, tuple[bool, float]] = field(default_factory=OrderedDict)
    at_s: float = 0.0

    def add(self, pilot: str, well: bool, now_s: float) -> None:
        self.at_s = now_s
        self.by_pilot[pilot] = (well, now_s)
        self.by_pilot.move_to_end(pilot)
        if len(self.by_pilot) > PILOTS_KNOWN:
            self.by_pilot.popitem(last=False)

    def lately(self, now_s: float) -> dict[str, bool]:
        """Whether it ended well, by pilot."""
        return {pilot: well for pilot, (well, at_s) in self.by_pilot.items() if now_s - at_s <= REMEMBERED_S}


class _Left(NamedTuple):
    """A suspect pilot has gone."""

    doubt: Doubt
    at_s: float


class Care:
    """All pilots of one cluster. Every call may be repeated: a lease counts once."""

    def __init__(self) -> None:
        self._doubts: dict[str, Doubt] = {}
        self._runs: dict[str, OrderedDict[str, Failed]] = {}
        """By pilot its failures since the last success, by lease."""
        self._ends: OrderedDict[str, _Ends] = OrderedDict()
        """By workload; what ended last is last."""
        self._running: dict[str, dict[str, tuple[str, float]]] = {}
        """By workload, for some of the pilots that run it, the lease of it that began first, and when it did."""
        self._pauses: dict[str, float] = {}
        """By pilot of which it is not known whether it or the work is to blame: until when it gets no more of it."""
        self._open: dict[str, dict[str, None]] = {}
        """By workload the pilots on which enough failed, so that a success of it elsewhere would decide."""

        self._left: OrderedDict[str, _Left] = OrderedDict()
        """By host, the latest last."""

    @property
    def doubts(self) -> Mapping[str, Doubt]:
        """The suspect pilots."""
        return self._doubts

    def began(self, pilot: str, lease: str, workload: str, now_s: float) -> None:
        """A payload is given to a pilot."""
        running = self._running.setdefault(workload, {})
        if len(running) < PILOTS_KNOWN:
            running.setdefault(pilot, (lease, now_s))
        if self._in_question(pilot, workload, now_s):
            self._pauses[pilot] = now_s + STEADY_S

    def most(self, pilot: str, workload: str, now_s: float) -> int | None:
        """How many replicas of a workload a pilot may be given now; None: there is no limit.

        Where enough failed and it is not known who is to blame, one in a while: so it will be, and little is lost.
        """
        if not self._in_question(pilot, workload, now_s):
            return None
        return 0 if now_s < self._pauses.get(pilot, 0.0) else 1

    def _in_question(self, pilot: str, workload: str, now_s: float) -> bool:
        run = self._runs.get(pilot)
        if run is None or len(run) < FAILED_IN_A_ROW:
            return False
        of_it = [one for one in run.values() if one.workload == workload]
        return bool(of_it) and self._elsewhere(of_it[-1], pilot, now_s) is not Elsewhere.FAILS

    def over(self, pilot: str, lease: str, workload: str) -> None:
        """It does not run there any more, whatever became of it."""
        running = self._running.get(workload, {})
        if running.get(pilot, ("",))[0] == lease:
            del running[pilot]
        if not running:
            self._running.pop(workload, None)

    def ended(self, pilot: str, lease: str, workload: str, *, well: bool, ran_s: float, now_s: float) -> Judged:
        """A payload ended on a pilot by itself."""
        self._remember(pilot, workload, well, now_s)
        if pilot in self._doubts:
            judged = self._of_suspect(pilot, lease, Failed(workload, ran_s), well, now_s)
        elif well:
            self._clear(pilot)
            judged = Judged()
        else:
            judged = self._failed(pilot, lease, Failed(workload, ran_s), now_s)
        if not well:
            return judged
        others = [name for name in self._open.get(workload, ()) if name != pilot]
        return Judged(False, (*judged.changed, *(name for name in others if self._condemn(name, now_s))))

    def fell_due(self, now_s: float) -> bool:
        """Whether there are probes that became due, or pauses that ended, since this was last asked."""
        due = [doubt for doubt in self._doubts.values() if not doubt.told and doubt.takes(now_s)]
        for doubt in due:
            doubt.told = True
        ended = [pilot for pilot, until_s in self._pauses.items() if until_s <= now_s]
        for pilot in ended:
            del self._pauses[pilot]
        return bool(due or ended)

    def passed(self, now_s: float) -> list[str]:
        """Pilots that are trusted again because their probe has run for long."""
        passed = [pilot for pilot, doubt in self._doubts.items() if doubt.passed(now_s)]
        for pilot in passed:
            self._trust(pilot)
        return passed

    def joined(self, pilot: str, host: str, now_s: float) -> Doubt | None:
        """It is new. Where a suspect one was it begins with a probe, at once: the node may have been repaired."""
        left = self._left.get(host)
        if left is None or now_s - left.at_s > REMEMBERED_S:
            return None
        doubt = self._doubts[pilot] = replace(left.doubt, due_s=now_s, probe="", told=False, host=host)
        return doubt

    def gone(self, pilot: str, host: str, now_s: float) -> None:
        """It will not come back."""
        self._clear(pilot)
        doubt = self._doubts.pop(pilot, None)
        if doubt is None or not host:
            return
        self._left[host] = _Left(doubt, now_s)
        self._left.move_to_end(host)
        if len(self._left) > HOSTS_KNOWN:
            self._left.popitem(last=False)

    def _of_suspect(self, pilot: str, lease: str, ended: Failed, well: bool, now_s: float) -> Judged:
        """What ran there when it became suspect decides nothing; a probe does."""
        doubt = self._doubts[pilot]
        works_nowhere = self._elsewhere(ended, pilot, now_s) is Elsewhere.FAILS
        if lease == doubt.probe:
            if well:
                self._trust(pilot)
                return Judged(False, (pilot,))
            if not works_nowhere:
                doubt.failed += 1
                doubt.ran_s = max(doubt.ran_s, ended.ran_s)
            doubt.put_off(now_s)
        return Judged(not well and not works_nowhere)

    def _trust(self, pilot: str) -> None:
        self._left.pop(self._doubts.pop(pilot).host, None)

    def _failed(self, pilot: str, lease: str, failed: Failed, now_s: float) -> Judged:
        if self._elsewhere(failed, pilot, now_s) is Elsewhere.FAILS:
            return Judged()
        run = self._runs.setdefault(pilot, OrderedDict())
        run[lease] = failed
        if len(run) > LONGEST_RUN:
            run.popitem(last=False)
        if len(run) < FAILED_IN_A_ROW:
            return Judged()
        if self._condemn(pilot, now_s):
            return Judged(True, (pilot,))
        self._pauses[pilot] = now_s + STEADY_S
        for one in run.values():
            self._open.setdefault(one.workload, {})[pilot] = None
        return Judged()

    def _condemn(self, pilot: str, now_s: float) -> bool:
        """Make a pilot suspect, if its failures speak against it."""
        run = self._runs.get(pilot) or OrderedDict[str, Failed]()
        told = [(one.workload, self._elsewhere(one, pilot, now_s)) for one in run.values()]
        telling = [workload for workload, says in told if says is not Elsewhere.FAILS]
        workloads = len(set(telling))
        works = any(says is Elsewhere.WORKS for _, says in told)
        if len(telling) < FAILED_IN_A_ROW or not (works or workloads >= 2):
            return False
        whose = f"{workloads} workloads" if workloads >= 2 else "one workload that runs elsewhere"
        many = f"{len(telling)}{' or more' if len(run) == LONGEST_RUN else ''}"
        ran_s = max(one.ran_s for one in run.values())
        self._doubts[pilot] = Doubt(f"{many} payloads of {whose} failed in a row", now_s + BACKOFF_S, ran_s=ran_s)
        self._clear(pilot)
        return True

    def _elsewhere(self, failed: Failed, pilot: str, now_s: float) -> Elsewhere:
        """What the other pilots tell of a workload that failed on this one: by how it ended there, and where it has run
        for long by that."""
        ends = self._ends.get(failed.workload)
        told = {} if ends is None else ends.lately(now_s)
        steady_s = max(STEADY_S, STEADIER * failed.ran_s)
        running = self._running.get(failed.workload, {})
        told |= {other: True for other, (_, since_s) in running.items() if now_s - since_s >= steady_s}
        told.pop(pilot, None)
        well = sum(told.values())
        badly = len(told) - well
        if well and 2 * well >= badly:
            return Elsewhere.WORKS
        return Elsewhere.FAILS if badly >= BROKEN else Elsewhere.UNKNOWN

    def _remember(self, pilot: str, workload: str, well: bool, now_s: float) -> None:
        self._ends.setdefault(workload, _Ends()).add(pilot, well, now_s)
        self._ends.move_to_end(workload)
        while now_s - next(iter(self._ends.values())).at_s > REMEMBERED_S:
            self._ends.popitem(last=False)

    def _clear(self, pilot: str) -> None:
        self._pauses.pop(pilot, None)
        for failed in self._runs.pop(pilot, {}).values():
            pilots = self._open.get(failed.workload, {})
            pilots.pop(pilot, None)
            if not pilots:
                self._open.pop(failed.workload, None)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
