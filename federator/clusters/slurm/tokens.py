"""What a token says of itself, where Slurm does not say why it takes none. Pure.

slurmrestd passes tokens on and slurmctld looks at them; of one that it does not accept, and of one that it never saw
because it is away, slurmrestd tells the same.
"""

from __future__ import annotations

import jwt


def doubts(token: str, user: str, now_s: float) -> str:
    """Why Slurm cannot accept the token; empty: nothing is seen from here. Its words are never told."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})  # only Slurm has the key
    except jwt.InvalidTokenError:
        return "what is in it is no token (JWT)"
    try:
        over_s = now_s - float(claims["exp"])
    except (KeyError, TypeError, ValueError):
        return "the token in it has no time at which it expires (exp)"
    if over_s >= 0:
        return f"the token in it expired {over_s:.0f} s ago"
    # Slurm's own name for it, and the one that a site may have chosen for tokens of others.
    owner = claims.get("sun", claims.get("username"))
    return f"the token in it is for {owner!r}" if owner and owner != user else ""
