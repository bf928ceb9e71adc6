"""Real servers for tests, benchmarks and demonstrations, all on 127.0.0.1.

Control planes with Debian's Kubernetes or any newer one, a small kubelet that
pretends to run pods, a proxy that misbehaves on request, and PostgreSQL.
"""
