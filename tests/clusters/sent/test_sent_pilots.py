"""A site that is sent pilots, in virtual time over a queue in memory: what is sent, and what room may come of it."""

from __future__ import annotations

from collections.abc import Sequence

from federator.clock import VirtualClock
from federator.clusters.pilots import PilotsSettings
from federator.clusters.sent import PilotJobs, QueueAway, Queued, SentPilots
from federator.clusters.sent.missing import Missing
from federator.clusters.sizing import End, Limits
from federator.model.cluster import Flavor
from federator.model.pilots import Pilot
from federator.model.resources import CPU, MEMORY, Resources
from tests.clusters.pilots.site import GIB, done, order
from tests.fake_lines import FakeLines

SIZE = Resources.of({CPU: 4000, MEMORY: 8 * GIB})


class FakeQueue:
    """A batch system of which only the queue of pilots is real. Jobs are called 0, 1 ..., their pilots cern-0 ..."""

    what = "the schedd"

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.waiting: dict[str, float] = {}
        """Since when."""
        self.running: dict[str, float] = {}
        self.going: set[str] = set()
        self.ended: dict[str, End] = {}
        self.away = False
        self.sent = 0

    @property
    def jobs(self) -> list[str]:
        return [*self.waiting, *self.running]

    async def open(self) -> None:
        """Nothing to make ready."""

    async def close(self) -> None:
        """Nothing to close."""

    async def look(self) -> Queued:
        if self.away:
            raise QueueAway("not today")
        now_s = self.clock.now_s()
        running = {f"cern-{job}": (job, now_s - since) for job, since in self.running.items()}
        waiting = {job: now_s - since for job, since in self.waiting.items()}
        return Queued(now_s, waiting, running, frozenset(self.going), self.ended)

    async def start(self, count: int) -> Sequence[str]:
        jobs = [str(self.sent + number) for number in range(count)]
        self.sent += count
        self.waiting |= dict.fromkeys(jobs, self.clock.now_s())
        return jobs

    async def withdraw(self, jobs: Sequence[str]) -> None:
        for job in jobs:
            self.end(job)

    def run(self, job: str) -> None:
        """A job starts."""
        del self.waiting[job]
        self.running[job] = self.clock.now_s()

    def end(self, job: str) -> None:
        """A job is gone."""
        self.waiting.pop(job, None)
        self.running.pop(job, None)


class Place:
    """A cluster of at most five pilots of four cores."""

    def __init__(self) -> None:
        self.clock = VirtualClock(1000.0)
        limits = Limits(SIZE, most=5, waiting=5, first=3, keep_waiting_s=60.0)
        self.queue = FakeQueue(self.clock)
        self.provider = SentPilots(
            "cern", PilotsSettings(margin_s=10.0), PilotJobs("https://f", "/t", limits), self.queue,
            store=FakeLines(), clock=self.clock, count=lambda outcome: None,
        )  # fmt: skip

    async def round(self) -> None:
        """One look at the queue, and what follows."""
        await self.provider._load()
        await self.provider._size()
        await self.clock.advance(2.0)

    async def register(self, number: int) -> None:
        """A pilot that was sent registers, as it was told to describe itself."""
        self.queue.run(str(number))
        await self.provider.register(Pilot(f"cern-{number}", "cern", SIZE))

    async def flavor(self) -> Flavor:
        [flavor] = (await self.provider.observe()).flavors or ()
        return flavor


async def test_pilots_that_may_come_are_room_like_nodes_that_an_autoscaler_may_make() -> None:
    place = Place()
    await place.round()
    assert place.queue.jobs == [], "nothing waits, so none is sent"
    flavor = await place.flavor()
    assert (flavor.count, flavor.max_count, flavor.allocatable) == (0, 5, SIZE)


async def test_what_waits_for_a_pilot_on_its_way_is_not_unschedulable() -> None:
    place = Place()
    await place.round()
    await place.provider.submit(order(count=8))
    assert not (await place.provider.observe()).intents["w"].notes
    await place.round()
    assert len(place.queue.jobs) == 2
    await place.provider.submit(order("big", cpu=5000))
    assert (await place.provider.observe()).intents["big"].notes, "no pilot of this site is so large"


async def test_a_pilot_that_registers_is_of_the_flavor_that_was_promised_and_takes_the_work() -> None:
    place = Place()
    await place.provider.submit(order(count=8))
    await place.round()
    await place.register(0)
    await place.round()
    flavor = await place.flavor()
    assert (flavor.count, flavor.max_count) == (1, 5)
    assert len((await place.provider.lease("cern-0", (), 10, 0.0)).grants) == 4
    assert len(place.queue.jobs) == 2, "the other half has its pilot on its way"


