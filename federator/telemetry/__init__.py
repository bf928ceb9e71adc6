"""Logs and metrics, each set up in one place."""
