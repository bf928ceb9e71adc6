"""Podman from Debian, unpacked into the cache; nothing is installed, and no container of another Podman is touched.

What it has and runs is in a folder that is given (but for what it remembers of blobs, for root always below
/var/lib/containers/cache): images as whole copies (driver vfs), no cgroups, no network of its own, events in a file.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.servers.apptainer import small_image
from tests.servers.binaries import cache_directory, made_once
from tests.servers.elf import copy_libraries, find_patchelf
from tests.servers.private_apt import PrivateApt

WANTED = ("podman", "crun", "conmon", "golang-github-containers-common", "golang-github-containers-image")
LIBRARIES = (
    "libassuan0", "libcap2", "libdevmapper1.02.1", "libgcrypt20", "libglib2.0-0", "libgpg-error0", "libgpgme11",
    "liblz4-1", "liblzma5", "libpcre2-8-0", "libseccomp2", "libselinux1", "libsubid4", "libsystemd0", "libudev1",
    "libyajl2", "libzstd1",
)  # fmt: skip
"""What they need and a small machine may lack."""
PROGRAMS = ("podman", "crun", "conmon")
START = """#!/bin/sh
# crun refuses a machine that has controllers in both versions of cgroups, so it is shown one of them.
if grep -qs . /sys/fs/cgroup/unified/cgroup.controllers; then
    exec unshare --mount sh -c 'umount /sys/fs/cgroup/unified && exec "$0" "$@"' {podman} "$@"
fi
exec {podman} "$@"
"""
CONTAINERS = """
[containers]
cgroups = "disabled"
default_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]
seccomp_profile = "{tree}/seccomp.json"
[network]
network_backend = "cni"
network_config_dir = "{folder}/networks"
[engine]
runtime = "crun"
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
tmp_dir = "{folder}/tmp"
conmon_path = ["{tree}/libexec/conmon"]
[engine.runtimes]
crun = ["{tree}/libexec/crun"]
"""
STORAGE = """
[storage]
driver = "vfs"
graphroot = "{folder}/graph"
runroot = "{folder}/run"
"""


@dataclass(frozen=True)
class Podman:
    """``directory``: what is in the cache."""

    directory: Path

    @property
    def image(self) -> Path:
        """An unpacked tree with a busybox."""
        return self.directory / "image"

    def settle(self, folder: Path) -> dict[str, str]:
        """Let it live in a folder; returns the variables of whoever calls ``podman``. PATH is to be put before."""
        home = folder / "home"
        (home / ".config/containers").mkdir(parents=True)
        shutil.copy(self.directory / "policy.json", home / ".config/containers")
        words = {"tree": str(self.directory), "folder": str(folder), **_limits()}
        for name, text in (("containers.conf", CONTAINERS), ("storage.conf", STORAGE)):
            (folder / name).write_text(text.format(**words))
        return {
            "PATH": str(self.directory / "bin"),
            "HOME": str(home),
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
        }


def find_podman() -> Podman:
    """From the cache, or from Debian. Raises AptFailed."""
    return Podman(made_once(cache_directory() / "podman-1", _make))


def _make(made: Path, final: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        apt, tree = PrivateApt(Path(folder) / "apt"), Path(folder) / "tree"
        apt.update()
        apt.extract([*WANTED, *LIBRARIES, "busybox-static"], tree)
        patchelf = find_patchelf(Path(folder) / "host")
        copy_libraries(tree, made / "lib")
        (made / "libexec").mkdir()
        for name in PROGRAMS:
            shutil.copy(tree / "usr/bin" / name, made / "libexec")
        for path in [*(made / "libexec").iterdir(), *(made / "lib").iterdir()]:
            words = ["--force-rpath", "--set-rpath", str(final / "lib")]
            subprocess.run([patchelf, *words, str(path)], check=True)
        shutil.copy(tree / "usr/share/containers/seccomp.json", made)
        shutil.copy(tree / "etc/containers/policy.json", made)
        small_image(made / "image", tree / "bin/busybox")
    (made / "bin").mkdir()
    script = made / "bin/podman"
    script.write_text(START.format(podman=final / "libexec/podman"))
    script.chmod(0o755)


def _limits() -> dict[str, str]:
    """What a root without all rights may set for others; Podman allows itself no more processes than there are ids."""
    files, processes = (resource.getrlimit(one)[1] for one in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC))
    ids = int(Path("/proc/sys/kernel/pid_max").read_text())
    return {"files": str(files), "processes": str(ids if processes < 0 else min(ids, processes))}


def packed(tree: Path, archive: Path) -> Path:
    """An unpacked tree as a tar file, as ``podman import`` takes it."""
    with tarfile.open(archive, "w") as file:
        file.add(tree, arcname=".")
    return archive


def import_image(archive: Path, name: str, changes: Sequence[str] = ()) -> None:
    """Make an image of a tar file by the Podman that is in PATH; ``changes`` as in a Dockerfile."""
    options = [word for change in changes for word in ("--change", change)]
    subprocess.run(["podman", "import", "--quiet", *options, str(archive), name], check=True)
