"""`python -m utils translate`: text in, its translation out, line by line."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import torch

from utils.checkpoints import atomic_write
from utils.commands.errors import DONE, FAILED, UsageError, chosen_device
from utils.commands.files import decoded_lines
from utils.translator import LOOK_AHEAD, Translation, Translator, load_translator, released_models

DESCRIPTION = """\
Translate stdin to stdout: raw text in, raw text out, one line for each line, always the same
number of lines. Memory does not grow with the number of lines.

An empty line stays empty. Bytes that are not UTF-8 are read as U+FFFD, Windows line ends as
line ends. Characters the model has never seen are skipped or guessed. A line of more than 256
pieces is translated sentence by sentence, a sentence of more than 256 in parts."""

EXAMPLES = """\
examples:
  echo 'Ein Hund springt ins Wasser.' | python -m utils translate --model multi30k-bahdanau
  python -m utils translate --model runs/my-model --beam 1 < german.txt > english.txt
  python -m utils translate --model multi30k-bahdanau --attention looks.json < german.txt

--attention writes a JSON list with an entry for each line (for a line translated in parts:
for each part): its number from 1, the pieces read and written, and the weights, a row for
each piece written and a column for each piece read; null without attention.

models that come with the book:
  {models}"""


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """The options that translate and evaluate share."""
    parser.add_argument(
        "--model", required=True, metavar="NAME|DIR", help="a model of the book, or a folder"
    )
    parser.add_argument("--beam", type=int, default=5, metavar="K", help="beam width (default: 5)")
    parser.add_argument(
        "--batch-size", type=int, default=64, metavar="N", help="lines at a time (default: 64)"
    )
    parser.add_argument(
        "--device", default="auto", help="auto (a GPU if there is one), cpu, cuda, cuda:1, mps"
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Describe `translate` to the command line."""
    parser = commands.add_parser(
        "translate",
        help="translate stdin to stdout, line by line",
        description=DESCRIPTION,
        epilog=EXAMPLES.format(models="\n  ".join(released_models()) or "none yet"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model_options(parser)
    parser.add_argument(
        "--attention", type=Path, metavar="FILE.json", help="write the attention weights there"
    )
    parser.set_defaults(run=run)


def open_translator(options: argparse.Namespace) -> Translator:
    """Check the shared options and load the model."""
    for name in ("beam", "batch_size", "threads"):
        if getattr(options, name) < 1:
            option = name.replace("_", "-")
            raise UsageError(f"--{option} must be at least 1, not {getattr(options, name)}")
    torch.set_num_threads(options.threads)
    return load_translator(options.model, device=chosen_device(options.device))


def run(options: argparse.Namespace) -> int:
    """Translate until stdin ends."""
    translator = open_translator(options)
    source = sys.stdin.buffer
    translations = translator.stream(
        decoded_lines(source),
        beam_size=options.beam,
        batch_size=options.batch_size,
        look_ahead=1 if source.isatty() else LOOK_AHEAD,
    )
    try:
        if options.attention is None:
            _write(translations, sys.stdout.buffer)
        else:
            with _attention_file(options.attention) as note:
                _write(translations, sys.stdout.buffer, note)
    except _OutputError as error:
        # whatever is still buffered cannot be written either: Python must not try again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error.cause, BrokenPipeError):
            return FAILED  # the reader has seen enough, as in `… | head`
        raise OSError(
            f"could not write line {error.line} ({error.cause.strerror}); the lines before it are "
            "whole"
        ) from error
    return DONE


class _OutputError(Exception):
    """stdout takes no more."""

    def __init__(self, line: int, cause: OSError) -> None:
        self.line, self.cause = line, cause


def _write(translations: Iterable[Translation], output: IO[bytes], note: Any = None) -> None:
    """Write every translation as one line as soon as it is there."""
    for number, translation in enumerate(translations, start=1):
        try:
            output.write(translation.text.encode("utf-8", errors="replace") + b"\n")
            output.flush()
        except OSError as error:
            raise _OutputError(number, error) from error
        if note is not None:
            note(number, translation)


@contextlib.contextmanager
def _attention_file(path: Path) -> Iterator[Any]:
    """A function that adds a translation to a JSON list, which is whole at the end.

    After Ctrl-C, or when stdout takes no more, the list holds what was translated so far. When the
    file itself takes no more, the translations go on without it, and the error comes last.
    """
    stopped: BaseException | None = None
    failed: OSError | None = None
    try:
        with atomic_write(path) as file:
            separator = "[\n"

            def note(number: int, translation: Translation) -> None:
                nonlocal separator, failed
                if failed is not None:
                    return
                try:
                    for entry in entries(number, translation):
                        file.write(separator + json.dumps(entry, ensure_ascii=False))
                        separator = ",\n"
                except OSError as error:
                    failed = error

            try:
                yield note
            except (KeyboardInterrupt, _OutputError, OSError) as error:
                stopped = error
            if failed is not None:
                raise failed
            file.write("[]\n" if separator == "[\n" else "\n]\n")
    except OSError as error:
        raise OSError(
            f"could not write {str(path)!r} ({error.strerror}), which is as it was before; the "
            "translations are whole"
        ) from error
    if stopped is not None:
        raise stopped


def entries(number: int, translation: Translation) -> list[dict[str, Any]]:
    """What the attention file says about one line."""
    found = []
    for part in translation.parts or (translation,):
        weights = part.weights
        entry = {
            "line": number,
            "source": part.source_pieces,
            "target": part.target_pieces,
            "weights": None
            if weights is None
            else [[round(weight, 4) for weight in row] for row in weights.tolist()],
            "translation": part.text,
        }
        found.append(entry)
    return found
