"""Becomes a payload: run as a program of its own (``python -I -S -c SOURCE SPEC``), which then is the command.

No fork of the pilot, which has threads. The process is a session of its own, dies with the pilot, gains no privileges
by what it runs, and has none of the pilot's environment. Standard library only; imports nothing of ours.
"""

import ctypes
import json
import os
import resource
import sys

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
SIGKILL = 9


def main() -> None:
    """SPEC is JSON: argv, env, cwd, parent, cpus, data_limit (bytes), new_privileges, backfill,
    status (an open file)."""
    spec = json.loads(sys.argv[1])
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
    if os.getppid() != spec["parent"]:
        os._exit(127)  # the pilot died before the line above
    if not spec["new_privileges"] and libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        print("cannot give up new privileges", file=sys.stderr)  # noqa: T201
        os._exit(126)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if spec["data_limit"]:
        resource.setrlimit(resource.RLIMIT_DATA, (spec["data_limit"], spec["data_limit"]))
    if spec["cpus"]:
        os.sched_setaffinity(0, spec["cpus"])
    os.umask(0o022)  # not the pilot's, which hides its spool: what a payload writes is as on any cluster
    if spec["backfill"]:  # it runs on what is idle, and the kernel gives its input and output the idle class too
        os.nice(19)
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    os.set_inheritable(spec["status"], False)
    try:
        os.chdir(spec["cwd"])
        os.execvpe(spec["argv"][0], spec["argv"], spec["env"])
    except OSError as error:
        os.write(spec["status"], f"cannot run {spec['argv'][0]!r} in {spec['cwd']}: {error.strerror}".encode())
        os._exit(127)


if __name__ == "__main__":
    main()
