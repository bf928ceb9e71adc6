"""Frozen values that every other layer speaks in. Imports nothing of ours."""
