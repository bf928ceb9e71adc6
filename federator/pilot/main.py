"""``federator pilot``, and the program in ``pilot.pyz``."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Sequence

from federator.pilot.agent import Agent, say
from federator.pilot.resources import find
from federator.pilot.settings import read_arguments
from federator.pilot.spool import SpoolInUse
from federator.pilot.talk import GOODBYE_S, Talk
from federator.pilot.wire import Refused

VERSION = "1"
WRONG_INPUT = 2
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
    threads = [threading.Thread(target=work, daemon=True) for work in (talk.ask_for_work, talk.tell)]
    for thread in threads:
        thread.start()
    agent.run()
    threads[1].join(GOODBYE_S)
    say("ended")
    return 0


if __name__ == "__main__":
    sys.exit(main(program="pilot.pyz"))
