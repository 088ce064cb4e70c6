"""`python -m utils train PRESET`: train a model of the book and save it with its card."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from utils.checkpoints import atomic_write, load_model, load_weights, save_model
from utils.commands.errors import DONE, UsageError, chosen_device
from utils.distributed import first_process_first, is_first, launched, process_group
from utils.experiments.store import describe_commit, describe_machine
from utils.history import History
from utils.models.seq2seq import count_parameters
from utils.presets.definitions import PRESETS, Preset, find_preset, override
from utils.presets.tasks import Task, prepare
from utils.training import fit

ROOT = Path(__file__).resolve().parents[2]
RUNS = Path("runs")
STATE, FINISHED, HISTORY = "training", ".training-finished", "history.jsonl"

DESCRIPTION = """\
Train a model of the book and save it, with its vocabularies and a card that says where it
comes from, in one folder.

The state is saved after every epoch: a run that was stopped, by Ctrl-C or by anything else,
goes on with --resume as if nothing had happened. history.jsonl, in the folder training and
at the end beside the model, has a line of JSON for each epoch."""

EXAMPLES = """\
presets:
{presets}

examples:
  python -m utils train grammar-bahdanau
  python -m utils train multi30k-bahdanau --output book/models/multi30k-bahdanau
  python -m utils train grammar-luong --set attention=dot
  python -m utils train multi30k-bahdanau --set dropout=0.4 --set learning_rate=1e-3
  python -m utils train multi30k-bahdanau --resume
  torchrun --nproc-per-node=2 -m utils train multi30k-bahdanau

With torchrun each process, on a GPU of its own or on the CPU, takes its share of every batch, and
the first alone writes: the same training, up to rounding.

