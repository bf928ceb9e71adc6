"""``federator pilot``, and the program in ``pilot.pyz``."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import traceback
from collections.abc import Callable, Sequence

from federator.pilot.agent import Agent
from federator.pilot.holding import say
from federator.pilot.resources import find
from federator.pilot.settings import read_arguments
from federator.pilot.spool import SpoolInUse
from federator.pilot.talk import GOODBYE_S, Talk
from federator.pilot.wire import Refused

VERSION = "1"
WRONG_INPUT = 2
BROKEN = 70
PR_SET_DUMPABLE = 4


def main(arguments: Sequence[str] | None = None, program: str = "federator pilot") -> int:
    """Run a pilot until it has drained; the exit status."""
    settings = read_arguments(sys.argv[1:] if arguments is None else arguments, program)
    # Payloads of the same user must not read our memory, where the token is, nor trace us.
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    os.umask(0o077)
    try:
        agent = Agent(settings, find(settings))
    except (SpoolInUse, OSError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return WRONG_INPUT
    say(f"pilot {agent.name} offers {agent.node.resources}, runtimes {', '.join(agent.node.runtimes)}")
    agent.recover()
    talk = Talk(agent, VERSION)
    try:
        talk.register()
    except (Refused, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return WRONG_INPUT
    if not talk.is_registered:
        say("ended: the server never answered")
        return 0
    threads = [threading.Thread(target=_or_die, args=(work,), daemon=True) for work in (talk.ask_for_work, talk.tell)]
    for thread in threads:
        thread.start()
    agent.run()
    threads[1].join(GOODBYE_S)
    say("ended")
    return 0


def _or_die(work: Callable[[], None]) -> None:
    """A pilot that is half dead would hold its leases and tell nobody how they end: let the guard clear up instead."""
    try:
        work()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(BROKEN)


if __name__ == "__main__":
    sys.exit(main(program="pilot.pyz"))
