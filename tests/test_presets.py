"""The presets: what they cost, that each can be trained, and how they are changed."""

from __future__ import annotations

import json
import math

import pytest
import torch
from tiny_text import small_multi30k

from utils.datasets.multi30k import is_downloaded, load_multi30k
from utils.datasets.subwords import SubwordVocabulary
from utils.models.seq2seq import EncoderDecoder, Seq2SeqConfig, build_model, count_parameters
from utils.presets.definitions import PRESETS, Preset, PresetError, find_preset, override
from utils.presets.tasks import prepare
from utils.training import fit
from utils.translator import Translator

# A median sentence of the test split, in pieces, <eos> counted (checked below with the real data).
MEDIAN_SOURCE, MEDIAN_TARGET = 15, 14
TINY = {
    "grammar": {"train_size": 48, "validation_size": 8, "hidden_size": 8, "embedding_size": 6},
    "scenes": {"train_size": 32, "test_size": 4, "hidden_size": 8, "embedding_size": 6},
    "multi30k": {
        "source_pieces": 110, "target_pieces": 110, "hidden_size": 8, "embedding_size": 6,
        "readout_size": 6, "mixed_precision": False,
    },
}  # fmt: skip


def build(name: str) -> EncoderDecoder:
    preset = PRESETS[name]
    return build_model(
        Seq2SeqConfig(
            source_vocabulary_size=preset.data["source_pieces"],
            target_vocabulary_size=preset.data["target_pieces"],
            **preset.model,
        )
    )


def tiny(preset: Preset) -> Preset:
    changes = TINY[preset.task] | {"epochs": 1, "batch_size": 16}
    if "summary_size" in preset.model:
        changes["summary_size"] = 4
    return override(preset, changes)


def multiply_adds(model: EncoderDecoder, *, source: int, target: int) -> int:
    """Products of one greedy translation: every weight once a piece, and the attention's sums.

    Embeddings are looked up, not multiplied, but for the tied one, which is the output layer.
    """
    sizes = {name: p.numel() for name, p in model.named_parameters() if p.ndim == 2}
    once = sum(sizes[name] for name in sizes if ".bridge." in name or ".compress." in name)
    per_source = sum(n for name, n in sizes.items() if name.startswith("encoder.recurrence."))
    per_target = sum(n for name, n in sizes.items() if name.startswith("decoder.")) - once
    attention = model.config.attention_size or 0
    if "decoder.attention.key_projection.weight" in sizes:
        keys = sizes["decoder.attention.key_projection.weight"]
        per_source, per_target = per_source + keys, per_target - keys
        per_target += source * (attention + model.encoder.memory_size)  # scores, then the context
    if not model.config.tie_embeddings:
        per_target -= sizes["decoder.embedding.weight"]
    return once + source * per_source + target * per_target


@pytest.mark.parametrize("name", ["multi30k-bahdanau", "multi30k-fixed"])
def test_the_translators_are_small_enough_for_a_page(name: str) -> None:
    model = build(name)
    parameters = count_parameters(model)
    assert parameters == sum(value.numel() for value in model.state_dict().values())
    pieces = PRESETS[name].data["source_pieces"] + PRESETS[name].data["target_pieces"]
    exported = math.ceil(parameters * 4 / 3) + 24 * pieces  # one byte a weight, in base64
    assert exported <= 6e6, f"{name}: {exported / 1e6:.2f} MB"
    assert parameters * 2 + 24 * pieces <= 12e6, "the stored model, float16"
    found = multiply_adds(model, source=MEDIAN_SOURCE, target=MEDIAN_TARGET)
    assert found <= 130e6, f"{name}: {found / 1e6:.0f} million multiply-adds"


def test_the_count_of_multiply_adds_is_that_of_the_matrices_used() -> None:
    """Counted again from the products that run, without the attention's own sums."""
    model = build("multi30k-bahdanau").eval()
    counted = 0

    def count(module: torch.nn.Module, inputs: tuple, output: object) -> None:
        nonlocal counted
        weight = module.weight
        counted += inputs[0].numel() // weight.shape[1] * weight.numel()

    for module in model.modules():
        if isinstance(module, torch.nn.Linear) or type(module).__name__ == "TiedVocabulary":
            module.register_forward_hook(count)
    encoded, state = model.start(model.encode(torch.full((1, 9), 5), torch.tensor([9])))
    for token in range(4, 11):  # seven pieces
        state = model.step(torch.tensor([token]), state, encoded).state
    cell = model.decoder.recurrence.cells[0]
    gates = cell.weight_ih.numel() + cell.weight_hh.numel()
    encoder = sum(p.numel() for p in model.encoder.recurrence.parameters() if p.ndim == 2)
    context = 7 * 9 * model.encoder.memory_size
    score_vector = model.decoder.attention.score_vector.weight.numel()
    expected = counted + 9 * encoder + 7 * gates + context
    # the score's vector is counted once more in the sum over all matrices of a step
    assert multiply_adds(model, source=9, target=7) == expected + 7 * score_vector


def test_the_twin_without_attention_has_as_many_weights() -> None:
    counts = [count_parameters(build(f"multi30k-{name}")) for name in ("bahdanau", "fixed")]
    assert abs(counts[1] / counts[0] - 1) <= 0.05
    one, other = (PRESETS[f"multi30k-{name}"] for name in ("bahdanau", "fixed"))
    assert (one.data, one.stages, one.batch_size) == (other.data, other.stages, other.batch_size)


