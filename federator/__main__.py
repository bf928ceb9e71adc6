"""``python -m federator``: the command line."""

import sys

from federator.cli.main import main

sys.exit(main())
