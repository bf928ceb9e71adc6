"""Builds a Kubernetes control plane from Debian's source package, once per machine.

    python -m tests.servers.build_kubernetes

Debian ships the source of the server but not the server. This takes about five
minutes on two cores and 2 GB of disk while it runs, keeps 210 MB in the cache,
needs neither root nor a compiler, and installs nothing on the host.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.binaries import (
    BUILT_VERSION,
    KubernetesBinaries,
    ServersMissing,
    cache_directory,
    find_kubernetes,
    missing_from,
)
from tests.servers.private_apt import PrivateApt, run

PACKAGES = (
    "golang-1.19-go",
    "golang-1.19-src",
    "etcd-server",
    "kubernetes-client",
    "golang-github-modern-go-reflect2-dev",
    "patch",
)
SERVERS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
# The generator of the API description must not look at its own tools and examples.
NOT_DESCRIBED = re.compile(r"/(code-generator|sample-apiserver|kube-openapi|gengo|testdata)(/|$)")
REFLECT2 = "github.com/modern-go/reflect2"


def build_if_needed() -> KubernetesBinaries:
    """Find the programs or build them. Two callers at once build once: the other waits."""
    if os.environ.get("KUBEBUILDER_ASSETS"):
        return find_kubernetes()
    final = cache_directory() / f"kubernetes-{BUILT_VERSION}"
    final.parent.mkdir(parents=True, exist_ok=True)
    with _locked(Path(f"{final}.lock")):
        if missing_from(final):
            # Beside its final place, so that the last step is one rename.
            work = Path(tempfile.mkdtemp(prefix="build-", dir=final.parent))
            try:
                made = _build(work)
                shutil.rmtree(final, ignore_errors=True)
                made.rename(final)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return KubernetesBinaries(final)


def _build(work: Path) -> Path:
    with _step("the package lists"):
        apt = PrivateApt(work / "apt")
        apt.update()
    with _step("downloading the source and the Go compiler"):
        source_files = apt.source("kubernetes")
        apt.extract(PACKAGES, tools := work / "tools")
    with _step("unpacking and patching the source"):
        tree = _unpack(source_files, work, tools / "usr/bin/patch")
        _replace_reflect2(tree, tools)
    environment = _go_environment(work, tree, tools)
    go = str(tools / "usr/lib/go-1.19/bin/go")
    with _step("generating the API description"):
        _generate_openapi(go, tree, work, environment)
    out = work / "out"
    out.mkdir()
    with _step(f"compiling {', '.join(SERVERS)} (the long one, 4 minutes on 2 cores)"):
        run(
            [go, "build", "-p", "2", "-tags", "providerless,dockerless", "-trimpath", "-ldflags", _stamps(),
             "-o", f"{out}/", *(f"./cmd/{name}" for name in SERVERS)],
            cwd=tree, env=environment,
        )  # fmt: skip
    for name in ("etcd", "kubectl"):
        shutil.copy2(tools / "usr/bin" / name, out / name)
    if missing := missing_from(out):
        raise ServersMissing(f"the build ended without {', '.join(missing)}")
    return out


def _unpack(files: list[Path], work: Path, patch: Path) -> Path:
    """What ``dpkg-source -x`` does, in a few lines: it would need Perl and be installed for this alone."""
    for file in files:
        if re.search(r"\.(orig|debian)\.tar\.", file.name):
            with tarfile.open(file) as archive:
                if hasattr(tarfile, "tar_filter"):  # not yet in Python 3.11.2, which Debian 12 has
                    archive.extractall(work / "source", filter="tar")
                else:
                    archive.extractall(work / "source")
    tree = next((work / "source").glob("kubernetes-*"))
    patches = work / "source/debian/patches"
    for name in (patches / "series").read_text().split():
        run([str(patch), "-p1", "-i", str(patches / name)], cwd=tree)
    return tree


def _replace_reflect2(tree: Path, tools: Path) -> None:
    """The vendored one reads Go's old map layout: all builds, /readyz says ok, and every write panics."""
    shutil.rmtree(tree / "vendor" / REFLECT2)
    shutil.copytree(tools / "usr/share/gocode/src" / REFLECT2, tree / "vendor" / REFLECT2)


