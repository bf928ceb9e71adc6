"""A policy in the shadow governs nothing, and the daemon tells what it would change."""

from __future__ import annotations

from pathlib import Path

from tests.daemon.federation import Federation, fake, tiers


def shown(federation: Federation) -> list[str]:
    """The lines of the metric."""
    text = federation.daemon.metrics.render()[0].decode()
    return [line for line in text.splitlines() if line.startswith("federator_policy_shadow_difference{")]


async def test_a_policy_in_the_shadow_changes_nothing_until_it_is_taken_out(tmp_path: Path) -> None:
    federation = Federation(tmp_path)
    sites, now = [fake("cern", 6, run_time=None), fake("cloud", 6, run_time=None)], tiers("now", "cern")
    federation.write(*sites, now, tiers("next", "cern", "cloud", shadow=True, order=1))
    await federation.start()
    await federation.submit("reco", 8)
    await federation.run(40)
    assert federation.placed("reco") == {"cern": 6}
    found = await federation.daemon.service.get("policies", "next")
    assert (found["shadow"], found["governs"], found["differs"]) == (True, 0, 2)
    assert shown(federation) == ['federator_policy_shadow_difference{policy="next"} 2.0']

    federation.write(*sites, now, tiers("other", "cern", "cloud", shadow=True, order=2000))
    await federation.run(5)
    assert shown(federation) == ['federator_policy_shadow_difference{policy="other"} 0.0']

    federation.write(*sites, now, tiers("next", "cern", "cloud", order=1))
    await federation.until(lambda: federation.placed("reco") == {"cern": 6, "cloud": 2})
    await federation.run(5)
    assert shown(federation) == []
