"""`python -m anima` is `anima`."""

import sys

from anima.cli import main

if __name__ == "__main__":
    sys.exit(main())
