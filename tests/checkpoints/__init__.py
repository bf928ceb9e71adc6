"""Checkpoints: what is carried, and who carries it."""
