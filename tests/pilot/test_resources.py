"""What a worker node offers, as batch systems and cgroups tell it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from federator.pilot.resources import assigned_gpus, find, machine_ad
from federator.pilot.settings import Settings

# What a startd writes into the file that _CONDOR_MACHINE_AD names.
AD = """
Activity = "Busy"
AssignedGPUs = "GPU-6e5a1f1c,GPU-0c2b7d11"
Cpus = 3
Memory = 6144
Name = "slot1_1@node.example.org"
TotalCpus = 64.0
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine of 64 GiB with the cgroups of a container of 2.5 cores and 8 GiB."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal:       67108864 kB\nMemFree: 1 kB\n")
    (tmp_path / "proc/self/cgroup").write_text("0::/slice/job\n")
    group = tmp_path / "sys/fs/cgroup/slice/job"
    group.mkdir(parents=True)
    (group / "cpu.max").write_text("max 100000\n")
    (group / "memory.max").write_text(f"{8 << 30}\n")
    (group.parent / "cpu.max").write_text("250000 100000\n")
    (group.parent / "memory.max").write_text("max\n")
    return tmp_path


def settings(**more: object) -> Settings:
    return Settings("http://localhost", "token", Path("/nowhere"), **more)  # type: ignore[arg-type]


def test_the_tightest_cgroup_on_the_way_to_the_root_counts(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)))
    node = find(settings(), {}, root)
    assert (node.cpu, node.memory_bytes) == (2.5, 8 << 30)
    assert node.lifetime_s is None


def test_a_condor_slot_is_what_its_ad_says(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)))
    (root / "sys/fs/cgroup/slice/cpu.max").write_text("max 100000\n")
    ad = tmp_path / "machine.ad"
    ad.write_text(AD)
    node = find(settings(), {"_CONDOR_MACHINE_AD": str(ad)}, root)
    assert (node.cpu, node.memory_bytes) == (3.0, 6144 << 20)
    assert node.gpus == ("GPU-6e5a1f1c", "GPU-0c2b7d11")
    assert node.resources["nvidia.com/gpu"] == 2.0


def test_a_slurm_job_is_what_its_variables_say(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)))
    env = {"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "2", "SLURM_MEM_PER_NODE": "4096", "SLURM_JOB_GPUS": "0,3"}
    env["SLURM_JOB_END_TIME"] = str(int(time.time()) + 3600)
    node = find(settings(), env, root)
    assert (node.cpu, node.memory_bytes, node.gpus) == (2.0, 4096 << 20, ("0", "3"))
    assert node.lifetime_s is not None
    assert 3500 < node.lifetime_s <= 3600


def test_what_is_said_on_the_command_line_wins(root: Path) -> None:
    node = find(settings(cpu=1.0, memory_bytes=5, gpus=1, lifetime_s=9.0, runtimes=("podman",)), {}, root)
    assert (node.cpu, node.memory_bytes, node.gpus, node.lifetime_s) == (1.0, 5, ("0",), 9.0)
    assert node.runtimes == ("podman",)


def test_no_gpus_were_assigned_where_the_batch_system_says_so() -> None:
    assert assigned_gpus({}, {"CUDA_VISIBLE_DEVICES": "NoDevFiles"}) == ()
    assert assigned_gpus({"cpus": "1"}, {}) == ()
    assert machine_ad({"_CONDOR_MACHINE_AD": "/nowhere"}) == {}
