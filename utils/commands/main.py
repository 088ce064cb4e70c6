"""Choose the command, run it, and turn every expected error into one line and an exit code."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from utils.commands import evaluate, export, train, translate
from utils.commands.errors import (
    FAILED,
    INTERRUPTED,
    WRONG_USE,
    UsageError,
    complain,
    describe,
)
from utils.presets.definitions import PresetError

COMMANDS = (train, translate, evaluate, export)

DESCRIPTION = """\
Train the book's models, translate with them, score them, and export them for the page.

`python -m utils COMMAND --help` explains a command, with examples."""

EPILOG = """\
exit codes: 0 done; 1 it could not be done; 2 the command line is wrong; 130 interrupted.
Errors are one line on stderr; results go to stdout."""


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="python -m utils",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code.

    Raises:
        SystemExit: from argparse, for --help (0) and for what it cannot read (2).
    """
    options = build_parser().parse_args(arguments)
    try:
        return options.run(options)
    except KeyboardInterrupt:
        return complain(interrupted(options), INTERRUPTED)
    except (UsageError, PresetError) as error:
        return complain(error, WRONG_USE)
    except (OSError, ValueError, FloatingPointError, RuntimeError) as error:
        # also a damaged model (CheckpointError), and memory that a GPU does not have
        return complain(describe(error), FAILED)


def interrupted(options: argparse.Namespace) -> str:
    """What Ctrl-C left behind."""
    if options.command == "train":
        return "interrupted; the same command with --resume goes on after the last whole epoch"
    return "interrupted; the lines written so far are whole"
