"""Runs AccaSim on a log. It is started by ``benchmarks/peer.py``, with the Python of AccaSim's own environment.

``peer_driver.py LOG PROCESSORS FCFS|EASY FOLDER`` prints, as one JSON document, the seconds of CPU, the peak memory
in MiB and when each job started, by its number. AccaSim 1.1.3 looks for ``Mapping`` where Python had it up to 3.9.
"""

from __future__ import annotations

import collections
import collections.abc
import contextlib
import io
import json
import resource
import sys
import time
from pathlib import Path


def main(log: str, processors: str, rule: str, folder: str) -> None:
    """Simulate, and print what came of it."""
    collections.Mapping = collections.abc.Mapping
    from accasim.base.allocator_class import FirstFit
    from accasim.base.scheduler_class import EASYBackfilling, FirstInFirstOut
    from accasim.base.simulator_class import Simulator

    system = Path(folder) / "system.json"
    pool = {"groups": {"pool": {"core": int(processors)}}, "resources": {"pool": 1}}
    system.write_text(json.dumps({**pool, "equivalence": {"processor": {"core": 1}}, "start_time": 0}))
    scheduler = {"FCFS": FirstInFirstOut, "EASY": EASYBackfilling}[rule]
    kept = {"format": "{job};{start}", "attributes": {"job": ("id", "str"), "start": ("start_time", "str")}}
    began = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        Simulator(
            log, str(system), scheduler(FirstFit()), RESULTS_FOLDER_PATH=folder, SCHEDULE_OUTPUT=kept,
            statistics_output=False, show_statistics=False,
        ).start_simulation()  # fmt: skip
    took_s = time.process_time() - began
    lines = (Path(folder) / f"sched-{Path(log).name}").read_text().split()
    starts = {job: float(start) for job, start in (line.split(";") for line in lines)}
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"cpu_s": took_s, "peak_mib": peak_mib, "starts": starts}))


if __name__ == "__main__":
    main(*sys.argv[1:])
