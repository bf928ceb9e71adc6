"""Compiled functions as plain Python, so that a test can plant a mistake in one of them."""

from __future__ import annotations

from types import ModuleType

import pytest


def interpreted(patch: pytest.MonkeyPatch, *modules: ModuleType) -> None:
    """Run the compiled functions of these modules uncompiled, each looked up at every call."""
    for module in modules:
        for name, value in list(vars(module).items()):
            plain = getattr(value, "py_func", None)
            if plain is not None:
                patch.setattr(module, name, plain)
