"""Recorded workload logs: reading them, and turning their jobs into workloads."""
