"""The engine cuts and joins text as the library does: words of the grammar, and subwords."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_page import open_engine
from playwright.sync_api import Browser, Page

from utils.datasets import multi30k
from utils.datasets.grammar import Grammar
from utils.datasets.subwords import SubwordVocabulary, segment
from utils.exporting import export_model
from utils.models.seq2seq import Seq2SeqConfig, build_model

GRAMMAR = Grammar()
SENTENCES = [
    " ".join(words)
    for example in GRAMMAR.sample(400, seed=3)
    for words in (example.source, example.target)
]
# Letters of many scripts, marks that combine, spaces of every kind, emoji, bidi marks, controls.
ALPHABETS = (
    "abcdefghijklmnopqrstuvwxyz ",
    "äöüßéèêçñøåæœ '’.,-!?",
    "\u0301\u0308\u0327\u0323aeiouc",
    "\u0000\u0007\t\n\r\u001f\u0085\u00a0\u1680\u2003\u200b\u2028\u202f\u3000\ufeff\u2581 ab",
    "\u200e\u200f\u202a\u202e\u2066\u2069\u200d\ufe0fא ב ع",
    "😀🏳🌈👩‍🚀𝒜𐍈漢字かなカナ한국어각ﬁǅ",
    '<script>&lt;/img src=x>"`${}',
)


def random_strings(count: int) -> list[str]:
    generator = random.Random(2014)
    strings = []
    for _ in range(count):
        alphabets = generator.sample(ALPHABETS, generator.randint(1, 3))
        letters = "".join(alphabets) + chr(generator.choice((0x7F, 0xE000, 0x1F600, 0xFFFD, 0x3B1)))
        strings.append("".join(generator.choices(letters, k=generator.randint(0, 40))))
    return strings


@pytest.fixture(scope="module")
def subwords() -> SubwordVocabulary:
    return SubwordVocabulary.train([*SENTENCES, "äöüß é", "漢字 😀 ab"], size=220)


@pytest.fixture(scope="module")
def page(
    browser: Browser, subwords: SubwordVocabulary, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("words")

    def export(name: str, source, target) -> Path:
        config = Seq2SeqConfig(
            source_vocabulary_size=len(source), target_vocabulary_size=len(target),
            embedding_size=4, hidden_size=4, decoder="cho",
        )  # fmt: skip
        return export_model(
            build_model(config),
            folder / f"{name}.js",
            vocabularies={"source": source, "target": target},
        )

    words = export("words", GRAMMAR.source_vocabulary(), GRAMMAR.target_vocabulary())
    pieces = export("pieces", subwords, subwords)
    opened = open_engine(browser, folder, [words, pieces])
    yield opened
    opened.close()


def pieces_in_page(page: Page, texts: list[str]) -> list[dict]:
    return page.evaluate("(texts) => texts.map((text) => use('pieces').tokenize(text))", texts)


def assert_cut_alike(found: list[dict], texts: list[str], vocabulary: SubwordVocabulary) -> None:
    for shown, text in zip(found, texts, strict=True):
        assert shown["words"] == vocabulary.pieces(text), repr(text)
        assert shown["ids"] == vocabulary.encode(text), repr(text)
        unknown = [i for i, index in enumerate(shown["ids"]) if index == vocabulary.unk_id]
        assert [each["index"] for each in shown["unknown"]] == unknown
        assert shown["tokens"] == [*shown["words"], "<eos>"]


def test_subwords_of_sentences_and_of_random_strings(
    page: Page, subwords: SubwordVocabulary
) -> None:
    texts = [*SENTENCES[:200], *random_strings(1_000), "", "   ", "<eos> <unk>"]
    assert_cut_alike(pieces_in_page(page, texts), texts, subwords)


def test_subwords_are_joined_again(page: Page, subwords: SubwordVocabulary) -> None:
    texts = [*SENTENCES[:100], *random_strings(100)]
    ids = [subwords.encode(text) for text in texts]
    joined = page.evaluate("(all) => all.map((ids) => use('pieces').detokenize(ids))", ids)
    assert joined == [subwords.decode(one) for one in ids]


def test_ten_thousand_characters_are_cut(page: Page, subwords: SubwordVocabulary) -> None:
    texts = [("sleeps" * 1667)[:10_000], "the cat " * 1250]
    assert_cut_alike(pieces_in_page(page, texts), texts, subwords)


def test_a_half_character_is_one_unknown_sign(page: Page, subwords: SubwordVocabulary) -> None:
    shown = page.evaluate(
        "use('pieces').tokenize('a' + String.fromCharCode(0xd83d) + 'b').words.join('|')"
    )
    assert shown == "|".join(segment("a\ud83db", subwords.scored_pieces()))


@pytest.mark.skipif(not multi30k.is_downloaded(), reason="Multi30k was never downloaded here")
def test_subwords_of_the_whole_multi30k_test_set(browser: Browser, tmp_path: Path) -> None:
    german = multi30k.load_multi30k("test").source
    training = multi30k.load_multi30k("train").source
    vocabulary = SubwordVocabulary.train(training[:8_000], size=4_000)
    config = Seq2SeqConfig(
        source_vocabulary_size=len(vocabulary), target_vocabulary_size=len(vocabulary),
        embedding_size=2, hidden_size=2, decoder="cho",
    )  # fmt: skip
    path = export_model(
        build_model(config),
        tmp_path / "pieces.js",
        vocabularies={"source": vocabulary, "target": vocabulary},
    )
    page = open_engine(browser, tmp_path, [path])
    assert len(german) == 1000
    assert_cut_alike(pieces_in_page(page, german), german, vocabulary)
    page.close()


def test_words_of_the_grammar(page: Page) -> None:
    examples = [list(example.source) for example in GRAMMAR.sample(200, seed=4, split="test")]
    vocabulary = GRAMMAR.source_vocabulary()
    found = page.evaluate(
        "(all) => all.map((text) => use('words').tokenize(text))",
        [" ".join(words) for words in examples],
    )
    for shown, words in zip(found, examples, strict=True):
        assert shown["words"] == words
        assert shown["ids"] == vocabulary.encode(words)
        assert shown["unknown"] == []


def test_words_as_readers_type_them(page: Page) -> None:
    vocabulary = set(GRAMMAR.source_vocabulary().tokens)
    assert {"the", "girl", "'s", "'", "book", "boys", "cat", "sleeps"} <= vocabulary
    cases = {
        "The cat sleeps.": "the cat sleeps",
        "  the\tgirl's   book ": "the girl 's book",
        "the boys' book": "the boys ' book",
        "the girl\u2019s book!?": "the girl 's book",
        "the girl 's book": "the girl 's book",
        "": "",
        ".": "",
    }
    for typed, expected in cases.items():
        shown = page.evaluate("(text) => use('words').tokenize(text)", typed)
        assert " ".join(shown["words"]) == expected, typed
        assert shown["ids"][-1] == 3


def test_unknown_words_come_with_their_nearest(page: Page) -> None:
    shown = page.evaluate("use('words').tokenize('the katt <eos> ' + 'x'.repeat(10000))")
    assert [each["word"] for each in shown["unknown"][:2]] == ["katt", "<eos>"]
    assert [each["index"] for each in shown["unknown"]] == [1, 2, 3]
    assert shown["unknown"][0]["nearest"][0] == "cat"
    assert shown["unknown"][2]["nearest"] == []
    assert shown["ids"] == [GRAMMAR.source_vocabulary().encode(["the"])[0], 1, 1, 1, 3]


def test_words_are_joined_again(page: Page) -> None:
    vocabulary = GRAMMAR.target_vocabulary()
    for example in GRAMMAR.sample(20, seed=5):
        ids = [2, *vocabulary.encode(example.target), 5, 0]
        joined = page.evaluate("(ids) => use('words').detokenize(ids)", ids)
        assert joined == " ".join(vocabulary.decode(ids)) == " ".join(example.target)
