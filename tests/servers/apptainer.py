"""Apptainer from a newer Debian, unpacked into the cache and run in a root of its own; and a small image for it."""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.servers.binaries import cache_directory, made_once
from tests.servers.private_apt import PrivateApt

SUITE = "sid"
WANTED = ("apptainer", "squashfs-tools", "squashfuse", "fuse-overlayfs", "uidmap")
TOOLS = ("bash", "coreutils", "libattr1", "libgmp10", "libtinfo6")
"""What its scripts call, and that needs."""
UNWANTED = re.compile(r"ca-certificates|.*debconf|(libdebian|libnewt|libtextwrap|libslang|openssl).*|.*networking.*")
APPLETS = ("sh", "echo", "grep", "cat", "id", "ls", "env", "sleep", "touch")


@dataclass(frozen=True)
class Apptainer:
    """``programs``: a directory for PATH that has ``apptainer``. ``image``: an unpacked tree with a busybox."""

    programs: Path
    image: Path


def find_apptainer() -> Apptainer:
    """From the cache, or from Debian. Raises AptFailed."""
    directory = made_once(cache_directory() / "apptainer-1", _make)
    return Apptainer(directory / "bin", directory / "image")


def _make(made: Path, final: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        apt = PrivateApt(Path(folder), suite=SUITE)
        apt.update()
        apt.extract([*_needed(apt), *TOOLS], made / "tree")
        apt.extract(["busybox-static"], Path(folder) / "busybox")
        small_image(made / "image", next((Path(folder) / "busybox").rglob("bin/busybox")))
    if shutil.which("bwrap") is None:
        with tempfile.TemporaryDirectory() as folder:
            host = PrivateApt(Path(folder), host_status=True)
            host.update()
            host.install(["bubblewrap"])
    _root(made / "tree")
    (made / "bin").mkdir()
    script = made / "bin" / "apptainer"
    binds = "--dev-bind /dev /dev --bind /proc /proc --bind /sys /sys --bind /tmp /tmp --bind /root /root"
    images = f"--ro-bind {final}/image /image"
    script.write_text(f'#!/bin/sh\nexec bwrap --bind {final}/tree / {binds} {images} --chdir "$PWD" apptainer "$@"\n')
    script.chmod(0o755)


def _needed(apt: PrivateApt) -> list[str]:
    """The packages and what they depend on, by the names that the suite has now."""
    return sorted(name for name in apt.dependencies(WANTED) if not UNWANTED.fullmatch(name))


def _root(tree: Path) -> None:
    """Make the tree one that programs can have as their root."""
    for name in ("bin", "sbin", "lib", "lib64"):
        if not (tree / name).exists():
            (tree / name).symlink_to(f"usr/{name}")
    for name in ("proc", "dev", "sys", "tmp", "root", "run", "home", "image"):
        (tree / name).mkdir(exist_ok=True)
    for name in ("passwd", "group", "hosts", "resolv.conf", "nsswitch.conf", "localtime"):
        if (source := Path("/etc") / name).exists():
            shutil.copy(source, tree / "etc" / name)
    settings = tree / "etc/apptainer/apptainer.conf"
    text = settings.read_text().replace("root default capabilities = full", "root default capabilities = no")
    settings.write_text(text)


def small_image(image: Path, busybox: Path) -> None:
    """A tree as one finds it on CVMFS: a busybox, and the places that containers have."""
    for name in ("bin", "dev", "etc", "home", "proc", "root", "sys", "tmp", "usr/bin", "var/tmp", "work"):
        (image / name).mkdir(parents=True)
    shutil.copy(busybox, image / "bin/busybox")
    for name in APPLETS:
        (image / "bin" / name).symlink_to("busybox")
    (image / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (image / "etc/group").write_text("root:x:0:\n")
    for name in ("hosts", "localtime", "resolv.conf"):
        (image / "etc" / name).touch()
