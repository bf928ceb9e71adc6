"""The Kubernetes provider: its pure parts, its watches against a small fake API, and all of it against real servers."""
