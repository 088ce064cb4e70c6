"""Chapter 7: the released translators on real text, by beam width and by length of the source.

Raw text in, raw text out, scored by sacrebleu's defaults, as `python -m utils evaluate` does. The
width of the beam was chosen on the validation split; on the test split nothing is chosen: it was
scored once, when the models were final.

Source: Bahdanau et al. 2015, figure 2 (BLEU by length); Koehn 2004 (bootstrap). Deviations: BLEU of
each bucket of lengths by itself, with the interval of the difference between the two models.
"""

import json
import time
from typing import Any

from utils.datasets.multi30k import TextPairs, load_multi30k
from utils.metrics import signed_scores
from utils.significance import bootstrap_difference
from utils.translator import Translator, find_model, load_translator

DESCRIPTION = "What are the released translators worth, by beam width and by length of the source?"
SEEDS = (1,)
SETTINGS = {
    "models": ["multi30k-bahdanau", "multi30k-fixed"],
    "splits": ["validation", "test"],
    "beams": [1, 2, 5, 10],
    "compared_beam": 5,
    # words of the source as white space separates them; the last bucket ends before the last edge
    "edges": [1, 8, 12, 16, 21, 61],
    "samples": 1000,
    "sentences": None,
}
QUICK = {
    "splits": ["validation"],
    "beams": [1, 2],
    "compared_beam": 2,
    "edges": [1, 11, 61],
    "samples": 20,
    "sentences": 12,
}


def run(seed: int, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Translate and score; `seed` is the bootstrap's.

    Returns:
        Records of two kinds: "beam" (a model, a split and a width) and "length" (the two models on
        one bucket of a split, the first with all lengths).
    """
    translators = {name: load_translator(name) for name in settings["models"]}
    digests = {name: weights_digest(name) for name in settings["models"]}
    records = []
    for split in settings["splits"]:
        pairs = load_multi30k(split)
        chosen = slice(settings["sentences"])
        pairs = TextPairs(pairs.source[chosen], pairs.target[chosen])
        compared = {}
        for name, translator in translators.items():
            for beam_size in settings["beams"]:
                texts, record = translate_and_score(translator, pairs, beam_size)
                if beam_size == settings["compared_beam"]:
                    compared[name] = texts
                about = {"kind": "beam", "model": name, "weights": digests[name], "split": split}
                records.append(about | record)
        for record in compare_by_length(
            *compared.values(), pairs, settings["edges"], samples=settings["samples"], seed=seed
        ):
            about = {"kind": "length", "split": split, "beam_size": settings["compared_beam"]}
            records.append(about | record)
    return records


def weights_digest(name: str) -> str:
    """The first digits of the SHA-256 of a model's weights: results of other weights are stale."""
    index = json.loads((find_model(name) / "model.json").read_text(encoding="utf-8"))
    return index["tensors"]["sha256"][:16]


def translate_and_score(
    translator: Translator, pairs: TextPairs, beam_size: int
) -> tuple[list[str], dict[str, Any]]:
    """The translations, and a record of their scores and of the processor's seconds."""
    started = time.process_time()  # wall-clock time would also count what else the machine does
    found = translator.translate(pairs.source, beam_size=beam_size)
    seconds = time.process_time() - started
    texts = [translation.text for translation in found]
    words = [sum(len(text.split()) for text in side) for side in (texts, pairs.target)]
    return texts, {
        "beam_size": beam_size,
        "sentences": len(texts),
        **signed_scores(texts, pairs.target),
        "length_ratio": round(words[0] / words[1], 4),
        "log_probability": round(sum(each.score for each in found) / len(found), 4),
        "processor_seconds": round(seconds, 2),
    }


def compare_by_length(
    first: list[str],
    second: list[str],
    pairs: TextPairs,
    edges: list[int],
    *,
    samples: int,
    seed: int,
) -> list[dict[str, Any]]:
    """BLEU of two systems and the interval of its difference: all sentences, then each bucket.

    Buckets without sentences are left out.
    """
    lengths = [len(text.split()) for text in pairs.source]
    rows = list(zip(first, second, pairs.target, strict=True))
    records = []
    for low, high in [(edges[0], edges[-1]), *zip(edges, edges[1:], strict=False)]:
        inside = [row for row, length in zip(rows, lengths, strict=True) if low <= length < high]
        if not inside:
            continue
        found = bootstrap_difference(
            *(list(side) for side in zip(*inside, strict=True)), samples=samples, seed=seed
        )
        records.append(
            {
                "minimum": low,
                "maximum": high - 1,
                "sentences": len(inside),
                **{name: round(value, 2) for name, value in found._asdict().items()},
            }
        )
    return records
