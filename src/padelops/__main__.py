"""
`python -m padelops`: the same program as the `padelops` command.
"""

import sys

from padelops.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
