"""`python -m utils`: train, translate and evaluate from the command line."""

import sys

from utils.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
