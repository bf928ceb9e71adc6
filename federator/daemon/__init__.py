"""The daemon: watches, plans, records what it means to do, does it, and says why."""
