"""Scenes: captions follow from pictures, boxes hold the objects, pixels follow the formula."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from utils.datasets.batching import BucketedBatches
from utils.datasets.captioned_images import RenderedScenes, scene_vocabulary
from utils.datasets.scene_rendering import hash32, render, render_all
from utils.datasets.scenes import (
    DIGITS,
    KINDS,
    MAXIMUM_BOX_SHARE,
    PALETTE,
    SHAPES,
    Scene,
    SceneConfig,
    SceneObject,
    caption_words,
    describe,
    digit_levels,
    relation_between,
    sample_scenes,
)
from utils.datasets.vocabulary import Vocabulary

CONFIGS = {
    "easy": SceneConfig.easy(),
    "standard": SceneConfig(),
    "hard": SceneConfig.hard(),
    "digits": SceneConfig.digits(),
    "four large": SceneConfig(minimum_objects=4, maximum_objects=4, sizes=("large",)),
    "96 pixels": SceneConfig(image_size=96),
}
config_cases = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def plain(*objects: SceneObject, **changes) -> Scene:
    return Scene(objects=objects, **changes)


# --- sampling and captions ------------------------------------------------------------------------


@config_cases
def test_boxes_are_small_apart_and_inside_the_picture(config: SceneConfig) -> None:
    for scene in sample_scenes(config, 60, seed=3):
        boxes = describe(scene).boxes
        for index, box in enumerate(boxes):
            assert 0 <= box.left < box.right <= config.image_size
            assert 0 <= box.top < box.bottom <= config.image_size
            area = (box.right - box.left) * (box.bottom - box.top)
            assert area <= MAXIMUM_BOX_SHARE * config.image_size**2
            for other in boxes[:index]:
                apart = max(
                    other.left - box.right, box.left - other.right,
                    other.top - box.bottom, box.top - other.bottom,
                )  # fmt: skip
                assert apart >= config.gap - 1e-6


@config_cases
def test_captions_have_words_of_the_vocabulary_and_boxes_of_their_objects(config) -> None:
    words = set(caption_words(config))
    for scene in sample_scenes(config, 40, seed=4):
        description = describe(scene)
        assert set(description.words) <= words
        assert len(description.words) == len(description.word_boxes)
        for word, number in zip(description.words, description.word_objects, strict=True):
            named = word in PALETTE or word in KINDS or word in ("small", "large")
            assert (number is not None) == named
            if number is not None:
                item = scene.objects[number]
                assert word in (item.kind, item.colour, item.size)
                assert description.word_boxes[description.words.index(word)] is not None


def test_the_caption_does_not_depend_on_the_order_of_the_objects() -> None:
    for scene in sample_scenes(SceneConfig.hard(), 30, seed=5):
        turned = replace(scene, objects=scene.objects[::-1])
        assert describe(turned) == describe(scene)


def test_no_relation_hangs_on_a_few_pixels() -> None:
    config = SceneConfig()
    for scene in sample_scenes(config, 200, seed=6):
        one, other = scene.objects
        dx, dy = other.centre_x - one.centre_x, other.centre_y - one.centre_y
        assert abs(abs(dx) - abs(dy)) >= config.relation_margin


@pytest.mark.parametrize(
    ("dx", "dy", "relation"),
    [(9, 2, "left of"), (-9, 2, "right of"), (3, 9, "above"), (3, -9, "below")],
)
def test_relations_are_seen_from_the_second_object(dx: float, dy: float, relation: str) -> None:
    first = SceneObject("circle", "red", "small", 30, 30, 6)
    second = SceneObject("ring", "blue", "large", 30 + dx, 30 + dy, 9)
    assert " ".join(relation_between(first, second)) == relation
    caption = " ".join(describe(plain(second, first)).words)
    assert caption == f"a small red circle {relation} a large blue ring"


def test_a_scene_is_fixed_by_seed_split_and_number() -> None:
    config = SceneConfig()
    first = sample_scenes(config, 20, seed=1)
    assert first == sample_scenes(config, 20, seed=1)
    assert first[5:] == sample_scenes(config, 15, seed=1, start=5)
    assert first != sample_scenes(config, 20, seed=2)
    assert (render_all(first) == render_all(first)).all()


def test_splits_share_no_picture() -> None:
    pictures = {
        split: {
            picture.tobytes()
            for picture in render_all(sample_scenes(SceneConfig.easy(), 300, seed=1, split=split))
        }
        for split in ("train", "validation", "test")
    }
    assert not pictures["train"] & pictures["test"]
    assert not pictures["train"] & pictures["validation"]


def test_objects_lie_anywhere_and_captions_are_balanced() -> None:
    scenes = sample_scenes(SceneConfig(), 3000, seed=7)
    centres = np.array([(o.centre_x, o.centre_y) for s in scenes for o in s.objects])
    cells = np.histogram2d(*centres.T, bins=4, range=[[0, 64], [0, 64]])[0] / len(centres)
    assert cells.min() > 0.02  # 1/16 would be even; the border keeps centres half an object away
    relations = Counter(describe(s).words[4] for s in scenes)
    assert min(relations.values()) > 0.2 * len(scenes)


def test_handwriting_is_not_shared_between_splits() -> None:
    used = {
        split: {
            o.digit_index
            for s in sample_scenes(SceneConfig.digits(), 400, seed=1, split=split)
            for o in s.objects
        }
        for split in ("train", "validation", "test")
    }
    assert not used["train"] & used["test"] and not used["train"] & used["validation"]
    _, digits = digit_levels()
    for scene in sample_scenes(SceneConfig.digits(), 50, seed=2):
        assert all(DIGITS[digits[o.digit_index]] == o.kind for o in scene.objects)


# --- pixels ---------------------------------------------------------------------------------------


def pixel(scene: Scene, i: int, j: int) -> list[int]:
    """The documented formula for one pixel, in plain Python: what any other renderer must equal."""
    x, y, side = j + 0.5, i + 0.5, scene.image_size
    blend = {
        "plain": 0.0,
        "gradient": x / side,
        "checks": float((i // 8 + j // 8) % 2),
    }[scene.background]
    values = [
        a + (b - a) * blend for a, b in zip(scene.first_colour, scene.second_colour, strict=True)
    ]
    for item in scene.objects:
        share = covered(item, x - item.centre_x, y - item.centre_y)
        colour = [item.brightness * part for part in PALETTE[item.colour]]
        values = [(1 - share) * v + share * c for v, c in zip(values, colour, strict=True)]
    shown = []
    for channel, value in enumerate(values):
        n = (scene.noise_seed * 2654435769 + (i * side + j) * 3 + channel) % 2**32
        value += scene.noise_amplitude * (2 * mix(n) / 2**32 - 1)
        shown.append(math.floor(255 * min(1.0, max(0.0, value)) + 0.5))
    return shown


def covered(item: SceneObject, u: float, v: float) -> float:
    r = item.half_size
    if item.kind in DIGITS:
        if max(abs(u), abs(v)) > r:
            return 0.0
        return bilinear(digit_levels()[0][item.digit_index], (v + r) / (2 * r) * 8 - 0.5,
                        (u + r) / (2 * r) * 8 - 0.5)  # fmt: skip
    distance = {
        "circle": math.hypot(u, v) - r,
        "square": max(abs(u), abs(v)) - r,
        "triangle": max(v - r, (2 * abs(u) - v - r) / math.sqrt(5)),
        "cross": min(max(abs(u) - r / 3, abs(v) - r), max(abs(u) - r, abs(v) - r / 3)),
        "ring": abs(math.hypot(u, v) - 0.72 * r) - 0.28 * r,
        "diamond": (abs(u) + abs(v) - r) / math.sqrt(2),
    }[item.kind]
    return min(1.0, max(0.0, 0.5 - distance))


def bilinear(levels: np.ndarray, row: float, column: float) -> float:
    i, j = math.floor(row), math.floor(column)
    total = 0.0
    for a in (i, i + 1):
        for b in (j, j + 1):
            level = float(levels[a, b]) if 0 <= a < 8 and 0 <= b < 8 else 0.0
            total += level * (1 - abs(row - a)) * (1 - abs(column - b))
    return total


def mix(x: int) -> int:
    x ^= x >> 16
    x = x * 0x7FEB352D % 2**32
    x ^= x >> 15
    x = x * 0x846CA68B % 2**32
    return x ^ x >> 16


@pytest.mark.parametrize("name", ["standard", "hard", "digits"])
def test_every_pixel_follows_the_documented_formula(name: str) -> None:
    for number in range(3):
        scene = sample_scenes(CONFIGS[name], 1, seed=11, start=number)[0]
        expected = [[pixel(scene, i, j) for j in range(64)] for i in range(64)]
        difference = np.abs(render(scene).astype(int) - np.array(expected))
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.01


@pytest.mark.parametrize("kind", SHAPES)
def test_a_shape_fills_its_box_and_no_more(kind: str) -> None:
    grey = plain(first_colour=(0.5,) * 3)
    item = SceneObject(kind, "blue", "large", 30.0, 25.0, 9.0)
    changed = (render(plain(item)) != render(grey)).any(axis=2)
    rows, columns = changed.any(axis=1).nonzero()[0], changed.any(axis=0).nonzero()[0]
    box = item.box
    assert abs(columns[0] - box.left) <= 1 and abs(columns[-1] + 1 - box.right) <= 1
    assert abs(rows[0] - box.top) <= 1 and abs(rows[-1] + 1 - box.bottom) <= 1


def test_kinds_look_different() -> None:
    pictures = [
        render(plain(SceneObject(kind, "red", "large", 32.0, 32.0, 9.0))).astype(int)
        for kind in SHAPES
    ]
    for index, picture in enumerate(pictures):
        assert all(np.abs(picture - other).sum() > 1000 for other in pictures[:index])


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=20))
def test_hash32_equals_its_definition_on_integers(numbers: list[int]) -> None:
    values = np.array(numbers, dtype=np.uint32)
    assert hash32(values).tolist() == [mix(n) for n in numbers]
    assert values.tolist() == numbers, "the input must not be changed"


def test_rendering_is_the_same_in_one_batch_or_many() -> None:
    scenes = sample_scenes(SceneConfig.hard(), 700, seed=1)
    together = render_all(scenes)
    assert (together[[0, 600]] == np.stack([render(scenes[0]), render(scenes[600])])).all()


# --- as a data set --------------------------------------------------------------------------------


def test_a_batch_holds_pictures_and_shifted_captions() -> None:
    config = SceneConfig()
    vocabulary = scene_vocabulary(config)
    data = RenderedScenes(sample_scenes(config, 12, seed=1), vocabulary=vocabulary)
    batch = data.collate([3, 0, 7])
    assert batch.images.shape == (3, 3, 64, 64) and batch.images.dtype == torch.float32
    assert (batch.images[0].permute(1, 2, 0) * 255).round().byte().numpy().tolist() == (
        data.pictures[3].tolist()
    )
    for row, index in enumerate([3, 0, 7]):
        words = data.captions[index]
        assert tuple(vocabulary.decode(batch.target_output[row])) == words
        assert batch.target_lengths[row] == len(words) + 1
        read = [vocabulary.bos_id, *vocabulary.encode(words, add_eos=False)]
        assert batch.target_input[row, : len(read)].tolist() == read
        assert (batch.target_input[row, len(read) :] == vocabulary.pad_id).all()
    assert batch.target_tokens == int(batch.target_mask.sum()) and len(batch) == 3
    assert batch.to("cpu").indices.tolist() == [3, 0, 7]
    assert data.word_boxes(3) == describe(data.scenes[3]).word_boxes


def test_batches_shuffle_and_drop_nothing() -> None:
    config = SceneConfig.easy()
    data = RenderedScenes(sample_scenes(config, 10, seed=1), vocabulary=scene_vocabulary(config))
    seen = [i for batch in BucketedBatches(data, batch_size=4) for i in batch.indices.tolist()]
    assert sorted(seen) == list(range(10))


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kinds": ("circle", "hexagon")}, "kinds=.*hexagon.*choose"),
        ({"colours": ()}, "colours=\\(\\)"),
        ({"sizes": ("huge",)}, "sizes=.*huge"),
        ({"backgrounds": ("sky",)}, "backgrounds=.*sky"),
        ({"minimum_objects": 3}, "minimum_objects=3"),
        ({"maximum_objects": 5}, "maximum_objects=5"),
        ({"kinds": ("circle",), "colours": ("red",)}, "cannot give 2"),
        ({"image_size": 60}, "image_size=60"),
        ({"noise_amplitude": 1.5}, "noise_amplitude=1.5"),
        ({"kinds": ("ring", "ring")}, "kinds=.*each once"),
        ({"brightness_range": (0.9, 0.5)}, r"brightness_range=\(0.9, 0.5\)"),
        ({"brightness_range": (0.9, 255.0)}, "brightness_range=.*0 to 1"),
        ({"relation_margin": -1.0}, "relation_margin=-1.0"),
        ({"gap": float("nan")}, "gap=nan"),
    ],
)
def test_a_setting_out_of_range_is_named(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SceneConfig(**changes)


def test_bad_requests_are_named() -> None:
    config = SceneConfig()
    scenes = sample_scenes(config, 2, seed=1)
    with pytest.raises(ValueError, match="split='dev'"):
        sample_scenes(config, 1, seed=1, split="dev")
    with pytest.raises(ValueError, match="count=-1"):
        sample_scenes(config, -1, seed=1)
    with pytest.raises(ValueError, match="2 objects .* found no place .* gap=40"):
        sample_scenes(replace(config, gap=40.0), 1, seed=1)
    with pytest.raises(ValueError, match="no scenes"):
        render_all([])
    with pytest.raises(ValueError, match=r"\[64, 96\]"):
        render_all([scenes[0], replace(scenes[1], image_size=96)])
    with pytest.raises(ValueError, match="background='sky'"):
        render(replace(scenes[0], background="sky"))
    with pytest.raises(ValueError, match="kind='blob'"):
        render(plain(SceneObject("blob", "red", "small", 30, 30, 6)))
    with pytest.raises(ValueError, match="scene 0: caption words .* not in the vocabulary"):
        RenderedScenes(scenes, vocabulary=Vocabulary(["a"]))
    with pytest.raises(ValueError, match="no words"):
        RenderedScenes([plain()], vocabulary=scene_vocabulary(config))
    giant = replace(scenes[1].objects[0], half_size=12.0, centre_x=30.0, centre_y=30.0)
    with pytest.raises(ValueError, match="scene 1: the box of object 1 covers 14.1 %.*most 10 %"):
        RenderedScenes([scenes[0], plain(giant)], vocabulary=scene_vocabulary(config))
    data = RenderedScenes(scenes, vocabulary=scene_vocabulary(config))
    with pytest.raises(ValueError, match="no indices"):
        data.collate([])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda picture: picture / 255, r"scene 1: the picture is float64 of shape \(64, 64, 3\)"),
        (lambda picture: picture[..., 0], r"scene 1: the picture is uint8 of shape \(64, 64\)"),
        (lambda picture: picture[:32], r"scene 1: .*shape \(32, 64, 3\).*its first: \(64, 64\)"),
    ],
    ids=["range", "mode", "size"],
)
def test_a_data_set_that_gives_other_pictures_is_named(change, message: str) -> None:
    config = SceneConfig.easy()

    class Wrong(RenderedScenes):
        def image(self, index: int) -> np.ndarray:
            picture = super().image(index)
            return change(picture) if index == 1 else picture

    data = Wrong(sample_scenes(config, 2, seed=1), vocabulary=scene_vocabulary(config))
    assert len(data.collate([0])) == 1
    with pytest.raises(ValueError, match=message):
        data.collate([0, 1])
