"""Cohorts come from files and from the API, and name each other."""

from __future__ import annotations

import pytest

from federator.documents import DocumentErrors
from tests.daemon.federation import Federation, fake, named


async def test_cohorts_of_files_and_of_the_api_stand_in_each_other_but_in_no_circle(federation: Federation) -> None:
    federation.write(fake("cern", cpu=4), named("Cohort", "science", {}), named("Queue", "atlas", {"cohort": "lhc"}))
    await federation.start()
    service = federation.daemon.service
    await service.apply([named("Cohort", "lhc", {"parent": "science"})], owner="me", permit=lambda queue: None)
    await federation.run(5)
    parents = {cohort.name: cohort.parent for cohort in federation.daemon.state.snapshot.cohorts}
    assert parents == {"science": "", "lhc": "science"}

    federation.write(fake("cern", cpu=4), named("Cohort", "science", {"parent": "lhc"}))
    await federation.run(5)
    assert "stands above itself" in federation.daemon.state.file_problem
    assert {cohort.parent for cohort in federation.daemon.state.cohorts} == {"", "science"}, "the set before stays"

    with pytest.raises(DocumentErrors, match="did you mean 'science'"):
        await service.apply([named("Cohort", "b", {"parent": "sciense"})], owner="me", permit=lambda queue: None)
