"""Two clusters to try things on: ``python -m tests.servers.demo``, until Ctrl-C."""

from __future__ import annotations

import signal
import threading
import time

from tests.servers.build_kubernetes import build_if_needed
from tests.servers.fixtures import start_pair


def main() -> None:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    binaries = build_if_needed()
    start = time.monotonic()
    print("starting two control planes ...", flush=True)
    pair = start_pair()
    try:
        print(f"ready after {time.monotonic() - start:.0f} s\n")
        for cluster in pair:
            print(f"{cluster.name}: {cluster.plane.url}")
            for node in cluster.kubelet.kubelet.nodes.values():
                print(f"    {node.name}: {', '.join(f'{v} {k}' for k, v in node.capacity.items())}")
            print(f"    kubeconfig (admin):      {cluster.plane.kubeconfig}")
            print(f"    kubeconfig (no rights):  {cluster.plane.kubeconfig_for('stranger')}")
            print(f"    logs:                    {cluster.plane.directory}/*.log\n")
        print(f"kubectl: {binaries.directory / 'kubectl'}")
        print("Ctrl-C ends both and removes their data.", flush=True)
        stop.wait()
    finally:
        for cluster in pair:
            cluster.stop()


if __name__ == "__main__":
    main()
