"""``python -m utils.notebooks``: execute, time, stamp and check the book's notebooks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from utils.notebooks.files import notebook_paths, stamp_repository, stamp_setup_cells


def parser() -> argparse.ArgumentParser:
    """The command line."""
    main_parser = argparse.ArgumentParser(prog="python -m utils.notebooks", description=__doc__)
    commands = main_parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("execute", "execute in place on the CPU; outputs and times are stored"),
        ("time", "execute and store only the time, e.g. of a GPU"),
        ("stamp", "copy book/setup_cell.py into the notebooks"),
        ("check", "say what breaks the rules for notebooks"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("names", nargs="*", help="e.g. 01-rnn; none = all")
        if name in ("execute", "time"):
            command.add_argument("--jobs", type=int, default=2, help="how many at once")
            command.add_argument("--timeout", type=int, default=600, help="seconds for a cell")
        if name == "time":
            command.add_argument("--device", default="cuda", choices=["cpu", "cuda"])
    command = commands.add_parser("repository", help="stamp the repository's public address")
    command.add_argument("url", help='https://github.com/owner/name, or "" to take it out')
    return main_parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        if options.command == "repository":
            for path in stamp_repository(options.url):
                print(f"stamped {path.name}")
            return 0
        paths = notebook_paths(options.names)
        if options.command == "stamp":
            for path in stamp_setup_cells(paths):
                print(f"stamped {path.name}")
        elif options.command == "check":
            return _check(paths)
        else:
            from utils.notebooks.execute import execute

            save = options.command == "execute"
            device = "cpu" if save else options.device
            jobs = options.jobs if device == "cpu" else 1
            execute(paths, device=device, timeout=options.timeout, save=save, jobs=jobs)
    except (ValueError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _check(paths: Sequence) -> int:
    from utils.notebooks.rules import check

    breaches = [f"{path.name}: {breach}" for path in paths for breach in check(path)]
    print("\n".join(breaches) or f"{len(paths)} notebooks hold to the rules")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
