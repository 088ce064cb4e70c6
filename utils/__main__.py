"""`python -m utils`: train, translate and evaluate from the command line."""

import sys

if __name__ == "__main__":
    try:
        from utils.commands.main import main  # takes seconds: Ctrl-C may come here already

        code = main()
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        code = 130
    sys.exit(code)
