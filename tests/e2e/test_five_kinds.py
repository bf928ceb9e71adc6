"""One daemon over Kubernetes, HTCondor, Slurm, a free pilot and local processes, and one file for all of them.

The API server, the pool and the Slurm are real; the pretended nodes of Kubernetes execute the commands of their pods
as processes of this machine.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.federator_process import Federator, kubernetes, local, named, until
from tests.e2e.pilot_process import PilotProcess, grid, pilot_token
from tests.e2e.test_htcondor import pool
from tests.e2e.test_slurm import hpc
from tests.servers.control_plane import ControlPlane
from tests.servers.fake_node import fake_nodes
from tests.servers.fixtures import htcondor_pool, slurm, start_cluster
from tests.servers.htcondor import Pool
from tests.servers.processes import free_port, temporary_directory
from tests.servers.slurm import Slurm

__all__ = ["htcondor_pool", "slurm"]
pytestmark = [pytest.mark.real, pytest.mark.timeout(420)]

KINDS = ("kube", "cern", "hpc", "grid", "desk")
PAYLOAD = Path(__file__).parent / "payload.py"


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that every kind of cluster sees, whoever its payloads run as."""
    folder = temporary_directory("shared")
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def federation(
    federator: Federator, htcondor_pool: Pool, slurm: Slurm, shared: Path, tmp_path: Path
) -> Iterator[Federator]:
    """The daemon over all five; it leaves nothing behind."""
    cluster = start_cluster(ControlPlane("kube"), fake_nodes("kube", 2, executes=True))
    port = free_port()
    pilots = {"url": f"http://127.0.0.1:{port}", "tokenFile": "token-cern", "requests": {"cpu": 2, "memory": "1Gi"}}
    pilots |= {"idle": "20s", "margin": "0s", "imagesAsProcesses": True}
    cluster.plane.new_namespace("five")
    federator.write(
        [
            kubernetes("kube", cluster.plane.kubeconfig, "five"),
            pool(htcondor_pool, pilots=pilots),
            hpc(slurm, slurm.shared()),
            grid(lease="10s"),
            local("desk", 4),
        ],
        listen={"port": port},
        federation="five",
    )
    federator.start()
    pilot_token(federator, "cern")
    pilot = PilotProcess(tmp_path, "free", f"http://127.0.0.1:{port}", pilot_token(federator))
    pilot.start()
    yield federator
    pilot.clean_up()
    federator.clean_up()
    htcondor_pool.remove("true")
    slurm.clear()
    cluster.stop()


def workload_file(federator: Federator, shared: Path, replicas: int) -> Path:
    """The one file: replicas that write what they see, and one that ends with exit code 7."""
    container = {
        "image": "registry.example.org/tool:1",
        "command": ["/usr/bin/python3", str(PAYLOAD)],
        "args": ["two words", 'it\'s "quoted"', "$HOME", "$(GREETING)", "$$(GREETING)", "$(NOBODY)", "", "a,b;c\\n*"],
        "env": {"GREETING": "grüß dich, it's $5", "NAMED": "$(FEDERATOR_WORKLOAD) says $(GREETING)"},
        "workingDir": str(shared),
    }
    common = {"requests": {"cpu": "1", "memory": "128Mi"}, "retries": 0}
    fails = {"image": container["image"], "command": ["/bin/sh", "-c", "exit 7"]}
    reco = named("Workload", "reco", {"replicas": replicas, "container": container, **common})
    return federator.write_file("reco.yaml", [reco, named("Workload", "bad", {"container": fails, **common})])


def run(federator: Federator, shared: Path, path: Path, policy: dict[str, Any]) -> str:
    """Hand the file in under a policy; what all replicas wrote in the end."""
    where = shared / "where"
    shutil.rmtree(where, ignore_errors=True)
    where.mkdir()
    where.chmod(0o777)
    for one in shared.glob("result.*"):
        one.unlink()
    document = federator.write_file("policy.yaml", [named("PlacementPolicy", "where", policy)])
    federator.cli("apply", "-f", str(document))
    federator.cli("submit", "-f", str(path))
    ended = federator.wait_for("reco", lambda w: w["state"] in ("finished", "failed"))
    assert (ended["state"], ended["finished"]) == ("finished", ended["replicas"]), (policy, ended)
    federator.wait_for("bad", lambda w: w["state"] == "failed")
    return "".join(path.read_text() for path in sorted(shared.glob("result.[0-9]")))


def exit_code(federator: Federator) -> object:
    """How ``bad`` ended, as its history says."""
    items = federator.http("/api/v1/workloads/bad/history")["items"]
    return next(item["details"]["exit_code"] for item in items if "exit_code" in item["details"])


def test_one_file_gives_one_result_on_five_kinds_of_clusters(federation: Federator, shared: Path) -> None:
    """A policy sends it to each in its turn. Words, variables, folder, umask, output and exit code are the same."""
    path = workload_file(federation, shared, 4)
    told: dict[str, str] = {}
    for kind in KINDS:
        told[kind] = run(federation, shared, path, {"tiers": [{"name": "only", "clusters": [kind]}]})
        assert {one.read_text() for one in shared.glob("where/*")} == {kind}
        assert exit_code(federation) == 7, kind
        assert federation.cli("logs", "reco", "--replica", "0") == "replica 0 says grüß dich, it's $5\n", kind
        for name in ("reco", "bad"):
            federation.cli("delete", "workload", name)
            until(lambda name=name: federation.workload(name) is None, f"{name} to be gone", federation.tail)
    assert len(set(told.values())) == 1, "\n\n".join(f"{kind}:\n{text}" for kind, text in told.items())
    seen = [json.loads(line) for line in told["kube"].splitlines()]
    assert [one["index"] for one in seen] == ["0", "1", "2", "3"]
    assert seen[0]["words"][3:6] == ["grüß dich, it's $5", "$(GREETING)", "$(NOBODY)"]
    assert seen[0]["variables"]["NAMED"] == "reco says grüß dich, it's $5"
    assert (seen[0]["folder"], seen[0]["umask"], seen[0]["input"]) == (str(shared), "0o22", "")

    # And all of them at once: ten replicas, two on each.
    ten = workload_file(federation, shared, 10)
    text = run(federation, shared, ten, {"clusters": {"*": {"min": 2, "max": 2}}})
    where = Counter(one.read_text() for one in shared.glob("where/*"))
    assert where == dict.fromkeys(KINDS, 2)
    assert [json.loads(line)["index"] for line in text.splitlines()] == [str(index) for index in range(10)]