async def test_a_suspect_pilot_is_there_and_has_no_room() -> None:
    """Its room is not counted on, neither before a probe is due nor then; of the pilots that may live it is one."""
    place = Place()
    await place.provider.submit(order("v"))
    await place.provider.submit(order("w", 2))
    await place.round()
    await place.register(0)
    for grant in (await place.provider.lease("cern-0", (), 10, 0.0)).grants:
        await place.provider.finish("cern-0", grant.lease, done("Error"))
    await place.provider.submit(order("x", 2))
    for passed_s in (0.0, 50.0, 20.0):
        await place.clock.advance(passed_s)
        await place.provider.heartbeat("cern-0", ())
        await place.round()
        assert place.provider.states() == {"suspect": 1}
        assert len(place.queue.waiting) == 1, "one more is sent"
        assert place.provider._told.to_come == 4


async def test_a_schedd_that_does_not_answer_promises_nothing_and_what_lives_works_on() -> None:
    place = Place()
    await place.provider.submit(order(count=8))
    await place.round()
    await place.register(0)
    place.queue.away = True
    try:
        await place.round()
    except QueueAway as error:
        place.provider._tell(type(place.provider._told)(), f"the schedd takes no pilots now: {error}")
    flavor = await place.flavor()
    assert (flavor.count, flavor.max_count) == (1, 1)
    assert "not today" in (await place.provider.observe()).version
    assert (await place.provider.lease("cern-0", (), 10, 0.0)).grants


async def test_pilots_that_run_and_never_register_are_taken_away_and_close_the_site() -> None:
    place = Place()
    await place.provider.submit(order(count=20))
    await place.round()
    assert len(place.queue.jobs) == 3, "as many as are tried first"
    for job in place.queue.jobs:
        place.queue.run(job)
    await place.clock.advance(601.0)
    await place.round()
    assert place.queue.jobs == []
    assert "the site is closed: 3 in a row ended badly" in (await place.provider.observe()).version
    assert (await place.flavor()).max_count == 0, "what waits is placed elsewhere"
    assert place.provider.marks == {"closed": True, "full": False, "away": False}
    await place.clock.advance(300.0)
    await place.round()
    assert len(place.queue.jobs) == 1, "one is tried"


async def test_a_pilot_that_said_goodbye_before_its_job_ended_has_not_ended_badly() -> None:
    """It lived for longer than a pilot may run without registering."""
    place = Place()
    await place.provider.submit(order(count=4))
    await place.round()
    await place.register(0)
    await place.round()
    await place.clock.advance(700.0)
    await place.provider.heartbeat("cern-0", ())
    await place.provider.goodbye("cern-0")
    await place.round()
    assert place.queue.running, "it was not taken away"
    assert "badly" not in (await place.provider.observe()).version


async def test_a_queue_that_forgets_ends_sooner_than_we_do_is_remembered_for() -> None:
    missing = Missing()
    missing.look(Queued(100.0, ended={"1": End(90.0, well=False)}), ())
    missing.look(Queued(1000.0), ())
    assert missing.ends == (End(90.0, well=False),)
    missing.look(Queued(4000.0), ())
    assert missing.ends == ()


async def test_a_pilot_that_is_just_ending_has_neither_vanished_nor_ended_twice() -> None:
    missing = Missing()
    missing.sent(["1"])
    assert missing.look(Queued(100.0, going=frozenset({"1"})), ()) == []
    assert missing.look(Queued(101.0, ended={"1": End(101.0, well=True)}), ()) == []
    assert missing.ends == (End(101.0, well=True),)


async def test_pilots_that_nobody_needs_any_more_are_taken_back() -> None:
    place = Place()
    await place.provider.submit(order(count=12))
    await place.round()
    await place.provider.cancel("w")
    await place.round()
    assert len(place.queue.jobs) == 3
    await place.clock.advance(60.0)
    await place.round()
    assert place.queue.jobs == []


async def test_a_site_that_removes_our_pilots_is_not_sent_them_again_and_again() -> None:
    """The queue shows nothing of it: the jobs are just not there any more."""
    place = Place()
    await place.provider.submit(order(count=20))
    for _ in range(30):
        await place.round()
        place.queue.waiting.clear()
    assert "the site is closed: 3 in a row ended badly" in (await place.provider.observe()).version
    assert place.queue.sent == 3


async def test_pilots_whose_end_the_queue_does_not_tell_yet_are_not_replaced_before_it_does() -> None:
    """Three are tried; they end one after the other, and for a look each it is not said how."""
    place = Place()
    await place.provider.submit(order(count=20))
    await place.round()
    for job in ("0", "1", "2"):
        place.queue.end(job)
        place.queue.going = {job}
        await place.round()
        place.queue.ended[job] = End(place.clock.now_s(), well=False)
    place.queue.going = set()
    await place.round()
    assert "the site is closed: 3 in a row ended badly" in (await place.provider.observe()).version
    assert place.queue.sent == 3


async def test_a_site_where_pilots_wait_too_long_is_not_counted_on() -> None:
    place = Place()
    await place.provider.submit(order(count=8))
    await place.round()
    await place.clock.advance(601.0)
    await place.round()
    assert (await place.flavor()).max_count == 0
    assert place.provider.marks == {"closed": False, "full": True, "away": False}
    told = (await place.provider.observe()).intents["w"].notes
    assert {note.message.partition("; ")[2] for note in told} == {"pilots wait too long here"}
    assert "the site is full: 2 have waited longer than 600 s" in (await place.provider.observe()).version