def _go_environment(work: Path, tree: Path, tools: Path) -> dict[str, str]:
    """No modules and no network: the vendored tree, linked where GOPATH expects it."""
    gopath = work / "go"
    (gopath / "src/k8s.io").mkdir(parents=True)
    (gopath / "src/k8s.io/kubernetes").symlink_to(tree)
    return {
        "PATH": f"{tools}/usr/lib/go-1.19/bin:/usr/bin:/bin",
        "HOME": str(work),
        "GOROOT": str(tools / "usr/lib/go-1.19"),
        "GOPATH": str(gopath),
        "GOCACHE": str(work / "go-cache"),
        "TMPDIR": str(work),
        "GO111MODULE": "off",
        "GOFLAGS": "",
        "GOPROXY": "off",
        "CGO_ENABLED": "0",
        # Go trusts PWD when it names the same directory; packages have names only below GOPATH.
        "PWD": str(gopath / "src/k8s.io/kubernetes"),
    }


def _generate_openapi(go: str, tree: Path, work: Path, environment: dict[str, str]) -> None:
    """The one generated file that the source package lacks."""
    generator = str(work / "openapi-gen")
    run([go, "build", "-o", generator, "./vendor/k8s.io/kube-openapi/cmd/openapi-gen"], tree, environment)
    marked = ",".join(f"k8s.io/kubernetes/{path}" for path in _described(tree))
    run(
        [generator, "-i", marked, "-p", "k8s.io/kubernetes/pkg/generated/openapi",
         "-O", "zz_generated.openapi", "-h", "vendor/k8s.io/code-generator/hack/boilerplate.go.txt",
         "-r", str(work / "violations"), "--output-base", f"{environment['GOPATH']}/src"],
        cwd=tree, env=environment,
    )  # fmt: skip


def _described(tree: Path) -> list[str]:
    """Directories whose Go files ask for a place in the API description."""
    found = set()
    for top in ("pkg", "cmd", "plugin", "vendor/k8s.io", "staging/src/k8s.io"):
        # vendor/k8s.io holds links into staging; glob does not follow links, so look behind each.
        for root in (tree / top).iterdir() if top == "vendor/k8s.io" else [tree / top]:
            if top.startswith("staging") or not root.is_dir():
                continue
            for directory, _, names in os.walk(f"{root}/"):
                relative = os.path.relpath(directory, tree)
                if NOT_DESCRIBED.search(f"/{relative}"):
                    continue
                sources = (Path(directory, name) for name in names if name.endswith(".go"))
                if any("+k8s:openapi-gen=" in path.read_text(errors="replace") for path in sources):
                    found.add(relative)
    return sorted(found)


def _stamps() -> str:
    major, minor, _ = BUILT_VERSION.split(".")
    facts = {"gitVersion": f"v{BUILT_VERSION}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "archive"}
    packages = ("component-base/version", "client-go/pkg/version")
    stamps = (f"-X k8s.io/kubernetes/vendor/k8s.io/{p}.{k}={v}" for p in packages for k, v in facts.items())
    return " ".join(["-s", "-w", *stamps])


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("another build is under way; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _step(what: str) -> Iterator[None]:
    _say(f"{what} ...")
    start = time.monotonic()
    yield
    _say(f"    done in {time.monotonic() - start:.0f} s")


def _say(text: str) -> None:
    print(f"[kubernetes {BUILT_VERSION}] {text}", file=sys.stderr, flush=True)


def main() -> None:
    start = time.monotonic()
    binaries = build_if_needed()
    _say(f"ready after {time.monotonic() - start:.0f} s")
    print(binaries.directory)


if __name__ == "__main__":
    main()
