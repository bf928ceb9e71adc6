"""Amounts as people and dashboards read them: cores, bytes, pieces."""

from __future__ import annotations

from federator.model.resources import CPU, Resources


def in_base_units(resources: Resources) -> dict[str, float]:
    """Amounts by resource: cpu in cores, memory in bytes, everything else in pieces."""
    return {name: amount / 1000 if name == CPU else amount for name, amount in resources.items_}
