"""The translator: order, empty lines, long lines, and finding a model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny_text import raw_pairs, save_translator, tiny_translator

from utils import translator as module
from utils.checkpoints import CheckpointError, save_model
from utils.datasets.vocabulary import Vocabulary
from utils.models.seq2seq import Seq2SeqConfig, build_model
from utils.translator import Translator, find_model, load_translator, released_models

LINES = [*raw_pairs(9, seed=4).source, "", "A 🙂 мир.", "  \u00a0 "]


@pytest.mark.parametrize("beam_size", [1, 3])
def test_alone_or_together_a_line_has_one_translation(beam_size: int) -> None:
    translator = tiny_translator(dtype=torch.float64)
    together = translator.translate(LINES, beam_size=beam_size)
    alone = [translator.translate([line], beam_size=beam_size)[0] for line in LINES]
    pairs = translator.translate(LINES, beam_size=beam_size, batch_size=2)
    texts = [each.text for each in together]
    assert texts == [each.text for each in alone] == [each.text for each in pairs]
    assert len(set(texts)) > 3, "the lines must be told apart"
    for one, other in zip(together, alone, strict=True):
        if one.weights is not None:
            torch.testing.assert_close(one.weights, other.weights)


def test_lines_without_words_stay_empty() -> None:
    found = tiny_translator().translate(LINES)
    assert found[-3].text == found[-1].text == ""
    assert found[-3].weights is None
    assert tiny_translator().translate([]) == []


def test_what_a_translation_says_of_its_pieces() -> None:
    translator = tiny_translator()
    line = LINES[0]
    found = translator.translate([line], beam_size=2)[0]
    assert found.source_pieces == [*translator.source_vocabulary.pieces(line), "<eos>"]
    assert found.weights.shape == (len(found.target_pieces), len(found.source_pieces))
    assert found.finished == (found.target_pieces[-1] == "<eos>")
    assert found.score < 0
    assert tiny_translator(decoder="cho", attention=None).translate([line])[0].weights is None


def test_a_reversed_source_is_shown_in_its_own_order() -> None:
    line = LINES[0]
    plain = tiny_translator()
    turned = tiny_translator(reverse_source=True)
    found = turned.translate([line], beam_size=1)[0]
    assert found.source_pieces == [*plain.source_vocabulary.pieces(line), "<eos>"]
    ids = plain.source_vocabulary.encode(line)
    expected = turned.model(
        torch.tensor([[*ids[-2::-1], ids[-1]]]), torch.tensor([len(ids)]), torch.tensor([[2]])
    ).weights[0, 0]  # what the model looks at first, in the order in which it reads
    columns = [*range(len(ids) - 2, -1, -1), len(ids) - 1]
    torch.testing.assert_close(found.weights[0], expected[columns])


def test_long_lines_are_translated_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_SOURCE", 40)
    translator = tiny_translator(dtype=torch.float64)
    sentences = raw_pairs(8, seed=4).source
    found = translator.translate([" ".join(sentences), sentences[0]], beam_size=1)
    assert len(found) == 2
    assert found[1].parts == ()
    parts = found[0].parts
    assert [part.text for part in parts] == [
        each.text for each in translator.translate(sentences, beam_size=1)
    ], "sentence by sentence"
    assert "".join(p for part in parts for p in part.source_pieces if p != "<eos>") == (
        "".join(translator.source_vocabulary.pieces(" ".join(sentences)))
    ), "nothing is left out"
    assert all(part.source_pieces[-2].endswith(".") for part in parts)
    assert found[0].text == " ".join(part.text for part in parts if part.text)
    assert found[0].weights is None

    # a sentence that is too long is cut between words, a word without end anywhere
    words = translator.translate(["girl " * 60], beam_size=1)[0].parts
    assert len(words) > 1 and all(len(part.source_pieces) <= 41 for part in words)
    assert all(part.source_pieces[0].startswith("▁") for part in words)
    glued = translator.translate(["a" * 100], beam_size=1)[0].parts
    assert len(glued) > 1 and all(len(part.source_pieces) <= 41 for part in glued)


def test_a_stream_reads_no_further_than_it_looks_ahead() -> None:
    read = 0

    def lines() -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield LINES[read % 3]

    stream = tiny_translator().stream(lines(), beam_size=1, look_ahead=4)
    assert [next(stream).text for _ in range(5)]
    assert read == 8


def test_a_model_of_words_reads_words(tmp_path: Path) -> None:
    vocabulary = Vocabulary(["a", "b"])
    config = Seq2SeqConfig(
        source_vocabulary_size=6, target_vocabulary_size=6, embedding_size=4, hidden_size=4,
        decoder="cho",
    )  # fmt: skip
    save_translator(tmp_path, Translator(build_model(config), vocabulary, vocabulary))
    found = load_translator(tmp_path).translate(["a b  a", ""])
    assert found[0].source_pieces == ["a", "b", "a", "<eos>"]
    assert isinstance(found[0].text, str)


def test_saved_and_loaded_it_translates_the_same(tmp_path: Path) -> None:
    translator = tiny_translator()
    save_translator(tmp_path, translator, card={"name": "tiny"})
    loaded = load_translator(str(tmp_path))
    assert loaded.card == {"name": "tiny"}
    expected = [each.text for each in translator.translate(LINES)]
    assert [each.text for each in loaded.translate(LINES)] == expected


def test_models_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MODELS", tmp_path)
    with pytest.raises(CheckpointError, match="train one first"):
        find_model("tiny-model")
    save_translator(tmp_path / "tiny-model", tiny_translator())
    assert released_models() == ["tiny-model"]
    assert find_model("tiny-model") == tmp_path / "tiny-model"
    assert find_model(tmp_path / "tiny-model") == tmp_path / "tiny-model"
    with pytest.raises(CheckpointError, match="no model 'tiny-mode'.*: tiny-model$"):
        find_model("tiny-mode")


def test_what_does_not_translate_is_refused(tmp_path: Path) -> None:
    translator = tiny_translator()
    config = translator.model.config.to_dict()
    save_model(tmp_path / "captions", translator.model, config=config, vocabularies={"caption": {}})
    with pytest.raises(CheckpointError, match=r"no translator.*\['caption'\]"):
        load_translator(tmp_path / "captions")
    save_model(
        tmp_path / "foreign",
        translator.model,
        config=config | {"magic": 1},
        vocabularies={"source": {}, "target": {}},
    )
    with pytest.raises(CheckpointError, match="cannot be built"):
        load_translator(tmp_path / "foreign")
