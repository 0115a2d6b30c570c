"""``python -m openmldb_embedded``."""

import sys

from openmldb_embedded.cli import main

if __name__ == "__main__":
    sys.exit(main())
