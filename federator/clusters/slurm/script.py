"""The batch script of one array: what each task does around its replica. Pure.

Below ``DIRECTORY/INTENT`` a task keeps, by the index of its replica::

    claims/INDEX   a link to the array task that may run the replica: of two jobs for one replica (an answer of Slurm
                   was lost) the second finds it taken and ends without having run anything
    logs/INDEX     output and errors
    work/INDEX/    the replica's working directory
    ends/INDEX     exit status, began, ended: for ends that nobody saw before Slurm forgot them
    keep/INDEX/    where checkpoints are kept: the companion, and the folder that the payload writes to
    told/INDEX     what became of them

Whose checkpoints are kept runs under a companion, which dies with the payload's group and is told what that is told.
"""

from __future__ import annotations

import base64
import posixpath
import re
import shlex
from collections.abc import Mapping

from federator.clusters.companions import CHECK
from federator.expansion import CHECKPOINT_DIR, shell_environment, shell_word
from federator.model.intent import Container

_SHELL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_INDEX = "FEDERATOR_REPLICA_INDEX"
TOLD = "told"
"""The folder of an intent in which companions tell of checkpoints, by index."""
_INSIDE = "/checkpoint"
"""Where the folder of checkpoints is in a container, as under pilots."""
OVER_TIME = 124
"""The exit status of a replica that was stopped at its time limit."""
NOT_OURS, NO_FOLDER, GAVE_WAY = 75, 73, 76
"""Exit statuses of a task whose replica another job has, of one that cannot write to its folder, and of backfill that
was told to end."""
GIVE_WAY = "USR2"
"""What tells the script of backfill, before Slurm does anything, that its room is needed."""

_HEAD = """\
index=$(({base} + SLURM_ARRAY_TASK_ID))
dir={folder}
mkdir -p "$dir/claims" "$dir/logs" "$dir/ends" "$dir/work/$index" || exit {no_folder}
exec >>"$dir/logs/$index" 2>&1 </dev/null || exit {no_folder}
me="${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID"
if ! ln -sT "$me" "$dir/claims/$index" 2>/dev/null && [ "$(readlink "$dir/claims/$index")" != "$me" ]; then
  echo "federator: job $(readlink "$dir/claims/$index") has replica $index; $me runs nothing"
  exit {not_ours}
fi
if [ -e "$dir/ends/$index" ]; then read -r code _ <"$dir/ends/$index"; exit "$code"; fi
work="$dir/work/$index"
"""
_KEEP = """\
keep="$dir/keep/$index"
{check}
keeper=$(command -v python3)
(umask 077; mkdir -p "$keep" && base64 -d >"$keep/companion") <<'END' || exit {no_folder}
{companion}END
mkdir -p "$keep/checkpoint" "$dir/{told}" || exit {no_folder}
"""
_UNDER_COMPANION = 'set -- "$keeper" -I -S "$keep/companion" run "$index" "$keep/checkpoint" "$@"\n'
_DROP = """\
[ "$code" != 0 ] || [ -n "$ended" ] || "$keeper" -I -S "$keep/companion" drop "$index" "$keep/checkpoint" 2>&1
"""
_RUN = """\
began=$(date +%s)
code=0 told= over= ended= watch= yields=
trap 'told=1; ended=1' TERM
trap 'told=1; over=1' USR1
setsid "$@" &
pid=$!
"""
_ONCE = """\
[ "${{SLURM_RESTART_COUNT:-0}}" = 0 ] || exit {gave_way}  # Slurm took it away before: the federator places it anew
"""
_LIMIT = """\
setsid bash -c 'sleep "$1"; kill -USR1 "$2"; kill -TERM -- "-$3"; sleep "$4"; kill -KILL -- "-$3"' \\
  bash {limit} $$ "$pid" {grace} </dev/null >/dev/null 2>&1 &
watch=$!
"""
_YIELD = """\
give_way() {{
  told=1
  [ -n "$yields" ] && return
  setsid bash -c 'sleep "$1"; kill -KILL -- "-$2"' bash {grace} "$pid" </dev/null >/dev/null 2>&1 &
  ended=1 yields=$!
}}
trap give_way TERM
trap 'give_way; kill -TERM -- "-$pid"' {signal}
"""
_WAIT = """\
exec 2>/dev/null
while wait "$pid"; code=$?; [ -n "$told" ] && kill -0 "$pid"; do told=; done
"""
_HEAR = """\
[ -n "$ended" ] || sleep 0.5  # Slurm tells all of a job at once: the payload may have heard it and ended first
"""
_CLEAN = """\
kill -KILL -- "-$pid" ${watch:+"-$watch"} ${yields:+"-$yields"}
"""
_GAVE_WAY = '[ -z "$ended" ] || exit {gave_way}\n'
_TAIL = """\
[ -z "$over" ] || code={over_time}
if [ -z "$ended" ]; then
  echo "$code $began $(date +%s)" >"$dir/ends/.$index" && mv -T "$dir/ends/.$index" "$dir/ends/$index"
fi
"""


