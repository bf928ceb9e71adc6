"""What is executed for a grant: a plain process, or the command line of Apptainer or Podman. Pure.

The same command, environment, working directory and exit code whichever it is.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from federator.expansion import CHECKPOINT_DIR, environment, expand
from federator.pilot.resources import GPU

Json = Mapping[str, Any]
MARKER = "FEDERATOR_PILOT_SPOOL"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INSIDE = "/work"
"""Where a payload's own folder is in a container."""
INSIDE_KEPT = "/checkpoint"
"""Where it writes there what is kept."""
FIRST = "container.pid"
"""Beside a payload's own folder: the first process of its container (Podman writes it)."""


class CannotRun(Exception):
    """This pilot cannot run the grant; the words say why."""


@dataclass(frozen=True)
class Command:
    """``new_privileges``: whether the program itself may gain them (the container runtimes must; they take them from
    what they start). ``container``: what Podman calls what it starts. ``first``: the file in which it tells
    the first process of that, which is no child of its own."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    new_privileges: bool = False
    container: str = ""
    first: Path | None = None


def command_for(
    grant: Json,
    runtimes: Sequence[str],
    work: Path,
    spool: Path,
    gpus: Sequence[str],
    outside: Mapping[str, str],
    kept: Path | None = None,
) -> Command:
    """What to execute. ``outside``: the pilot's own environment, of which only container runtimes see a little.
    ``kept``: where it writes checkpoints, if they are kept.

    Raises CannotRun.
    """
    as_process = grant["runtime"] == "process"
    own = _own(grant, spool, gpus)
    if kept is not None:
        own[CHECKPOINT_DIR] = str(kept) if as_process else INSIDE_KEPT
    env = environment(own, grant["env"])
    if as_process:
        return _process(grant, env, work)
    on_disk = grant["image"].startswith("/")
    if "apptainer" in runtimes:
        return _apptainer(grant, env, _folders(work, kept), gpus, _for_runtimes(outside))
    if "podman" in runtimes and not on_disk:
        return _podman(grant, env, _folders(work, kept), gpus, _for_runtimes(outside))
    raise CannotRun(f"the image {grant['image']!r} cannot be run here; this pilot has: {', '.join(runtimes)}")


def _folders(work: Path, kept: Path | None) -> dict[Path, str]:
    """What a container sees of this node, and where."""
    return {work: INSIDE} if kept is None else {work: INSIDE, kept: INSIDE_KEPT}


def _for_runtimes(outside: Mapping[str, str]) -> dict[str, str]:
    """Where a container runtime finds its programs, its settings and its cache."""
    names = ("PATH", "HOME", "TMPDIR", "XDG_RUNTIME_DIR")
    prefixes = ("APPTAINER_", "SINGULARITY_", "CONTAINERS_")
    return {name: value for name, value in outside.items() if name in names or name.startswith(prefixes)}


def _own(grant: Json, spool: Path, gpus: Sequence[str]) -> dict[str, str]:
    """The variables that are ours: no user's variable can stand in their place."""
    return {
        "FEDERATOR_WORKLOAD": grant["workload"],
        "FEDERATOR_INTENT": grant["intent"],
        "FEDERATOR_CLUSTER": grant.get("cluster", ""),
        "FEDERATOR_REPLICA_INDEX": str(grant["index"]),
        MARKER: str(spool),
        "CUDA_VISIBLE_DEVICES": ",".join(gpus),
    }


def _words(grant: Json, env: Mapping[str, str], key: str) -> list[str]:
    return [expand(word, env) for word in grant[key]]


def _process(grant: Json, env: dict[str, str], work: Path) -> Command:
    env = {"PATH": PATH, "HOME": str(work), "LANG": "C.UTF-8", "TMPDIR": str(work), **env}
    argv = (*_words(grant, env, "command"), *_words(grant, env, "args"))
    if not argv:
        raise CannotRun("there is no command to run as a process")
    return Command(argv, env, str(work / grant["workingDir"]))


def _apptainer(
    grant: Json, env: dict[str, str], folders: Mapping[Path, str], gpus: Sequence[str], outside: dict[str, str]
) -> Command:
    work = next(iter(folders))
    words = [*_words(grant, env, "command"), *_words(grant, env, "args")]
    options = ["--containall", "--no-privs", "--workdir", str(work.parent)]
    options += [part for here, inside in folders.items() for part in ("--bind", f"{here}:{inside}")]
    options += ["--pwd", _directory(grant), *(["--nv"] if gpus else [])]
    # By the environment and not by --env, which would take a comma for the end of a value; and no shell looks for $
    # in values.
    told = {"APPTAINER_NO_EVAL": "1", **{f"APPTAINERENV_{name}": value for name, value in env.items()}}
    argv = ("apptainer", "--quiet", "exec" if grant["command"] else "run", *options, _source(grant["image"]), *words)
    return Command(argv, {**outside, MARKER: env[MARKER], **told}, str(work), new_privileges=True)


def _podman(
    grant: Json, env: dict[str, str], folders: Mapping[Path, str], gpus: Sequence[str], outside: dict[str, str]
) -> Command:
    """As Apptainer runs it: as the pilot's own user (0 inside), whatever user the image names, so that it can write its
    folders; in the network of the node, which needs no plugins; with what it writes kept in our log alone."""
    work = next(iter(folders))
    name, first = container_name(grant["lease"]), work.parent / FIRST
    options = ["--rm", "--quiet", "--name", name, "--pidfile", str(first), "--log-driver", "none"]
    options += ["--security-opt", "no-new-privileges", "--cap-drop", "all", "--user", "0:0", "--network", "host"]
    options += ["--workdir", _directory(grant)]
    options += [part for here, inside in folders.items() for part in ("--volume", f"{here}:{inside}")]
    options += [part for key, value in env.items() for part in ("--env", f"{key}={value}")]
    options += [part for gpu in gpus for part in ("--device", f"{GPU}={gpu}")]
    if grant["command"]:
        options += ["--entrypoint", json.dumps(_words(grant, env, "command"))]
    argv = ("podman", "run", *options, _source(grant["image"]), *_words(grant, env, "args"))
    outside = {**outside, MARKER: env[MARKER]}
    return Command(argv, outside, str(work), new_privileges=True, container=name, first=first)


def _source(image: str) -> str:
    """Where an image is. As written in Kubernetes it is in a registry, Docker's if none is named."""
    written_out = image.startswith("/") or re.match(r"[a-z-]+:(//|/|\.)", image)
    return image if written_out else f"docker://{image}"


def _directory(grant: Json) -> str:
    """Where it starts in a container; a relative one is below its own folder."""
    return posixpath.normpath(posixpath.join(INSIDE, grant["workingDir"]))


def container_name(lease: str) -> str:
    """What Podman calls the container of a lease."""
    return f"federator-{lease}"
