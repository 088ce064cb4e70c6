"""Choose the command, run it, and turn every expected error into one line and an exit code."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

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
Errors are one line on stderr; results go to stdout.

what happens with bad input:
  empty lines                    stay empty: there are as many lines out as in
  invalid UTF-8                  each bad byte is read as U+FFFD
  Windows line ends              are line ends; a byte order mark is dropped
  emoji, other scripts           are skipped or guessed: the model has never seen them
  lines of a thousand words      are translated sentence by sentence, or in parts
  a source and a reference       of different length: an error that gives both lengths
  a preset or model not there    an error that lists the nearest names
  a model cut short or changed   an error: size and SHA-256 are checked first
  data that are not Multi30k's   are refused, not kept, and downloaded again
  a full disk                    an error; what was saved before stays, lines written are whole
  Ctrl-C                         the same; `train --resume` goes on after the last whole epoch"""


class Parser(argparse.ArgumentParser):
    """A parser that complains in one line, as the commands do."""

    def error(self, message: str) -> NoReturn:
        raise SystemExit(complain(f"{message}; see `{self.prog} --help`", WRONG_USE))


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = Parser(
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
