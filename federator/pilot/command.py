"""What is executed for a grant: a plain process, or the command line of Apptainer or Podman. Pure.

The same command, environment, working directory and exit code whichever it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from federator.expansion import environment, expand
from federator.pilot.resources import GPU

Json = Mapping[str, Any]
MARKER = "FEDERATOR_PILOT_SPOOL"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INSIDE = "/work"
"""Where a payload's own folder is in a container."""


class CannotRun(Exception):
    """This pilot cannot run the grant; the words say why."""


@dataclass(frozen=True)
class Command:
    """``new_privileges``: whether the program itself may gain them (the container runtimes must; they take them from
    what they start)."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    new_privileges: bool = False


def command_for(
    grant: Json, runtimes: Sequence[str], work: Path, spool: Path, gpus: Sequence[str], outside: Mapping[str, str]
) -> Command:
    """What to execute. ``outside``: the pilot's own environment, of which only container runtimes see a little.

    Raises CannotRun.
    """
    env = environment(_own(grant, spool, gpus), grant["env"])
    if grant["runtime"] == "process":
        return _process(grant, env, work)
    on_disk = grant["image"].startswith("/")
    if "apptainer" in runtimes:
        return _apptainer(grant, env, work, gpus, _for_runtimes(outside))
    if "podman" in runtimes and not on_disk:
        return _podman(grant, env, work, gpus, _for_runtimes(outside))
    raise CannotRun(f"the image {grant['image']!r} cannot be run here; this pilot has: {', '.join(runtimes)}")


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


def _apptainer(grant: Json, env: dict[str, str], work: Path, gpus: Sequence[str], outside: dict[str, str]) -> Command:
    image = grant["image"]
    if not image.startswith("/") and not re.match(r"[a-z-]+:(//|/|\.)", image):
        image = f"docker://{image}"
    words = [*_words(grant, env, "command"), *_words(grant, env, "args")]
    options = ["--containall", "--no-privs", "--workdir", str(work.parent), "--bind", f"{work}:{INSIDE}"]
    options += ["--pwd", grant["workingDir"] or INSIDE, *(["--nv"] if gpus else [])]
    # By the environment and not by --env, which would take a comma for the end of a value.
    told = {f"APPTAINERENV_{name}": value for name, value in env.items()}
    argv = ("apptainer", "--quiet", "exec" if grant["command"] else "run", *options, image, *words)
    return Command(argv, {**outside, MARKER: env[MARKER], **told}, str(work), new_privileges=True)


def _podman(grant: Json, env: dict[str, str], work: Path, gpus: Sequence[str], outside: dict[str, str]) -> Command:
    options = ["--rm", "--name", container_name(grant["lease"]), "--security-opt", "no-new-privileges"]
    options += ["--cap-drop", "all", "--volume", f"{work}:{INSIDE}", "--workdir", grant["workingDir"] or INSIDE]
    for name, value in env.items():
        options += ["--env", f"{name}={value}"]
    if gpus:
        options += [part for gpu in gpus for part in ("--device", f"{GPU}={gpu}")]
    if grant["command"]:
        options += ["--entrypoint", json.dumps(_words(grant, env, "command"))]
    argv = ("podman", "run", *options, grant["image"], *_words(grant, env, "args"))
    return Command(argv, {**outside, MARKER: env[MARKER]}, str(work), new_privileges=True)


def container_name(lease: str) -> str:
    """What Podman calls the container of a lease."""
    return f"federator-{lease}"
