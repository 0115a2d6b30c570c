"""`python -m cli`: the command line where the environment is there already."""

import sys

from cli.main import main

sys.exit(main(sys.argv[1:]))
