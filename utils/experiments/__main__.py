"""`python -m utils.experiments`: run the long experiments and store their results."""

import argparse
import sys
import tempfile
from pathlib import Path

import torch

from utils.experiments.registry import EXPERIMENTS, experiment_module, run_experiment
from utils.experiments.store import RESULTS


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, run, and print where the results are."""
    parser = argparse.ArgumentParser(prog="python -m utils.experiments", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="experiments; none lists them")
    parser.add_argument("--seeds", nargs="+", type=int, help="only these seeds")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="the cheap version that the tests run; its results go to a temporary folder",
    )
    options = parser.parse_args(arguments)
    if not options.names:
        for name in EXPERIMENTS:
            print(f"{name:28} {experiment_module(name).DESCRIPTION}")
        return 0
    torch.set_num_threads(options.threads)
    folder = Path(tempfile.mkdtemp(prefix="experiments-")) if options.quick else RESULTS
    for name in options.names:
        try:
            run_experiment(name, seeds=options.seeds, quick=options.quick, folder=folder)
        except ValueError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        print(f"{name}: stored in {folder / name}.json")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
