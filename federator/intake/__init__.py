"""Another system's queue as a way in: its idle jobs become workloads, and are shown there as they are here.

Runs beside that system (``federator intake``) and speaks to the daemon over HTTP, as any client.
"""