Multi30k is downloaded once (1.3 MB). ATTENTION_BOOK_DATA names the folder that holds, or
will hold, multi30k/train.de.gz and the others."""


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Describe `train` to the command line."""
    width = max(map(len, PRESETS))
    presets = "\n".join(f"  {name:{width}}  {p.description}" for name, p in PRESETS.items())
    parser = commands.add_parser(
        "train",
        help="train a model of the book",
        description=DESCRIPTION,
        epilog=EXAMPLES.format(presets=presets),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("preset", metavar="PRESET", help="what to train, from the list below")
    parser.add_argument(
        "--device", default="auto", help="auto (a GPU if there is one), cpu, cuda, cuda:1, mps"
    )
    parser.add_argument("--seed", type=int, help="of weights, order and dropout")
    parser.add_argument("--epochs", type=int, help="passes over the training data")
    parser.add_argument("--output", type=Path, help="folder of the model (default: runs/PRESET)")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    parser.add_argument(
        "--replace",
        action="store_true",
        help="train anew though a model is there; it stays until the new one is saved",
    )
    parser.add_argument(
        "--set",
        dest="changes",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another value for a setting of data, model or training; may be repeated",
    )
    parser.add_argument(
        "--threads", type=int, default=1, help="CPU threads (default: 1; more changes last digits)"
    )
    parser.add_argument(
        "--progress",
        choices=("auto", "bar", "lines", "none"),
        default="auto",
        help="a bar, or lines for a log (default: a bar on a terminal, else lines)",
    )
    parser.add_argument(
        "--tensorboard", type=Path, metavar="DIR", help="also write the curves for TensorBoard"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Train, save, and print the scores on the validation split as one JSON object."""
    preset = chosen_preset(options)
    if options.threads < 1:
        raise UsageError(f"--threads must be at least 1, not {options.threads}")
    torch.set_num_threads(options.threads)
    device = chosen_device(options.device)
    output = RUNS / preset.name if options.output is None else options.output
    there = (output / "model.json").exists() and not (output / STATE).exists()
    if there and not options.replace:
        return _already_there(preset, output, options.resume)
    if not options.resume and (output / STATE).exists():
        raise UsageError(
            f"{str(output)!r} holds a run that was stopped: add --resume to go on with it, choose "
            "another --output, or delete that folder to begin anew"
        )
    started = time.perf_counter()
    with process_group(device) as device, _board(options.tensorboard) as board:
        with first_process_first():
            task = prepare(preset)
        note(f"{preset.name}: {count_parameters(task.model):,} weights, on {device}, into {output}")
        histories = train_stages(
            preset,
            task,
            output,
            device=device,
            progress=_progress(options.progress, preset.name),
            board=board,
        )
    if not is_first():
        return DONE
    card = finish(preset, task, output, histories, command=_command(options))
    os.replace(output / STATE / HISTORY, output / HISTORY)
    # Renamed in one step before it is deleted file by file: killed meanwhile, the folder would
    # hold half a state.
    shutil.rmtree(output / FINISHED, ignore_errors=True)
    os.replace(output / STATE, output / FINISHED)
    shutil.rmtree(output / FINISHED, ignore_errors=True)
    seconds = time.perf_counter() - started
    note(f"{preset.name}: saved in {output} after {seconds / 60:.1f} minutes")
    print(json.dumps(card["scores"]))
    return DONE


def chosen_preset(options: argparse.Namespace) -> Preset:
    """The preset with the changes that the command line asks for."""
    changes: dict[str, Any] = {}
    for change in options.changes:
        name, separator, value = change.partition("=")
        if not separator or not name:
            raise UsageError(f"--set takes NAME=VALUE, not {change!r}")
        changes[name.strip()] = value.strip()
    changes |= {
        name: getattr(options, name)
        for name in ("epochs", "seed")
        if getattr(options, name) is not None
    }
    return override(find_preset(options.preset), changes)


def _already_there(preset: Preset, output: Path, resume: bool) -> int:
    if not resume:
        raise UsageError(
            f"{str(output)!r} already holds a model: choose another --output, or add --replace"
        )
    shutil.rmtree(output / FINISHED, ignore_errors=True)  # of a run killed just before its end
    card = load_model(output).card or {}
    if card.get("settings") != json.loads(json.dumps(preset.settings)):
        raise UsageError(
            f"{str(output)!r} already holds a model that was trained with other settings: choose "
            "another --output, or add --replace"
        )
    note(f"{preset.name}: already trained, in {output}")
    print(json.dumps(card["scores"]))
    return DONE


def train_stages(
    preset: Preset,
    task: Task,
    output: Path,
    *,
    device: torch.device,
    progress: bool | str,
    board: Any = None,
) -> list[History]:
    """Train one stage after the other, each with its own saved state; a finished one is loaded."""
    histories: list[History] = []
    for number, (stage, loss) in enumerate(zip(preset.stages, task.losses, strict=True), start=1):
        finished = list(histories)

        def on_epoch(history: History, finished: list[History] = finished) -> None:
            lines = history_lines([*finished, history])
            with atomic_write(output / STATE / HISTORY) as file:
                file.writelines(json.dumps(line) + "\n" for line in lines)
            if board is not None:
                _draw(board, lines[-1], len(lines))

        history = fit(
            task.model,
            task.train,
            task.validation,
            stage.training,
            checkpoint_directory=output / STATE / f"stage-{number}",
            resume=True,
            device=device,
            progress=progress,
            compute_loss=loss,
            on_epoch=on_epoch,
        )
        histories.append(history)
    return histories


def history_lines(histories: list[History]) -> list[dict[str, Any]]:
    """One dictionary an epoch, over all stages: losses in nats per target token, seconds."""
    lines = []
    for number, history in enumerate(histories, start=1):
        for epoch in range(history.epochs):
            line = {
                "stage": number,
                "epoch": epoch + 1,
                "train_loss": round(history.train_loss[epoch], 5),
                "validation_loss": round(history.validation_loss[epoch], 5),
                "seconds": round(history.seconds[epoch], 2),
                "tokens_per_second": round(history.tokens_per_second[epoch], 1),
            }
            lines.append(line | {k: round(v[epoch], 5) for k, v in history.metrics.items()})
    return lines


def finish(
    preset: Preset, task: Task, output: Path, histories: list[History], *, command: str
) -> dict[str, Any]:
    """Round the weights to half precision, score what is left, and save it with its card."""
    halves = to_half_precision(task.model)
    load_weights(task.model, halves, source=output)
    note(f"{preset.name}: scoring the validation split")
    best = histories[-1].best_loss
    scores = {"validation_loss": round(best, 4), **task.score(task.model)}
    last = histories[-1]
    card = {
        "name": preset.name,
        "description": preset.description,
        "data": task.about_data,
        "command": command,
        "commit": describe_commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": describe_machine(),
        "device": str(next(task.model.parameters()).device),
        "parameters": count_parameters(task.model),
        "weights": "float16",
        "training": {
            "seconds": round(sum(sum(history.seconds) for history in histories), 1),
            "epochs": sum(history.epochs for history in histories),
            "best_step": last.best_step,
            "tokens_per_second": round(
                sum(last.tokens_per_second) / len(last.tokens_per_second), 1
            ),
        },
        "scores": {"validation": scores},
        "settings": preset.settings,
    }
    save_model(output, halves, config=task.config, vocabularies=task.vocabularies, card=card)
    return card


def to_half_precision(model: nn.Module) -> dict[str, torch.Tensor]:
    """The weights rounded to float16 (11 significant bits): half the size, hardly another score."""
    return {
        name: value.detach().cpu().half() if value.is_floating_point() else value.detach().cpu()
        for name, value in model.state_dict().items()
    }


def note(message: str) -> None:
    """Tell the reader what happens, on stderr: stdout has results alone."""
    if is_first():
        print(message, file=sys.stderr, flush=True)


def _progress(choice: str, name: str) -> bool | str:
    if choice == "auto":
        choice = "bar" if sys.stderr.isatty() else "lines"
    return {"bar": True, "none": False, "lines": name}[choice]


def _command(options: argparse.Namespace) -> str:
    count = launched()
    start = "python" if count == 1 else f"torchrun --nproc-per-node={count}"
    parts = [f"{start} -m utils train {options.preset}"]
    parts += [f"--set {change}" for change in options.changes]
    given = {name: getattr(options, name) for name in ("seed", "epochs")}
    parts += [f"--{name} {value}" for name, value in given.items() if value is not None]
    return " ".join(parts)


@contextlib.contextmanager
def _board(folder: Path | None) -> Iterator[Any]:
    """TensorBoard's writer, or None if it was not asked for."""
    if folder is None or not is_first():
        yield None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UsageError("--tensorboard needs `pip install tensorboard`") from error
    with SummaryWriter(folder) as writer:
        yield writer


def _draw(board: Any, line: dict[str, Any], epoch: int) -> None:
    for name, value in line.items():
        if name not in ("stage", "epoch"):
            board.add_scalar(name, value, epoch)
    board.flush()
