"""A filler that does physics: muons through a layered detector, task by task, saved as it goes.

    python detector.py [--store WHERE] [--results WHERE] [--tracks 1000000]

Each track loses energy in every layer (the mean by Bethe and Bloch with a most simple density, fluctuations by Moyal's
approximation of Landau's distribution) and is scattered (Highland's formula); a track that has lost its energy stops
there. The sums are whole numbers, and each batch of tracks has its own seed, made of the task's number and its own: so
a task's result is the same to the last digit however often it was stopped and wherever it ran. Needs numpy.

``FEDERATOR_REPLICA_INDEX`` is the task. After each batch whose time has come, and on SIGTERM, what is done is written
to ``WHERE/task-INDEX.json`` in one step; a task that begins looks there first. WHERE is a folder that all nodes share,
or the address of a web server that takes PUT and GET; or left out, where the federator keeps checkpoints
(``FEDERATOR_CHECKPOINT_DIR``) and the sums of a whole task go to ``--results``. While one is away, or full, the task
says so and goes on, and ends only when its sums are saved. Exit status: 0 done and saved, 75 told to end.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MUON_MEV = 105.658
ELECTRON_MEV = 0.510999
K_MEV_CM2 = 0.307075
"""Of the formula of Bethe and Bloch, for one mole."""
LAYERS = (
    # what, thickness in cm, density in g/cm3, Z/A, mean excitation energy in eV, radiation length in g/cm2
    ("silicon", 0.03, 2.329, 0.49848, 173.0, 21.82),
    ("silicon", 0.03, 2.329, 0.49848, 173.0, 21.82),
    ("lead", 1.0, 11.35, 0.39575, 823.0, 6.37),
    ("scintillator", 1.0, 1.032, 0.54141, 64.7, 43.79),
    ("iron", 20.0, 7.874, 0.46557, 286.0, 13.84),
    ("iron", 20.0, 7.874, 0.46557, 286.0, 13.84),
    ("scintillator", 1.0, 1.032, 0.54141, 64.7, 43.79),
)
BATCH = 2000
"""Tracks that are done together, between two looks at the clock."""
STOPPED = 75
TIMEOUT_S, AGAIN_S = 10.0, 5.0
NOTHING: dict[str, Any] = {"batches": 0, "sums": {}}
Floats = NDArray[np.float64]


def batch_sums(task: int, batch: int, tracks: int = BATCH) -> dict[str, list[int]]:
    """What a batch leaves in each layer: energy in eV, tracks that stop, and squared shift at its end in nm2."""
    random = np.random.Generator(np.random.Philox(key=[task, batch]))
    energy = 300.0 + random.exponential(900.0, tracks)  # kinetic, in MeV
    slope, place = np.zeros(tracks), np.zeros(tracks)
    deposited, stopped, shifted = [], [], []
    for _, thickness, density, z_over_a, excitation, radiation in LAYERS:
        alive = energy > 0
        column = thickness * density
        lost = np.minimum(energy, _loss(energy, column, z_over_a, excitation * 1e-6, random)) * alive
        angle = _scattering(energy, column / radiation) * alive
        kick, shift = random.standard_normal((2, tracks))
        place += thickness * (slope + angle * (kick / np.sqrt(12.0) + shift / 2.0))
        slope += angle * shift
        energy = energy - lost
        deposited.append(int(np.rint(lost * 1e6).astype(np.int64).sum()))
        stopped.append(int(np.count_nonzero(alive & (energy <= 0))))
        shifted.append(int(np.rint((place * 1e7) ** 2 * alive / 1e6).astype(np.int64).sum()))
    return {"deposited_ev": deposited, "stopped": stopped, "shift2_1e6_nm2": shifted}


def _loss(energy: Floats, column: float, z_over_a: float, excitation: float, random: np.random.Generator) -> Floats:
    """The energy lost in a column (g/cm2), in MeV: the mean, and about it what single collisions make of it."""
    gamma = 1.0 + np.maximum(energy, 1e-3) / MUON_MEV
    beta2 = 1.0 - 1.0 / gamma**2
    mass = ELECTRON_MEV / MUON_MEV
    most = 2.0 * ELECTRON_MEV * beta2 * gamma**2 / (1.0 + 2.0 * gamma * mass + mass**2)
    inside = 0.5 * np.log(2.0 * ELECTRON_MEV * beta2 * gamma**2 * most / excitation**2) - beta2
    mean = K_MEV_CM2 * z_over_a / beta2 * np.maximum(inside, 1.0) * column
    width = 0.5 * K_MEV_CM2 * z_over_a / beta2 * column
    moyal = -np.log(random.standard_normal(len(energy)) ** 2 + 1e-300)
    found: Floats = np.maximum(mean + np.minimum(width * (moyal - 1.2704), mean * 4), 0.0)
    return found


def _scattering(energy: Floats, lengths: float) -> Floats:
    """The width of the angle of multiple scattering after so many radiation lengths (Highland), in radians."""
    total = np.maximum(energy, 1e-3) + MUON_MEV
    momentum2 = total**2 - MUON_MEV**2
    found: Floats = 13.6 * total / momentum2 * np.sqrt(lengths) * (1.0 + 0.038 * np.log(lengths))
    return np.minimum(found, 0.5)


def add(sums: dict[str, list[int]], more: dict[str, list[int]]) -> dict[str, list[int]]:
    """Both together."""
    return {key: [a + b for a, b in zip(sums[key], more[key], strict=True)] for key in more} if sums else more


class Away(Exception):
    """The store does not answer, or takes nothing."""


class Store:
    """Where one task is saved."""

    def __init__(self, where: str, task: int) -> None:
        self._file = None if "://" in where else Path(where) / f"task-{task}.json"
        self._address = f"{where.rstrip('/')}/task-{task}.json"

    def load(self) -> dict[str, Any]:
        """What is saved; an empty task where nothing is. Raises Away."""
        try:
            if self._file is not None:
                text = self._file.read_text("utf-8")
            else:
                with urllib.request.urlopen(self._address, timeout=TIMEOUT_S) as answer:
                    text = answer.read().decode()
        except FileNotFoundError:
            return dict(NOTHING)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return dict(NOTHING)
            raise Away(str(error)) from error
        except (OSError, http.client.HTTPException) as error:
            raise Away(str(error)) from error
        saved: dict[str, Any] = json.loads(text)
        return saved

    def save(self, state: dict[str, Any]) -> None:
        """Replace what is saved, in one step: a stop in between leaves the one before. Raises Away."""
        text = json.dumps(state)
        try:
            if self._file is not None:
                draft = self._file.with_suffix(f".{os.getpid()}.part")
                draft.parent.mkdir(parents=True, exist_ok=True)
                draft.write_text(text, "utf-8")
                os.replace(draft, self._file)
            else:
                request = urllib.request.Request(self._address, text.encode(), method="PUT")
                urllib.request.urlopen(request, timeout=TIMEOUT_S).close()
        except (OSError, http.client.HTTPException) as error:
            raise Away(str(error)) from error


class Task:
    """One task: what is done of it, and what is saved."""

    def __init__(self, number: int, batches: int, store: Store, results: Store | None) -> None:
        """``results``: where the sums of all of it go; None: nowhere but to the store."""
        self._number, self._batches, self._store, self._results = number, batches, store, results
        self._state = dict(NOTHING)
        self._looked = False

    @property
    def done(self) -> bool:
        """Whether all of it is."""
        return int(self._state["batches"]) >= self._batches

    def step(self) -> None:
        """One batch more."""
        sums = add(self._state["sums"], batch_sums(self._number, self._state["batches"]))
        self._state = {"batches": self._state["batches"] + 1, "sums": sums}

    def sync(self) -> bool:
        """Take over what is saved, if that was not possible before and it is more, and save what is done. Where the
        store is away, say so: the task goes on."""
        try:
            if not self._looked:
                self._state = max(self._store.load(), self._state, key=lambda state: int(state["batches"]))
                self._looked = True
            self._store.save(self._state)
            if self.done and self._results is not None:
                self._results.save(self._state)
        except Away as error:
            print(  # noqa: T201
                f"task {self._number}: the store is away, {self._state['batches']} batches are not saved: {error}",
                file=sys.stderr, flush=True,
            )  # fmt: skip
            return False
        return True


def run(task: Task, every_s: float) -> int:
    """Go on with a task until it is done and saved, or until somebody wants the room; the exit status."""
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    task.sync()
    saved_s = time.monotonic()
    while not task.done and not asked:
        task.step()
        if time.monotonic() - saved_s >= every_s:
            task.sync()
            saved_s = time.monotonic()
    while not task.sync():
        if asked:
            return STOPPED
        time.sleep(min(every_s, AGAIN_S))
    return 0 if task.done else STOPPED


def main() -> int:
    """Read the arguments and run."""
    arguments = argparse.ArgumentParser(description="Muons through a layered detector.")
    arguments.add_argument(
        "--store", default=os.environ.get("FEDERATOR_CHECKPOINT_DIR"),
        help="where tasks are saved: a folder, or an address for PUT and GET",
    )  # fmt: skip
    arguments.add_argument("--results", help="where the sums of whole tasks go, if not there")
    arguments.add_argument("--tracks", type=int, default=1_000_000, help="of one task")
    arguments.add_argument("--every", type=float, default=60.0, help="seconds between two checkpoints")
    given = arguments.parse_args()
    if given.store is None:
        arguments.error("say --store, or let the federator keep checkpoints")
    task = int(os.environ.get("FEDERATOR_REPLICA_INDEX", "0"))
    results = Store(given.results, task) if given.results else None
    return run(Task(task, -(-given.tracks // BATCH), Store(given.store, task), results), given.every)


if __name__ == "__main__":
    raise SystemExit(main())
