"""Pilots that pull, and what becomes of their leases when something breaks. Outputs of real payloads are counted."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.federator_process import Federator, batch, until
from tests.e2e.pilot_process import PilotProcess, grid, indices, leases, pilot_token, url_of
from tests.e2e.relay import Relay

pytestmark = pytest.mark.real

ALL = list(range(20))
Start = Callable[..., PilotProcess]


@pytest.fixture
def start(federator: Federator, tmp_path: Path) -> Iterator[Start]:
    """A daemon with one cluster of pilots; the fixture starts pilots: ``start(NAME, url=, *options)``."""
    federator.write([grid()])
    federator.start()
    token = pilot_token(federator)
    made: list[PilotProcess] = []

    def begin(name: str, *options: str, url: str = "", cpu: int = 4) -> PilotProcess:
        made.append(PilotProcess(tmp_path, name, url or url_of(federator), token, *options, cpu=cpu))
        made[-1].start()
        return made[-1]

    yield begin
    for pilot in made:
        pilot.clean_up()


@pytest.fixture
def relay(federator: Federator, start: Start) -> Iterator[Relay]:
    """A way to the daemon that can be cut."""
    relay = Relay(int(url_of(federator).rpartition(":")[2]))
    yield relay
    relay.close()


def held(federator: Federator, out: Path) -> list[str]:
    """A payload that waits until the test lets go, and then writes its index."""
    return ["sh", "-c", f"{federator.held}; echo $FEDERATOR_REPLICA_INDEX >> {out}"]


def test_work_runs_on_pilots_and_people_see_it(federator: Federator, start: Start, tmp_path: Path) -> None:
    out = tmp_path / "out"
    start("one"), start("two")
    federator.submit(batch("reco", 20, held(federator, out)))
    federator.wait_for("reco", lambda w: w["running"] == 8)
    until(lambda: [p["leases"] for p in federator.items("pilots")] == [4, 4], "both pilots to be full")
    table = federator.cli("get", "pilots")
    assert "one" in table
    assert "active" in table
    assert "BUSY" in table
    assert "Pilots busy:" in federator.cli("describe", "cluster", "grid")
    metrics = federator.http("/metrics", accept="text/plain")
    assert 'federator_pilot_cpu_seconds_total{cluster="grid",use="payload"}' in metrics
    federator.let_go()
    federator.wait_for("reco", lambda w: w["state"] == "finished")
    assert indices([out]) == ALL
    assert leases(federator)["succeeded"] == 20


def test_a_pilot_that_is_killed_loses_its_leases_and_its_replicas_run_elsewhere(
    federator: Federator, start: Start, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    one, _ = start("one"), start("two")
    federator.submit(batch("reco", 20, held(federator, out)))
    federator.wait_for("reco", lambda w: w["running"] == 8)
    assert one.payloads()
    one.kill()
    until(lambda: leases(federator).get("void") == 4, "the four leases of the dead pilot to be void", federator.tail)
    assert {p["name"]: p["state"] for p in federator.items("pilots")} == {"one": "lost", "two": "active"}
    federator.let_go()
    done = federator.wait_for("reco", lambda w: w["state"] == "finished")
    assert indices([out]) == ALL, "each index wrote its output once"
    assert done["failed"] == 0, "a pilot's death costs no retry"
    assert leases(federator)["succeeded"] == 20


def test_a_daemon_that_is_killed_under_leases_knows_them_again(
    federator: Federator, start: Start, relay: Relay, tmp_path: Path
) -> None:
    """Payloads end while it is dead: their results wait on the pilots' disks, and are counted when it is back."""
    out = tmp_path / "out"
    pilots = [start(name, url=relay.url) for name in ("one", "two")]
    federator.submit(batch("reco", 20, held(federator, out)))
    federator.wait_for("reco", lambda w: w["running"] == 8)
    federator.kill()
    federator.let_go()
    until(lambda: sum(pilot.results() for pilot in pilots) == 8, "eight results to wait", pilots[0].tail)
    federator.start()
    relay.lead_to(int(url_of(federator).rpartition(":")[2]))
    federator.wait_for("reco", lambda w: w["state"] == "finished")
    assert indices([out]) == ALL, "nothing was lost, and nothing ran twice"
    counted = leases(federator)
    assert counted["succeeded"] == 20
    assert counted["granted"] == 12, "the eight leases that were out were known again"
    assert "void" not in counted


