"""The federator: runs the work of many groups on many clusters, by policy."""
