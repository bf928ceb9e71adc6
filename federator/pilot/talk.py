"""The two threads that speak to the server: one asks for work, one renews, tells of what runs and of how it ended."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from federator.pilot.agent import Agent
from federator.pilot.holding import say
from federator.pilot.wire import Refused, Unreachable, Wire, of

Json = dict[str, Any]
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 15.0
GOODBYE_S = 5.0
MOST_AT_ONCE = 64
"""Replicas that one answer may bring."""
LOG_EVERY_S = 0.5
MOST_NEWS = 1000
"""Of checkpoints, in one call."""


class Talk:
    """A pilot's side of the wire format."""

    def __init__(self, agent: Agent, version: str) -> None:
        self._agent = agent
        self._version = version
        self._registering = threading.Lock()
        self._registered_at = 0.0
        self._lease_s = 60.0
        self._drain_told = False

    def register(self) -> None:
        """Describe this pilot to the server, however long that takes. Raises Refused."""
        asked_at = time.monotonic()
        with self._registering:
            if self._registered_at > asked_at:
                return  # the other thread has just done so
            wire = Wire(self._agent.settings)
            answer = self._patiently(lambda: wire.call("", self._description()))
            wire.close()
            if answer is None:
                return
            self._lease_s = float(answer["leaseSeconds"])
            self._registered_at = time.monotonic()
            self._drain_told = False
            say(f"registered as {self._agent.name} at {answer['cluster']}, leases are good for {self._lease_s:g} s")

    def _description(self) -> Json:
        agent, node = self._agent, self._agent.node
        left_s = None if agent.ends_at is None else max(0.0, agent.ends_at - time.monotonic())
        described: Json = {
            "protocol": 1,
            "name": agent.name,
            "cluster": agent.settings.cluster,
            "host": socket.gethostname(),
            "version": self._version,
            "resources": node.resources,
            "labels": agent.settings.labels,
            "runtimes": list(node.runtimes),
        }
        if agent.settings.data:
            described["data"] = list(agent.settings.data)
        return described if left_s is None else {**described, "lifetimeSeconds": left_s}

    def _patiently(self, call: Callable[[], Json]) -> Json | None:
        """Repeat a call until the server answers; None if the pilot ends first, or is late and was never answered.

        Raises Refused.
        """
        pause_s = FIRST_PAUSE_S
        while not self._agent.finished.is_set():
            try:
                return call()
            except Unreachable as error:
                say(f"the server does not answer: {error}")
            if not self.is_registered and self._agent.is_late:
                break
            self._agent.finished.wait(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)
        return None

    @property
    def is_registered(self) -> bool:
        """Whether the server has ever answered."""
        return self._registered_at > 0.0

    def ask_for_work(self) -> None:
        """The first thread: until the pilot ends. What fits is for the server to say, which knows what is taken."""
        wire, agent = Wire(self._agent.settings), self._agent
        pause_s = FIRST_PAUSE_S
        while not agent.finished.is_set():
            if self._call(wire, "lease", self._wish(), agent.settings.wait_s):
                pause_s = FIRST_PAUSE_S
            else:
                agent.finished.wait(pause_s * random.uniform(0.5, 1.0))
                pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)

    def _wish(self) -> Json:
        agent = self._agent
        return {
            "held": agent.held,
            "limit": 0 if agent.draining else MOST_AT_ONCE,
            "waitSeconds": agent.settings.wait_s,
        }

    def tell(self) -> None:
        """The second thread: until the pilot ends; then goodbye."""
        wire, agent = Wire(self._agent.settings), self._agent
        beat_at = 0.0
        while not agent.finished.is_set():
            agent.news.clear()
            said = self._tell_ends(wire) and self._tell_progress(wire) and self._tell_drain(wire)
            if said and time.monotonic() >= beat_at:
                said = self._call(wire, "heartbeat", {"held": agent.held})
                beat_at = time.monotonic() + self._lease_s / 3
            if not said:
                agent.finished.wait(random.uniform(0.5, 1.0))
                continue
            soon = LOG_EVERY_S if agent.logs else max(0.01, beat_at - time.monotonic())
            agent.news.wait(soon)
        try:
            wire.call(of(agent.name, "goodbye"))
        except (Unreachable, Refused) as error:
            say(f"left without goodbye: {error}")

    def _tell_ends(self, wire: Wire) -> bool:
        with self._agent.lock:
            results = list(self._agent.results.values())
        for result in results:
            lease = result["lease"]
            verb, body = ("fail", result) if result["reason"] else ("complete", _without_reason(result))
            counted = True
            try:
                wire.call(of(self._agent.name, verb), body)
            except Refused as error:
                if error.slug == "unknown-pilot":
                    self.register()
                    return False
                say(f"the end of {lease} does not count: {error}")
                counted = False
            except Unreachable as error:
                say(f"the server does not answer: {error}")
                return False
            self._agent.acknowledged(lease, counted=counted)
        return True

    def _tell_progress(self, wire: Wire) -> bool:
        agent = self._agent
        with agent.lock:
            began = list(agent.untold)
            kept = agent.kept[:MOST_NEWS]
            payloads: list[Json] = [{"lease": lease} for lease in began] + kept
            read: dict[str, int] = {}
            for lease, start in agent.logs.items():
                text, at = agent.spool.output(lease, start)
                if text:
                    payloads.append({"lease": lease, "log": text, "logFrom": at})
                    read[lease] = at + len(text.encode())
        if not payloads:
            return True
        if not self._call(wire, "progress", {"payloads": payloads}):
            return False
        with agent.lock:
            agent.untold.difference_update(began)
            del agent.kept[: len(kept)]
            agent.logs.update({lease: end for lease, end in read.items() if lease in agent.logs})
        return True

    def _tell_drain(self, wire: Wire) -> bool:
        if self._agent.draining and not self._drain_told:
            self._drain_told = self._call(wire, "drain", None)
            return self._drain_told
        return True

    def _call(self, wire: Wire, verb: str, body: Json | None, wait_s: float = 0.0) -> bool:
        """Call, and take in what the server says; False where it does not answer, or did not know this pilot."""
        try:
            answer = wire.call(of(self._agent.name, verb), body, wait_s)
        except Unreachable as error:
            say(f"the server does not answer: {error}")
        except Refused as error:
            if self._agent.finished.is_set():
                return False  # it has said goodbye
            say(f"the server refuses: {error}")
            if error.slug == "unknown-pilot":
                self.register()
            else:
                self._agent.finished.wait(random.uniform(1.0, 3.0))
        else:
            self._lease_s = float(answer["leaseSeconds"])
            try:
                self._agent.accept(answer)
            except OSError as error:
                # What the spool does not take is not ours: the server tells it again, until its lease is void.
                say(f"the spool cannot be written: {error}")
                self._agent.finished.wait(LONGEST_PAUSE_S)
                return False
            return True
        return False


def _without_reason(result: Json) -> Json:
    return {name: value for name, value in result.items() if name not in ("reason", "message", "ownFault")}