@pytest.mark.parametrize("off_s", [600, -600])
def test_clocks_that_are_off_by_minutes_change_nothing(
    federator: Federator, start: Start, tmp_path: Path, off_s: int
) -> None:
    """No message carries a time of day: what is left and how long a lease is good for are told in seconds."""
    (tmp_path / "sitecustomize.py").write_text(
        f"import time\n_now = time.time\ntime.time = lambda: _now() + {off_s}\nprint('the clock is off', flush=True)\n"
    )
    out = tmp_path / "out"
    wrong = PilotProcess(tmp_path, "wrong", url_of(federator), tmp_path / "token-grid", "--lifetime", "300")
    wrong.command[:0] = ["env", f"PYTHONPATH={tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"]
    wrong.start()
    try:
        federator.submit(batch("reco", 20, held(federator, out)))
        federator.wait_for("reco", lambda w: w["running"] == 4)
        assert "the clock is off" in wrong.tail(), "it was not, so this test shows nothing"
        time.sleep(4)  # longer than a lease
        federator.let_go()
        federator.wait_for("reco", lambda w: w["state"] == "finished")
    finally:
        wrong.clean_up()
    assert indices([out]) == ALL
    assert leases(federator) == {"granted": 20, "succeeded": 20}


def test_a_cut_shorter_than_the_lease_costs_nothing(
    federator: Federator, start: Start, relay: Relay, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    pilot = start("one", url=relay.url)
    federator.submit(batch("reco", 4, held(federator, out)))
    federator.wait_for("reco", lambda w: w["running"] == 4)
    relay.cut()
    federator.let_go()
    until(lambda: pilot.results() == 4, "four results to wait", pilot.tail)
    relay.mend()
    federator.wait_for("reco", lambda w: w["state"] == "finished")
    assert indices([out]) == [0, 1, 2, 3]
    assert leases(federator) == {"granted": 4, "succeeded": 4}


def test_a_cut_longer_than_the_lease_voids_it_and_late_results_do_not_count(
    federator: Federator, start: Start, relay: Relay, tmp_path: Path
) -> None:
    """The cut pilot ends its four payloads where nobody sees it. The replicas run again elsewhere, and each index is
    counted once: what the cut pilot says afterwards is refused, and what it has is thrown away."""
    cut, other = tmp_path / "cut", tmp_path / "other"
    first = start("one", url=relay.url)
    which = f'[ "$FEDERATOR_PILOT_SPOOL" = {first.spool} ] && out={cut} || out={other}'
    command = ["sh", "-c", f"{which}; {federator.held}; echo $FEDERATOR_REPLICA_INDEX >> $out"]
    federator.submit(batch("reco", 4, command))
    federator.wait_for("reco", lambda w: w["running"] == 4)
    relay.cut()
    federator.let_go()
    until(lambda: first.results() == 4, "four results to wait", first.tail)
    until(lambda: leases(federator).get("void") == 4, "the leases to be void", federator.tail)
    start("two")
    federator.wait_for("reco", lambda w: w["state"] == "finished")
    relay.mend()
    until(lambda: first.results() == 0, "the late results to be thrown away", first.tail)
    assert indices([cut]) == indices([other]) == [0, 1, 2, 3], "the story needs both to have run"
    counted = leases(federator)
    assert counted["succeeded"] == 4
    assert federator.workload("reco")["finished"] == 4
    assert federator.workload("reco")["failed"] == 0


def test_a_pilot_that_is_killed_with_results_on_its_disk_tells_them_when_it_is_back(
    federator: Federator, start: Start, relay: Relay, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    pilot = start("one", url=relay.url)
    federator.submit(batch("reco", 4, held(federator, out)))
    federator.wait_for("reco", lambda w: w["running"] == 4)
    relay.cut()
    federator.let_go()
    until(lambda: pilot.results() == 4, "four results to wait", pilot.tail)
    pilot.kill()
    relay.mend()
    pilot.start()
    federator.wait_for("reco", lambda w: w["state"] == "finished")
    assert indices([out]) == [0, 1, 2, 3]
    assert leases(federator) == {"granted": 4, "succeeded": 4}


def test_a_pilot_told_to_end_gives_its_work_back_and_goes(federator: Federator, start: Start, tmp_path: Path) -> None:
    """SIGTERM reaches the payloads, which have time to save what they have; the pilot says goodbye."""
    out, saved, begun = tmp_path / "out", tmp_path / "saved", tmp_path / "begun"
    first = start("one")
    save = f"trap 'echo $FEDERATOR_REPLICA_INDEX >> {saved}; exit 1' TERM; echo $FEDERATOR_REPLICA_INDEX >> {begun}"
    federator.submit(
        batch("reco", 4, ["sh", "-c", f"{save}; {federator.held}; echo $FEDERATOR_REPLICA_INDEX >> {out}"])
    )
    until(lambda: indices([begun]) == [0, 1, 2, 3], "payloads to listen", federator.tail)
    federator.wait_for("reco", lambda w: w["running"] == 4)
    assert first.stop() == 0
    assert indices([saved]) == [0, 1, 2, 3]
    assert not first.payloads()
    until(lambda: federator.items("pilots") == [], "the pilot to be forgotten")
    start("two")
    federator.let_go()
    done = federator.wait_for("reco", lambda w: w["state"] == "finished")
    assert indices([out]) == [0, 1, 2, 3]
    assert done["failed"] == 0, "that its pilot ended is no fault of a replica"


def test_a_payload_sees_no_token_gains_no_privileges_and_leaves_nothing_behind(
    federator: Federator, start: Start, tmp_path: Path
) -> None:
    out = tmp_path / "seen"
    pilot = start("one")
    look = f"(env; grep NoNewPrivs /proc/self/status; cat /proc/$PPID/environ /proc/$PPID/cmdline) > {out} 2>&1"
    federator.submit(batch("look", 1, ["sh", "-c", f"{look}; setsid sleep 600 & sleep 0.3"]))
    federator.wait_for("look", lambda w: w["state"] == "finished")
    seen = out.read_text(errors="replace")
    token = (federator.folder / "token-grid").read_text().strip()
    assert "FEDERATOR_REPLICA_INDEX=0" in seen
    assert token not in seen
    assert str(federator.folder / "token-grid") not in seen.partition("NoNewPrivs")[0]
    assert "NoNewPrivs:\t1" in seen
    until(lambda: not pilot.payloads(), "the process that was left behind to be gone")


def test_a_token_reaches_the_pilots_of_its_own_site_alone(federator: Federator, start: Start) -> None:
    start("one")
    until(lambda: len(federator.items("pilots")) == 1, "the pilot to be there")
    stranger = pilot_token(federator, "elsewhere").read_text().strip()
    sent = {"Content-Type": "application/json"}
    for verb, body in (("heartbeat", '{"held": []}'), ("goodbye", None)):
        answer = federator.ask("POST", f"/api/v1/pilots/one/{verb}", body, token=stranger, headers=sent)
        assert answer.status == 404, "for a stranger there is no such pilot"
    wish = '{"protocol": 1, "name": "spy", "cluster": "grid", "resources": {"cpu": 1}, "runtimes": ["process"]}'
    assert federator.ask("POST", "/api/v1/pilots", wish, token=stranger, headers=sent).status == 403
    assert federator.ask("POST", "/api/v1/pilots", wish, headers=sent).status == 403, "operators are no pilots"
    assert [p["name"] for p in federator.items("pilots")] == ["one"]
