"""The agent on a worker node: pulls replicas, runs them, tells how they end. Standard library only.

Two threads speak to the server (``talk``: one waits for work, one tells and renews), one runs payloads (``agent``).
They meet in the spool on the disk and in ``Agent``'s lock. Nothing that has ended is forgotten before the server has
said that it is counted, or that it does not count.
"""
