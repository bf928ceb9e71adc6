"""What this worker node offers: asked of the batch system first, then of the cgroup, then of the machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from federator.pilot.settings import Settings

GPU = "nvidia.com/gpu"
ASK_S = 10.0
MIB = 1 << 20
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@dataclass(frozen=True)
class Node:
    """Cores, bytes, GPUs (their ids as CUDA_VISIBLE_DEVICES has them), seconds left (None: nobody knows), runtimes."""

    cpu: float
    memory_bytes: int
    gpus: tuple[str, ...]
    lifetime_s: float | None
    runtimes: tuple[str, ...]

    @property
    def resources(self) -> dict[str, float]:
        """As pilots tell it."""
        gpus = {GPU: float(len(self.gpus))} if self.gpus else {}
        return {"cpu": self.cpu, "memory": float(self.memory_bytes), **gpus}


def find(settings: Settings, env: Mapping[str, str] | None = None, root: Path = Path("/")) -> Node:
    """What this pilot offers. ``root``: where /proc and /sys are."""
    env = os.environ if env is None else env
    ad = machine_ad(env)
    cpus = [len(os.sched_getaffinity(0)), _of_ad(ad, "Cpus"), _slurm_cpus(env), _cgroup_cpus(root)]
    memory = [_machine_memory(root), _of_ad(ad, "Memory", MIB), _slurm_memory(env), _cgroup_memory(root)]
    gpus = assigned_gpus(ad, env)
    if settings.gpus is not None:
        gpus = (gpus or tuple(map(str, range(settings.gpus))))[: settings.gpus]
    return Node(
        cpu=settings.cpu or min(float(one) for one in cpus if one),
        memory_bytes=settings.memory_bytes or min(int(one) for one in memory if one),
        gpus=gpus,
        lifetime_s=lifetime_s(env) if settings.lifetime_s is None else settings.lifetime_s,
        runtimes=settings.runtimes or ("process", *(one for one in ("apptainer", "podman") if shutil.which(one))),
    )


def machine_ad(env: Mapping[str, str]) -> dict[str, str]:
    """The slot that HTCondor gave: ``Name = Value`` lines of the file in _CONDOR_MACHINE_AD."""
    path = env.get("_CONDOR_MACHINE_AD")
    if not path:
        return {}
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines)
    return {name.strip().lower(): value.strip().strip('"') for name, equals, value in pairs if equals}


def assigned_gpus(ad: Mapping[str, str], env: Mapping[str, str]) -> tuple[str, ...]:
    """The GPUs of this slot; those of the whole machine where no batch system divides it."""
    for told in (ad.get("assignedgpus"), env.get("CUDA_VISIBLE_DEVICES"), env.get("SLURM_JOB_GPUS")):
        if told is not None:
            return tuple(one for one in re.split(r"[,\s]+", told) if one and one.lower() not in ("nodevfiles", "none"))
    if ad or "SLURM_JOB_ID" in env or not (smi := shutil.which("nvidia-smi")):
        return ()
    try:
        asked = subprocess.run([smi, "-L"], capture_output=True, text=True, timeout=ASK_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(re.findall(r"^GPU (\d+):", asked.stdout, re.MULTILINE)) if asked.returncode == 0 else ()


def lifetime_s(env: Mapping[str, str]) -> float | None:
    """How long the batch system lets this slot live."""
    if end := env.get("SLURM_JOB_END_TIME"):
        return max(0.0, float(end) - time.time())
    return None


def _of_ad(ad: Mapping[str, str], name: str, unit: int = 1) -> float | None:
    text = ad.get(name.lower(), "")
    return float(text) * unit if re.fullmatch(r"\d+(\.\d+)?", text) else None


def _slurm_cpus(env: Mapping[str, str]) -> float | None:
    text = env.get("SLURM_CPUS_ON_NODE", "")
    return float(text) if text.isdigit() else None


def _slurm_memory(env: Mapping[str, str]) -> int | None:
    """SLURM_MEM_PER_NODE is in MiB; 0 means all of the node."""
    text = env.get("SLURM_MEM_PER_NODE", "")
    if found := re.fullmatch(r"(\d+)([KMGT]?)", text):
        return int(found[1]) * UNITS[found[2] or "M"] or None
    per_cpu, cpus = env.get("SLURM_MEM_PER_CPU", ""), _slurm_cpus(env)
    return int(int(per_cpu) * MIB * cpus) if per_cpu.isdigit() and cpus else None


def _machine_memory(root: Path) -> int:
    found = re.search(r"^MemTotal:\s+(\d+) kB", (root / "proc/meminfo").read_text(encoding="ascii"), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _cgroups(root: Path) -> list[Path]:
    """The cgroups (version 2) of this process, from its own up to the root."""
    text = _read(root / "proc/self/cgroup") or ""
    found = re.search(r"^0::/(.*)$", text, re.MULTILINE)
    if not found:
        return []
    top = root / "sys/fs/cgroup"
    own = top / found[1].strip("/")
    return [own, *(parent for parent in own.parents if parent == top or top in parent.parents)]


def _cgroup_cpus(root: Path) -> float | None:
    limits = [text.split() for group in _cgroups(root) if (text := _read(group / "cpu.max"))]
    return min((float(quota) / float(period) for quota, period in limits if quota != "max"), default=None)


def _cgroup_memory(root: Path) -> int | None:
    limits = [text.strip() for group in _cgroups(root) if (text := _read(group / "memory.max"))]
    return min((int(limit) for limit in limits if limit.isdigit()), default=None)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return None
