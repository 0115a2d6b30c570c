"""What the launcher runs inside `.venv`."""

import sys

from laptop.cli import main

sys.exit(main(sys.argv[1:]))