@pytest.mark.skipif(not is_downloaded(), reason="Multi30k is not downloaded")
def test_the_median_sentence_is_as_long_as_assumed() -> None:
    pieces = PRESETS["multi30k-bahdanau"].data
    train, test = load_multi30k("train"), load_multi30k("test")
    for side, size, assumed in (
        ("source", pieces["source_pieces"], MEDIAN_SOURCE),
        ("target", pieces["target_pieces"], MEDIAN_TARGET),
    ):
        vocabulary = SubwordVocabulary.train(getattr(train, side), size=size)
        lengths = sorted(len(vocabulary.encode(line)) for line in getattr(test, side))
        assert lengths[len(lengths) // 2] <= assumed


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_trained_and_scored(
    name: str, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_multi30k(tmp_path, monkeypatch)
    preset = tiny(PRESETS[name])
    task = prepare(preset)
    before = {key: value.clone() for key, value in task.model.state_dict().items()}
    for stage, loss in zip(preset.stages, task.losses, strict=True):
        history = fit(
            task.model, task.train, task.validation, stage.training, progress=False,
            compute_loss=loss,
        )  # fmt: skip
        assert math.isfinite(history.best_loss)
    assert any(not torch.equal(before[key], v) for key, v in task.model.state_dict().items())
    scores = task.score(task.model)
    assert {"bleu"} <= scores.keys()
    json.dumps([scores, task.config, task.about_data, preset.settings], allow_nan=False)


def test_preparing_twice_gives_the_same_model(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_multi30k(tmp_path, monkeypatch)
    preset = tiny(PRESETS["multi30k-bahdanau"])
    one, same = prepare(preset), prepare(preset)
    other = prepare(override(preset, {"seed": 7}))
    name = "encoder.embedding.weight"
    assert torch.equal(one.model.state_dict()[name], same.model.state_dict()[name])
    assert not torch.equal(one.model.state_dict()[name], other.model.state_dict()[name])


def test_a_reversed_source_is_scored_in_its_own_order(monkeypatch: pytest.MonkeyPatch) -> None:
    task = prepare(tiny(PRESETS["grammar-lstm"]))
    seen: list[str] = []
    translate = Translator.translate

    def spy(self: Translator, lines: list[str], **options: int):
        seen.extend(lines)
        return translate(self, lines, **options)

    monkeypatch.setattr(Translator, "translate", spy)
    task.score(task.model)
    pairs = task.validation.dataset
    read = pairs.source_vocabulary.decode(pairs[0][0])
    assert seen[0].split() == read[::-1], "the translator itself reverses"


def test_presets_cannot_be_changed_in_place() -> None:
    preset = PRESETS["multi30k-fixed"]
    with pytest.raises(AttributeError):
        preset.batch_size = 1
    with pytest.raises(TypeError):
        preset.model["dropout"] = 0.5
    with pytest.raises(TypeError):
        PRESETS["new"] = preset


def test_settings_are_read_as_a_command_line_writes_them() -> None:
    preset = override(
        PRESETS["multi30k-bahdanau"],
        {
            "dropout": "0.4", "learning_rate": "1e-3", "clip_norm": "none", "batch_size": "32",
            "mixed_precision": "false", "train_size": "100", "cell": "gru", "subword_dropout": 0.1,
        },
    )  # fmt: skip
    training = preset.stages[0].training
    assert (preset.model["dropout"], preset.batch_size) == (0.4, 32)
    assert (training.learning_rate, training.clip_norm) == (1e-3, None)
    assert training.mixed_precision is False
    assert (preset.data["train_size"], preset.data["subword_dropout"]) == (100, 0.1)
    assert PRESETS["multi30k-bahdanau"].model["dropout"] != 0.4


def test_settings_of_captions_reach_every_stage() -> None:
    preset = override(PRESETS["scenes-hard"], {"epochs": "2", "entropy": "0.5"})
    assert [stage.training.epochs for stage in preset.stages] == [2, 2]
    assert [stage.loss["entropy"] for stage in preset.stages] == [0.5, 0.5]
    assert preset.stages[0].loss["expected_share"] == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dropot": "1"}, r"no setting 'dropot'; nearest: dropout"),
        ({"dropout": "1.0"}, "dropout must be in"),
        ({"epochs": "0"}, "epochs must be an integer"),
        ({"batch_size": "many"}, "batch_size must be an integer"),
        ({"readout_size": "7"}, "tie_embeddings needs a readout as wide"),
        ({"hidden_size": "big"}, "do not suit.*hidden_size cannot be 'big'"),
        ({"bidirectional": "3"}, "bidirectional cannot be 3"),
        ({"zzzz": "1"}, "no setting 'zzzz'; nearest: attention"),
    ],
)
def test_impossible_settings_are_refused(change: dict, message: str) -> None:
    with pytest.raises(PresetError, match=message):
        override(PRESETS["multi30k-bahdanau"], change)


def test_an_impossible_loss_is_refused() -> None:
    with pytest.raises(PresetError, match="credit"):
        override(PRESETS["scenes-hard"], {"credit": "nobody"})


def test_an_unknown_preset_lists_the_nearest() -> None:
    assert find_preset("scenes-soft").task == "scenes"
    with pytest.raises(PresetError, match="did you mean multi30k-bahdanau"):
        find_preset("multi30k-bahdana")
    with pytest.raises(PresetError, match="there are grammar-fixed"):
        find_preset("xyz")


def test_data_that_cannot_be_made_is_an_error(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_multi30k(tmp_path, monkeypatch)
    preset = override(tiny(PRESETS["multi30k-fixed"]), {"source_pieces": 100_000})
    with pytest.raises(PresetError, match="multi30k-fixed cannot be prepared.*100000 pieces"):
        prepare(preset)
