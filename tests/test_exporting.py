"""Exported models: what the page gets is what PyTorch can read back, within the rounding."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import FEW, SOURCE_VOCABULARY, TARGET_VOCABULARY, random_batch, tiny_model

from utils.checkpoints import save_model
from utils.datasets.subwords import SubwordVocabulary
from utils.datasets.vocabulary import Vocabulary
from utils.explorers.engine import FILES, FOLDER, engine_script
from utils.exporting import (
    FORMAT,
    FORMAT_VERSION,
    ExportError,
    export_model,
    load_exported,
    quantise_rows,
)
from utils.models.captioning import CaptioningConfig, build_captioning_model

VOCABULARIES = {
    "source": Vocabulary([f"s{i}" for i in range(4, SOURCE_VOCABULARY)]),
    "target": Vocabulary([f"t{i}" for i in range(4, TARGET_VOCABULARY)]),
}
TEXT = ["the cat sees the dog", "the dog sleeps", "a cat and a dog sleep", "she sees the cat"] * 3


def tiny(name: str = "bahdanau-additive", **changes):
    return tiny_model(name, dtype=torch.float32, **changes)


def export(folder: Path, model=None, **options) -> Path:
    options = {"vocabularies": VOCABULARIES} | options
    return export_model(tiny() if model is None else model, folder / "tiny.js", **options)


def content_of(path: Path) -> dict:
    return json.loads(re.search(r'\["tiny"\] = (.*);\n$', path.read_text()).group(1))


def captioning_model(**changes):
    return build_captioning_model(
        CaptioningConfig(
            vocabulary_size=9,
            embedding_size=4,
            hidden_size=5,
            attention_size=3,
            channels=(2, 3, 4),
            image_size=16,
            **changes,
        )  # fmt: skip
    )


def test_rounding_by_row() -> None:
    values = np.array([[1.27, -0.6349, 0.0051], [0, 0, 0], [-254, 127, 1]], dtype=np.float32)
    codes, scales = quantise_rows(values)
    assert codes.dtype == np.int8
    assert codes.tolist() == [[127, -63, 1], [0, 0, 0], [-127, 64, 0]]
    np.testing.assert_allclose(scales, [0.01, 0, 2], rtol=1e-6)


@pytest.mark.parametrize("precision, bound", [("int8", 0.5 / 127), ("float16", 2**-11)])
@pytest.mark.parametrize("name", [*FEW, "tied"])
def test_weights_come_back_rounded(name: str, precision: str, bound: float, tmp_path: Path) -> None:
    tied = {"tie_embeddings": True, "readout_size": 4}
    model = tiny(**tied) if name == "tied" else tiny(name, cell="lstm", num_layers=2)
    exported = load_exported(export(tmp_path, model, precision=precision))
    assert exported.kind == "translation"
    assert exported.precision == precision
    assert exported.config == model.config.to_dict()
    assert exported.vocabularies["source"] == {
        "kind": "words",
        "tokens": list(VOCABULARIES["source"].tokens),
    }
    state_dict = model.state_dict()
    assert exported.state_dict.keys() == state_dict.keys()
    different = 0
    for key, tensor in state_dict.items():
        found = exported.state_dict[key]
        if tensor.ndim < 2 or len(tensor) == 1:
            assert torch.equal(found, tensor), key
        else:
            largest = tensor.abs().amax(dim=1, keepdim=True)
            assert ((found - tensor).abs() <= largest * bound * 1.001 + 1e-7).all(), key
            different += not torch.equal(found, tensor)
    assert different > 0


def test_a_read_model_computes_almost_the_same(tmp_path: Path) -> None:
    model, batch = tiny(), random_batch([5, 3], [4, 6])
    found = load_exported(export(tmp_path, model)).build()
    assert not found.training
    inputs = batch.source, batch.source_lengths, batch.target_input
    with torch.no_grad():
        one, other = model(*inputs).logits, found(*inputs).logits
    assert 0 < float((one - other).abs().max()) < 0.02


@pytest.mark.parametrize("attention", ["soft", "hard", "mean"])
def test_captioning_models_keep_their_statistics(attention: str, tmp_path: Path) -> None:
    model = captioning_model(attention=attention)
    model.train()
    model.encode(torch.rand(4, 3, 16, 16))  # moves the running statistics and their counter
    vocabulary = Vocabulary(list("abcde"))
    exported = load_exported(export(tmp_path, model, vocabularies={"caption": vocabulary}))
    assert exported.kind == "captioning"
    assert exported.vocabularies.keys() == {"target"}
    counter = exported.state_dict["encoder.layers.1.num_batches_tracked"]
    assert counter.dtype == torch.int64 and int(counter) == 1
    built = exported.build()
    assert built.config == model.config
    assert torch.equal(
        built.state_dict()["encoder.layers.1.running_mean"],
        model.state_dict()["encoder.layers.1.running_mean"],
    )


def test_a_saved_folder_is_exported_with_its_card(tmp_path: Path) -> None:
    model = tiny()
    halves = {name: value.half() for name, value in model.state_dict().items()}
    card = {"data": "tests", "score": 0.5}
    save_model(
        tmp_path / "saved",
        halves,
        config=model.config.to_dict(),
        vocabularies=VOCABULARIES,
        card=card,
    )
    exported = load_exported(export_model(tmp_path / "saved", tmp_path / "new" / "tiny.js"))
    assert exported.card == card
    assert exported.name == "tiny"
    assert exported.vocabularies["target"]["tokens"] == list(VOCABULARIES["target"].tokens)
    other = export_model(tmp_path / "saved", tmp_path / "tiny.js", card={"data": "other"})
    assert load_exported(other).card == {"data": "other"}


def test_subwords_travel_as_pieces(tmp_path: Path) -> None:
    vocabulary = SubwordVocabulary.train(TEXT, size=30)
    model = tiny(source_vocabulary_size=30, target_vocabulary_size=30)
    for given in (vocabulary, vocabulary.to_dict()):
        path = export(tmp_path, model, vocabularies={"source": given, "target": given})
        assert content_of(path)["vocabularies"]["target"] == {
            "kind": "subwords",
            "tokens": list(vocabulary.tokens),
        }


def test_subwords_out_of_order_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vocabulary = SubwordVocabulary.train(TEXT, size=30)
    pieces = vocabulary.scored_pieces()
    pieces[6], pieces[7] = pieces[7], pieces[6]
    monkeypatch.setattr(vocabulary, "scored_pieces", lambda: pieces)
    model = tiny(source_vocabulary_size=30, target_vocabulary_size=30)
    with pytest.raises(ExportError, match="order in which they were learnt"):
        export(tmp_path, model, vocabularies={"source": vocabulary, "target": vocabulary})


def test_the_file_is_one_plain_script(tmp_path: Path) -> None:
    text = export(tmp_path, vocabularies=VOCABULARIES | {"source": Vocabulary(["é"])})
    text = text.read_text(encoding="ascii")  # nothing depends on the page's character set
    assert text.startswith("globalThis.attentionBook ??= {};")
    assert text.count("\n") == 2
    assert "import" not in text.split("=")[0] and "\\u00e9" in text


def test_half_the_size_in_int8(tmp_path: Path) -> None:
    model = tiny(hidden_size=64, embedding_size=32)
    sizes = {
        precision: export(tmp_path, model, precision=precision).stat().st_size
        for precision in ("int8", "float16")
    }
    weights = sum(p.numel() for p in model.parameters())
    assert sizes["int8"] < 1.6 * weights  # base64 adds a third; entries and vocabularies
    assert 2.6 * weights < sizes["float16"] < 3 * weights


def test_an_interrupted_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = export(tmp_path)
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        export(tmp_path, tiny("cho"))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"precision": "int4"}, "precision is 'int4'; expected one of"),
        ({"vocabularies": None}, r"needs the vocabularies \['source', 'target'\]"),
        ({"vocabularies": {"source": Vocabulary()}}, r"\['target'\] missing"),
        (
            {"vocabularies": VOCABULARIES | {"source": Vocabulary(map(str, range(20)))}},
            "source vocabulary has 24 entries, the model has 11",
        ),
        ({"model": torch.nn.Linear(2, 2)}, "Linear cannot be exported"),
    ],
)
def test_what_cannot_be_exported(options: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=message):
        export(tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["tiny.json", "tiny", "a b.js", "x].js", ".js"])
def test_the_name_is_checked(name: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="expected <name>.js"):
        export_model(tiny(), tmp_path / name, vocabularies=VOCABULARIES)


@pytest.mark.parametrize("value, precision", [(float("nan"), "int8"), (1e5, "float16")])
def test_weights_that_are_no_numbers(value: float, precision: str, tmp_path: Path) -> None:
    model = tiny()
    with torch.no_grad():
        model.decoder.embedding.weight[2, 1] = value
    with pytest.raises(ExportError, match="'decoder.embedding.weight' holds"):
        export(tmp_path, model, precision=precision)


def test_what_cannot_be_read_back(tmp_path: Path) -> None:
    path = export(tmp_path)
    text = path.read_text()
    cases = {
        text[: len(text) // 2]: "was cut short",
        "": "holds no exported model",
        text.replace('"version":1', '"version":2'): "version 2; this code reads",
        text.replace('"format":"attention-book-page"', '"format":"other"'): "format 'other'",
        text.replace('"data":"', '"data":"AAAA'): "checksum is wrong",
        text.replace('{"format"', '{"format', 1): "holds no exported model",
    }
    for changed, message in cases.items():
        path.write_text(changed)
        with pytest.raises(ExportError, match=message):
            load_exported(path)
    with pytest.raises(ExportError, match="cannot be read"):
        load_exported(tmp_path / "nowhere.js")


def test_the_engine_is_plain_and_small() -> None:
    script = engine_script()
    assert len(script.encode()) < 45_000  # of the 150 kB that a page's explorer may add
    assert {path.name for path in FOLDER.glob("*.js")} == set(FILES)
    for forbidden in ("eval(", "new Function", "fetch(", "XMLHttpRequest", "import", "innerHTML"):
        assert forbidden not in script
    assert FORMAT in script and f"VERSION = {FORMAT_VERSION};" in script
