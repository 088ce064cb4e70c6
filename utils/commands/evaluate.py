"""`python -m utils evaluate`: translate a file and score it against its reference."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from utils.checkpoints import atomic_write
from utils.commands.errors import DONE, UsageError
from utils.commands.files import read_lines
from utils.commands.translate import add_model_options, open_translator
from utils.datasets.multi30k import load_multi30k
from utils.metrics import signed_scores

DESCRIPTION = """\
Translate a file and score the translations against a reference, line by line: sacrebleu's BLEU
and chrF with their signatures, and the sentences translated per second, as one JSON object."""

EXAMPLES = """\
examples:
  python -m utils evaluate --model multi30k-bahdanau --split validation
  python -m utils evaluate --model multi30k-fixed --source test.de --reference test.en --beam 1

Files are raw text in UTF-8, or that compressed (.gz), with as many lines in both. --split takes
a split of Multi30k in their place (downloaded once; ATTENTION_BOOK_DATA names the folder).
Choose settings on "validation"; "test" is for the one final score."""


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Describe `evaluate` to the command line."""
    parser = commands.add_parser(
        "evaluate",
        help="translate a file and score it",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model_options(parser)
    parser.add_argument("--source", type=Path, metavar="FILE", help="what to translate")
    parser.add_argument("--reference", type=Path, metavar="FILE", help="its translation")
    parser.add_argument(
        "--split", choices=("validation", "test"), help="of Multi30k, instead of two files"
    )
    parser.add_argument(
        "--translations", type=Path, metavar="FILE", help="also keep the translations there"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Translate, score, and print one JSON object."""
    source, reference = _read(options)
    translator = open_translator(options)
    started = time.perf_counter()
    translated = translator.translate(source, beam_size=options.beam, batch_size=options.batch_size)
    seconds = time.perf_counter() - started
    texts = [translation.text for translation in translated]
    if options.translations is not None:
        with atomic_write(options.translations) as file:
            file.writelines(text + "\n" for text in texts)
    result = {
        "model": options.model,
        "sentences": len(texts),
        "beam_size": options.beam,
        **signed_scores(texts, reference),
        "seconds": round(seconds, 2),
        "sentences_per_second": round(len(texts) / max(seconds, 1e-9), 2),
    }
    print(json.dumps(result))
    return DONE


def _read(options: argparse.Namespace) -> tuple[list[str], list[str]]:
    files = (options.source, options.reference)
    if (options.split is None) == (files == (None, None)) or (options.split and any(files)):
        raise UsageError("give --source and --reference, or --split instead of both")
    if options.split is not None:
        pairs = load_multi30k(options.split)
        return pairs.source, pairs.target
    if None in files:
        raise UsageError("--source and --reference belong together: give both")
    source, reference = (read_lines(path) for path in files)
    if len(source) != len(reference):
        raise OSError(
            f"{str(files[0])!r} has {len(source)} lines and {str(files[1])!r} has "
            f"{len(reference)}: expected a reference for each source line"
        )
    if not source:
        raise OSError(f"{str(files[0])!r} has no lines: expected at least one")
    return source, reference
