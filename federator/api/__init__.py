"""The HTTP face of the daemon: REST, events, metrics and one page. Decides who may call what; all else is Service's."""
