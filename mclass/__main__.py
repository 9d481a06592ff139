"""``python -m mclass``."""

import sys

from mclass.cli import main

if __name__ == "__main__":
    sys.exit(main())
