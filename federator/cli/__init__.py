"""The command line: client commands speak HTTP to a daemon, offline ones read documents and decide on the spot."""
