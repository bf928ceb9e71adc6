"""One provider for each kind of cluster. Kept empty: the supervisor of ``local`` passes through here when it starts."""
