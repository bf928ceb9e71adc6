"""``$(NAME)`` in commands and environments, as Kubernetes has it, for every kind of cluster alike. Pure.

Unknown names stay as written, ``$$`` is one dollar.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping

_REFERENCE = re.compile(r"\$(?:\$|\(([A-Za-z_.-][A-Za-z0-9_.-]*)\))")

CHECKPOINT_DIR = "FEDERATOR_CHECKPOINT_DIR"
"""Says where a replica writes what is kept for it, where something is kept."""


def expand(text: str, env: Mapping[str, str]) -> str:
    """The text with its references replaced."""
    return _REFERENCE.sub(lambda found: "$" if found[1] is None else env.get(found[1], found[0]), text)


def environment(
    own: Mapping[str, str], given: Mapping[str, str], put: Callable[[str, Mapping[str, str]], str] = expand
) -> dict[str, str]:
    """Our variables and a user's, which may refer to ours and to those before it; none stands in the place of ours."""
    env = dict(own)
    for name, value in given.items():
        if name not in own:
            env[name] = put(value, env)
    return env


def shell_word(text: str, words: Mapping[str, str]) -> str:
    """The text with its references replaced, as one word of a shell. ``words``: what stands for a name there."""
    parts, at = [], 0
    for found in _REFERENCE.finditer(text):
        known = "'$'" if found[1] is None else words.get(found[1], shlex.quote(found[0]))
        parts += [shlex.quote(text[at : found.start()]) if found.start() > at else "", known]
        at = found.end()
    return "".join(parts) + (shlex.quote(text[at:]) if at < len(text) or not text else "")


def shell_environment(own: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """As ``environment``, for a shell: ``own`` are words of it already, and so are the values."""
    return environment(own, given, shell_word)
