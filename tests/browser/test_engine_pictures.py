"""The engine's captions and its renderer of scenes, against PyTorch and the Python renderer."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from engine_page import largest_difference, open_engine
from playwright.sync_api import Browser, Page

from utils.datasets.scene_rendering import render_all
from utils.datasets.scenes import DIGITS, Scene, SceneConfig, describe, digit_levels, sample_scenes
from utils.datasets.vocabulary import Vocabulary
from utils.decoding import beam_search, greedy_search
from utils.exporting import export_model, load_exported
from utils.models.captioning import CaptioningConfig, CaptioningModel, build_captioning_model

VOCABULARY = Vocabulary([f"w{i}" for i in range(20)])
KINDS = {
    "soft": {},
    "hard": {"attention": "hard"},
    "mean": {"attention": "mean"},
    "plain": {"gate": False, "places": False, "context_layers": 2},
    "wide": {"context_layers": 2, "context_kernel": 3, "image_size": 40},
    "residual": {"encoder": "residual", "channels": (3, 5, 8), "context_layers": 2},
}
CONFIGS = {
    "two objects": SceneConfig(),
    "hard": SceneConfig.hard(),
    "easy": SceneConfig.easy(),
    "digits": SceneConfig.digits(),
    "large": SceneConfig(image_size=96, noise_amplitude=0.5, backgrounds=("checks",)),
}


def lively_model(seed: int, changes: dict) -> CaptioningModel:
    """Random weights that look at different places, and statistics that batches would leave."""
    sizes = {
        "vocabulary_size": len(VOCABULARY), "embedding_size": 8, "hidden_size": 10,
        "attention_size": 6, "channels": (3, 4, 5), "image_size": 32,
    }  # fmt: skip
    torch.manual_seed(seed)
    model = build_captioning_model(CaptioningConfig(**(sizes | changes))).eval()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_mean"):
                tensor.normal_(0, 0.3)
            elif name.endswith("running_var"):
                tensor.uniform_(0.3, 1.5)
            elif tensor.is_floating_point():
                tensor *= 2.5
        model.output.bias[VOCABULARY.eos_id] -= 2  # else every caption is empty
    return model


def scene_values(scene: Scene) -> dict:
    """A scene as the page takes it; digits bring their handwriting."""
    values = asdict(scene)
    for item in values["objects"]:
        if item["kind"] in DIGITS:
            item["levels"] = digit_levels()[0][item["digit_index"]].flatten().tolist()
    return values


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        key: export_model(
            lively_model(number, changes),
            folder / f"{key}.js",
            precision=("int8", "float16")[number % 2],
            vocabularies={"caption": VOCABULARY},
        )
        for number, (key, changes) in enumerate(KINDS.items())
    }


@pytest.fixture(scope="module")
def page(
    browser: Browser, exported: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Page]:
    opened = open_engine(browser, tmp_path_factory.mktemp("page"), exported.values())
    yield opened
    opened.close()


@pytest.mark.parametrize("key", KINDS)
def test_captions_equal_pytorch(key: str, page: Page, exported: dict[str, Path]) -> None:
    model = load_exported(exported[key]).build()
    side = model.config.image_size
    images = torch.rand(6, 3, side, side, generator=torch.Generator().manual_seed(3))
    shown = page.evaluate(
        """([name, images]) => images.map((image) => [1, 3].map((beam) => {
          const found = use(name).caption(Float32Array.from(image), {beam, maximumLength: 8});
          const { rows, columns } = found.grid;
          return {
            tokens: found.tokens, logProbability: found.logProbability, rows, columns,
            weights: found.steps[0].weights && found.steps.map((step) => rounded(step.weights)),
            gates: found.steps.map((step) => step.gate),
          };
        }))""",
        [key, images.flatten(1).tolist()],
    )
    lengths = torch.ones(len(images), dtype=torch.int64)
    greedy = greedy_search(model, images, lengths, maximum_length=8)
    beams = beam_search(model, images, lengths, beam_size=3, maximum_length=8)
    said = set()
    for (one, wide), greedily, (widely,) in zip(shown, greedy, beams, strict=True):
        for found, expected in ((one, greedily), (wide, widely)):
            assert found["tokens"] == expected.tokens
            assert found["logProbability"] == pytest.approx(expected.log_probability, abs=1e-4)
            assert (found["rows"], found["columns"]) == (side // 8, side // 8)
            if expected.weights is None:
                assert found["weights"] is None
            else:
                assert largest_difference(found["weights"], expected.weights) < 1e-4
            assert (found["gates"][0] is None) == (not model.config.gate)
        said.add(round(one["logProbability"], 2))
    assert len(said) > 1  # the pictures matter


def test_the_gate_is_shown_and_a_hand_may_move_the_look(
    page: Page, exported: dict[str, Path]
) -> None:
    model = load_exported(exported["soft"]).build()
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(4))
    given = torch.zeros(16)
    given[5] = 1.0
    gate, logits = page.evaluate(
        """([image, weights]) => {
          const model = use("soft");
          const encoded = model.encode(Float32Array.from(image));
          const step = model.step(2, model.start(encoded), encoded, {weights});
          return [step.gate, Array.from(step.logits)];
        }""",
        [image.flatten().tolist(), given.tolist()],
    )
    with torch.no_grad():
        encoded, state = model.start(model.encode(image))
        # all weight on one cell: as if the whole picture's values were that cell's
        told = encoded._replace(memory=encoded.memory[:, 5:6].expand_as(encoded.memory))
        expected = model.step(torch.tensor([2]), state, told)
    assert gate == pytest.approx(float(expected.gate), abs=1e-5)
    torch.testing.assert_close(torch.tensor(logits), expected.logits[0], rtol=0, atol=1e-4)


def test_a_wrong_picture_is_named(page: Page) -> None:
    said = page.evaluate(
        "() => { try { use('soft').caption([1, 2]); } catch (error) { return error.message; } }"
    )
    assert "3072 numbers (3 · 32 · 32) is expected, got 2" in said


@pytest.mark.parametrize("name", CONFIGS)
def test_scenes_are_drawn_alike(name: str, page: Page) -> None:
    scenes = sample_scenes(CONFIGS[name], 50, seed=5, split="test")
    pictures = render_all(scenes)  # (N, H, W, 3) uint8
    drawn = page.evaluate(
        """(scenes) => scenes.map((scene) => {
          const values = attentionBook.renderScene(scene);
          if (!(values instanceof Float32Array)) throw new Error("expected a Float32Array");
          const pixels = attentionBook.scenePixels(values);
          return btoa(pixels.reduce((text, value) => text + String.fromCharCode(value), ""));
        })""",
        [scene_values(scene) for scene in scenes],
    )
    found = np.frombuffer(b"".join(map(b64decode, drawn)), np.uint8).astype(int)
    found = found.reshape(*pictures.shape[:3], 4)
    assert (found[..., 3] == 255).all()
    difference = np.abs(found[..., :3] - pictures.astype(int))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3


def test_a_drawn_scene_is_what_the_model_reads(page: Page) -> None:
    scene = sample_scenes(SceneConfig(), 1, seed=6)[0]
    values = page.evaluate(
        "(scene) => Array.from(attentionBook.renderScene(scene))", scene_values(scene)
    )
    expected = torch.from_numpy(render_all([scene])[0]).permute(2, 0, 1).float() / 255
    assert float((torch.tensor(values) - expected.flatten()).abs().max()) <= 1.001 / 255


def test_scenes_are_described_alike(page: Page) -> None:
    scenes = [scene for config in CONFIGS.values() for scene in sample_scenes(config, 20, seed=7)]
    shown = page.evaluate(
        """(scenes) => scenes.map((scene) => {
          const found = attentionBook.describeScene({...scene, objects: scene.objects.reverse()});
          return [found.words, found.wordObjects];
        })""",
        [scene_values(scene) for scene in scenes],
    )
    for scene, (words, word_objects) in zip(scenes, shown, strict=True):
        expected = describe(scene)
        assert (tuple(words), tuple(word_objects)) == (expected.words, expected.word_objects)


def test_defaults_and_unknown_parts_of_a_scene(page: Page) -> None:
    empty = page.evaluate("Array.from(attentionBook.renderScene({objects: []}))")
    assert len(empty) == 3 * 64 * 64
    assert set(np.round(np.array(empty) * 255)) == {128}
    circle = "{kind: 'circle', colour: 'red', centre_x: 9, centre_y: 9, half_size: 5}"
    cases = {
        f"{{objects: [{circle.replace('circle', 'star')}]}}": 'unknown kind "star"',
        f"{{objects: [{circle.replace('red', 'pink')}]}}": 'unknown colour "pink"',
        f"{{objects: [{circle.replace('circle', 'two')}]}}": "needs its handwriting",
        "{objects: [], background: 'sky'}": 'unknown background "sky"',
    }
    for scene, message in cases.items():
        said = page.evaluate(
            f"() => {{ try {{ attentionBook.renderScene({scene}); return 'drawn'; }}"
            " catch (error) { return error.message; } }"
        )
        assert message in said
