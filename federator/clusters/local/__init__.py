"""Replicas as processes of this machine.

Two sides that only meet in files: the provider (in the daemon) and a supervisor per intent (a process of its own, that
outlives the daemon). ``layout`` and ``story`` are what both read and write; ``supervise``, ``running`` and ``payload``
(with ``federator.processes``) are the supervisor's and use the standard library only, so that it starts in some 40 ms.
"""

# Not ``typing.TYPE_CHECKING``, and names looked up late: the supervisor passes through here and must stay small.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from federator.clusters.local.provider import LocalProvider as LocalProvider
    from federator.clusters.local.settings import LocalSettings as LocalSettings

__all__ = ["LocalProvider", "LocalSettings"]


def __getattr__(name: str) -> object:
    if name == "LocalProvider":
        from federator.clusters.local.provider import LocalProvider

        return LocalProvider
    if name == "LocalSettings":
        from federator.clusters.local.settings import LocalSettings

        return LocalSettings
    raise AttributeError(name)
