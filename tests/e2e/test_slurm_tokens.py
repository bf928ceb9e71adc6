"""One daemon over a real Slurm that wants tokens: jobs and pilots, a token that runs out, and one that is exchanged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.federator_process import Federator, batch, until
from tests.e2e.pilot_process import leases
from tests.e2e.test_slurm import health, held_reco, hpc, queued, with_pilots
from tests.servers.fixtures import slurm
from tests.servers.slurm import USER, Slurm

__all__ = ["slurm"]
pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]


@pytest.fixture
def shared(slurm: Slurm) -> Iterator[Path]:
    """A folder for jobs; their jobs end with the test."""
    yield slurm.shared()
    slurm.clear()


def by_token(federator: Federator, slurm: Slurm) -> dict[str, Any]:
    """The way in of the cluster's document."""
    give(federator, slurm.token())
    return {"url": slurm.token_url, "user": USER, "tokenFile": "slurm.jwt"}


def give(federator: Federator, token: str) -> None:
    draft = federator.folder / "slurm.new"
    draft.write_text(token)
    draft.rename(federator.folder / "slurm.jwt")


def told(federator: Federator) -> str:
    return federator.cli("describe", "cluster", "hpc")


def test_a_token_that_runs_out_makes_the_cluster_away_until_it_is_exchanged(
    federator: Federator, slurm: Slurm, shared: Path
) -> None:
    federator.write([hpc(slurm, shared, **by_token(federator, slurm))], federation="e2e-token")
    federator.start()
    out = f"echo $FEDERATOR_REPLICA_INDEX >> {shared}/out"
    gate = f"until [ -e {shared}/gate ]; do sleep 0.2; done"
    federator.submit(batch("reco", 20, ["sh", "-c", f"{gate}; {out}"]))
    federator.wait_for("reco", lambda w: w["running"] == 20)
    give(federator, slurm.token(lifespan_s=1))
    until(lambda: health(federator) != "up", "the cluster to be away", federator.tail)
    until(lambda: "the token in it expired" in told(federator), "the reason to be told", lambda: told(federator))
    federator.submit(batch("later", 4, ["sh", "-c", out]))
    (shared / "gate").touch()
    until(lambda: len(words(shared)) == 20, "all of it to end while nobody may look")
    give(federator, slurm.token())
    assert federator.wait_for("reco", lambda w: w["state"] == "finished")["finished"] == 20
    assert federator.wait_for("later", lambda w: w["state"] == "finished")["finished"] == 4
    assert Counter(words(shared)) == Counter([*range(20), *range(4)])


def test_pilots_are_sent_and_live_on_while_the_token_is_out_of_date(
    federator: Federator, slurm: Slurm, shared: Path
) -> None:
    with_pilots(federator, slurm, shared, idle="5m", way=by_token(federator, slurm))
    federator.submit(held_reco(20, shared))
    federator.wait_for("reco", lambda w: w["running"] == 8)
    give(federator, slurm.token(lifespan_s=1))
    until(lambda: "the token in it expired" in told(federator), "the reason to be told", lambda: told(federator))
    (shared / "gate").touch()
    done = federator.wait_for("reco", lambda w: w["state"] == "finished")
    assert done["failed"] == 0
    assert Counter(map(int, (shared / "begun").read_text().split())) == Counter(range(20))
    give(federator, slurm.token())
    until(lambda: "4 run at Slurm" in told(federator), "its pilots to be known again", lambda: told(federator))
    assert leases(federator, "hpc").get("void", 0) == 0
    assert queued(slurm, shared, "all") == 4, "none was sent in place of those that live"


def words(shared: Path) -> list[int]:
    out = shared / "out"
    return [int(word) for word in out.read_text().split()] if out.exists() else []