def script(
    folder: str,
    base: int,
    container: Container,
    own: Mapping[str, str],
    *,
    apptainer: bool,
    gpus: bool,
    limit_s: float | None,
    grace_s: float,
    yield_s: float | None = None,
    companion: bytes = b"",
) -> str:
    """The script. ``folder``: of the intent, on the cluster. ``base``: the index of task 0. ``own``: our variables.
    ``yield_s``: the grace of backfill, which ends when it is told to; None: it is no backfill.
    ``companion``: keeps the replicas' checkpoints; empty: nothing does. It runs under one job once, as backfill does:
    no two executions write to the same places.

    Everything of a user is quoted; a replica sees its index in FEDERATOR_REPLICA_INDEX.
    """
    # The index is only known where the script runs, also as $(FEDERATOR_REPLICA_INDEX) in a command.
    ours = {name: shlex.quote(value) for name, value in own.items()} | {_INDEX: '"$index"'}
    if companion:
        ours[CHECKPOINT_DIR] = _INSIDE if apptainer else '"$keep/checkpoint"'
    env = shell_environment(ours, container.env)
    words = [shell_word(word, env) for word in (*container.command, *container.args)]
    parts = ["#!/bin/bash\n"]
    if yield_s is not None or companion:
        parts.append(_ONCE.format(gave_way=GAVE_WAY))
    parts.append(_HEAD.format(base=base, folder=folder, not_ours=NOT_OURS, no_folder=NO_FOLDER))
    if companion:
        lines = base64.encodebytes(companion).decode()
        parts.append(_KEEP.format(check=CHECK, companion=lines, told=TOLD, no_folder=NO_FOLDER))
    keeps = bool(companion)
    parts += _apptainer(container, env, words, gpus, keeps) if apptainer else _process(container, env, words)
    if companion:
        parts.append(_UNDER_COMPANION)
    parts.append(_RUN)
    if limit_s is not None:
        parts.append(_LIMIT.format(limit=f"{limit_s:g}", grace=f"{grace_s:g}"))
    if yield_s is not None:
        parts.append(_YIELD.format(grace=f"{yield_s:g}", signal=GIVE_WAY))
    parts.append(_WAIT)
    if yield_s is not None:
        parts.append(_HEAR)
    parts.append(_CLEAN)
    if yield_s is not None:
        parts.append(_GAVE_WAY.format(gave_way=GAVE_WAY))
    parts.append(_TAIL.format(over_time=OVER_TIME))
    if companion:
        parts.append(_DROP)
    return "".join((*parts, 'exit "$code"\n'))


def _process(container: Container, env: Mapping[str, str], words: list[str]) -> list[str]:
    exports = [f"export {name}={value}\n" for name, value in env.items() if _SHELL_NAME.fullmatch(name)]
    # Names that no shell knows are still names of variables.
    odd = [f"{shlex.quote(name)}={value}" for name, value in env.items() if not _SHELL_NAME.fullmatch(name)]
    where = shlex.quote(container.working_dir or ".")
    make = "" if container.working_dir.startswith("/") else f"mkdir -p {where} && "
    place = f'cd "$work" && {make}cd {where} || exit {NO_FOLDER}\n'
    return [*exports, place, "set -- " + " ".join((*(["env", *odd] if odd else []), *words)) + "\n"]


def _apptainer(container: Container, env: Mapping[str, str], words: list[str], gpus: bool, keeps: bool) -> list[str]:
    image = container.image
    if not image.startswith("/") and not re.match(r"[a-z-]+:(//|/|\.)", image):
        image = f"docker://{image}"
    # By the environment and not by --env, which would take a comma for the end of a value; and no shell looks for $
    # in values.
    exports = ["export APPTAINER_NO_EVAL=1\n"]
    exports += [f"export APPTAINERENV_{name}={value}\n" for name, value in env.items() if _SHELL_NAME.fullmatch(name)]
    exports.append(f'export FEDERATOR_INTENT={env["FEDERATOR_INTENT"]} {_INDEX}="$index"\n')
    options = ["--containall", "--no-privs", "--bind", '"$work":/work', *(["--nv"] if gpus else [])]
    options += ["--bind", f'"$keep/checkpoint":{_INSIDE}'] if keeps else []
    options += ["--pwd", shlex.quote(posixpath.normpath(posixpath.join("/work", container.working_dir)))]
    verb = "exec" if container.command else "run"
    line = " ".join(("apptainer", "--quiet", verb, *options, shlex.quote(image), *words))
    inside = container.working_dir
    make = "" if not inside or inside.startswith("/") else f" && mkdir -p {shlex.quote(inside)}"
    return [*exports, f'cd "$work"{make} || exit {NO_FOLDER}\n', f"set -- {line}\n"]
