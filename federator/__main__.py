"""``python -m federator``, and the program ``federator``: the command line."""

import sys

INTERRUPTED = 130


def main() -> int:
    """Run the command; its exit status. Ctrl-C ends it quietly, also while it is still being imported."""
    try:
        from federator.cli.main import main as command

        return command()
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
