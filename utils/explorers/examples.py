"""Sentences to pick from, with their gold links, and the answers that pages show at once.

Answers are stored, and not computed when a cell runs, because the last digits of a number differ
from processor to processor and the notebooks' outputs are compared character by character. A test
computes them again and compares with a tolerance.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from utils.checkpoints import atomic_write
from utils.datasets.grammar import Example, Grammar
from utils.datasets.subwords import SubwordVocabulary

ROOT = Path(__file__).resolve().parents[2]
ANSWERS = ROOT / "book" / "results" / "explorers"
DIGITS = 4
CONTEXT_DIGITS = 3  # as many as are shown; a context is long
SENTENCES = (  # of the test split; the first is what a page shows at once
    "the girl 's red book does not arrive",
    "the boy 's beautiful white cows do not sing",
    "the boy who arrives sings because the women sleep",
    "an old red bird 's new picture is red",
    "the cat is not beautiful when these men sing",
    "the girl does not often sleep",
    "a beautiful girl eats the big round apple that the men buy",
    "the boy 's cow does not often see a house",
)

GERMAN = (  # written for this book, in the manner of captions
    "Ein kleiner Hund läuft über eine grüne Wiese.",
    "Zwei Frauen sitzen auf einer Bank und trinken Kaffee.",
    "Ein Mann mit einem roten Hut spielt Gitarre auf der Straße.",
    "Drei Kinder bauen am Strand eine Burg aus Sand.",
    "Eine alte Frau mit einem grünen Schirm wartet vor einem Bahnhof, "
    "während zwei Kinder auf einem Koffer sitzen und ein Eis essen.",
)


def grammar_examples(sentences: Sequence[str] = SENTENCES) -> list[dict[str, Any]]:
    """Sentences of the grammar as the front end wants them: text, and gold links.

    Raises:
        ValueError: a sentence is not grammatical; the message names the word.
    """
    grammar = Grammar()
    return [describe_example(grammar.translate(sentence.split())) for sentence in sentences]


def default_examples(engine: Any) -> list[dict[str, Any]]:
    """What is offered if nobody says: German for a model of subwords, else the grammar's."""
    if isinstance(engine.source_vocabulary, SubwordVocabulary):
        return [{"text": sentence} for sentence in GERMAN]
    return grammar_examples()


def describe_example(example: Example) -> dict[str, Any]:
    """{text, gold: {target, sure, possible}} with links as sorted [source, target]."""
    return {
        "text": " ".join(example.source),
        "gold": {
            "target": list(example.target),
            "sure": sorted(map(list, example.sure)),
            "possible": sorted(map(list, example.possible)),
        },
    }


def request_for(example: Mapping[str, Any], *, limit: int) -> dict[str, Any]:
    """What the front end asks when it opens with this example."""
    if "scene" in example:
        return {"scene": example["scene"]}
    gold = example.get("gold")
    return {"text": example["text"], "limit": limit, "reference": gold and gold["target"]}


def rounded(value: Any, digits: int = DIGITS) -> Any:
    """Plain values with every float rounded; what is stored and written into pages."""
    if isinstance(value, float):
        return round(value, digits) + 0.0  # never −0.0
    if isinstance(value, Mapping):
        return {
            key: rounded(each, CONTEXT_DIGITS if key == "context" else digits)
            for key, each in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [rounded(each, digits) for each in value]
    return value


def stored_answer(name: str, example: Mapping[str, Any]) -> dict[str, Any] | None:
    """The stored answer of a model that comes with the book, or None.

    A sentence is found by its text, a picture by itself.
    """
    path = ANSWERS / f"{name}.json"
    if not path.is_file():
        return None
    stored = json.loads(path.read_text(encoding="utf-8"))
    return stored["answers"].get(key_of(example))


def key_of(example: Mapping[str, Any]) -> str:
    """What an example's answer is stored under: the text, or a picture's hash."""
    if "text" in example:
        return example["text"]
    text = json.dumps(example["scene"], sort_keys=True)
    return "scene " + hashlib.sha256(text.encode()).hexdigest()[:16]


def store_answers(
    name: str, engine: Any, examples: Sequence[Mapping[str, Any]], *, limit: int = 60
) -> Path:
    """Compute and store an engine's answers to some examples; the old file is replaced."""
    answers = {
        key_of(each): rounded(engine.answer(request_for(each, limit=limit))) for each in examples
    }
    path = ANSWERS / f"{name}.json"
    with atomic_write(path) as file:
        json.dump({"model": name, "answers": answers}, file, ensure_ascii=False, indent=0)
        file.write("\n")
    return path
