"""`python -m utils export`: a model as a script for the page, and what its rounding costs."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from utils.checkpoints import load_model
from utils.commands.errors import DONE, UsageError
from utils.commands.train import note
from utils.exporting import PRECISIONS, build_from, export_model, load_exported
from utils.presets.definitions import PRESETS, find_preset
from utils.presets.tasks import prepare
from utils.translator import find_model, released_models

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "book" / "assets" / "models"
"""Where the pages look for models."""

DESCRIPTION = """\
Write a model as one script that the book's pages load: its weights, rounded, with its words.
The model and the rounded one are both scored on the validation split of the model's task, and
the scores are printed as one JSON object and kept in the script."""

EXAMPLES = """\
examples:
  python -m utils export --model grammar-bahdanau
  python -m utils export --model runs/my-model --output my-model.js --precision float16

int8 keeps 8 bits of a weight and one scale for each row of a matrix; float16 keeps 16 bits.
Only a model that `train` made knows its task; of another, or with --no-scores, nothing is scored.

models that come with the book:
  {models}"""


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Describe `export` to the command line."""
    parser = commands.add_parser(
        "export",
        help="write a model as a script for the book's pages",
        description=DESCRIPTION,
        epilog=EXAMPLES.format(models="\n  ".join(released_models()) or "none yet"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model", required=True, metavar="NAME|DIR", help="a model of the book, or a folder"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE.js", help="(default: book/assets/models/NAME.js)"
    )
    parser.add_argument("--precision", choices=PRECISIONS, default="int8", help="(default: int8)")
    parser.add_argument("--no-scores", action="store_true", help="do not measure the rounding")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Export, score both, and print one JSON object."""
    if options.threads < 1:
        raise UsageError(f"--threads must be at least 1, not {options.threads}")
    torch.set_num_threads(options.threads)
    folder = find_model(options.model)
    output = options.output or MODELS / f"{folder.name}.js"
    if output.suffix != ".js":
        raise UsageError(f"--output must end in .js, not {str(output)!r}")
    export_model(folder, output, precision=options.precision)
    scores = None if options.no_scores else score_both(folder, output)
    if scores is not None:
        card = {**(load_model(folder).card or {}), "export": scores}
        export_model(folder, output, precision=options.precision, card=card)
    result = {
        "model": options.model,
        "output": str(output),
        "precision": options.precision,
        "bytes": output.stat().st_size,
        "scores": scores,
    }
    print(json.dumps(result))
    return DONE


def score_both(folder: Path, exported: Path) -> dict[str, dict[str, Any]] | None:
    """Scores on the validation split of the saved model and of the exported one.

    None if the model's card does not name a preset, whose data would be needed.
    """
    saved = load_model(folder)
    name = (saved.card or {}).get("name")
    if name not in PRESETS:
        note(f"{folder.name}: its card names no preset, so the rounding is not scored")
        return None
    preset = find_preset(name)
    data = dict(saved.card.get("settings", {}).get("data", preset.data))
    if preset.task != "multi30k":  # there the training text decides the subwords
        data["train_size"] = 1
    note(f"{folder.name}: scoring the saved and the exported model")
    score = prepare(replace(preset, data=data)).score
    return {
        "saved": score(build_from(saved.config, saved.state_dict, source=folder)),
        "exported": score(load_exported(exported).build()),
    }
