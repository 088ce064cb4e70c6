"""Scenes: pictures as descriptions, their captions, and the box of every object a caption names.

A `Scene` says which objects lie where, on what background, under how much noise; `describe` turns
it into words and `utils.datasets.scene_rendering` into pixels.

**A caption is a function of its picture.** Objects are named in a fixed order (kind as listed in
`KINDS`, then colour as listed in `PALETTE`), neighbours in the caption are joined by the relation
of their centres, and a scene whose relation hangs on a few pixels is never made. So there is one
right caption, and exact match means what it says; with a free order of mention, half of the right
captions would count as wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random
from typing import NamedTuple

import numpy as np

PALETTE: dict[str, tuple[float, float, float]] = {
    "red": (0.90, 0.12, 0.14),
    "green": (0.15, 0.70, 0.22),
    "blue": (0.16, 0.30, 0.92),
    "yellow": (0.96, 0.86, 0.12),
    "purple": (0.62, 0.16, 0.76),
    "cyan": (0.10, 0.82, 0.88),
}
SHAPES = ("circle", "square", "triangle", "cross", "ring", "diamond")
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
KINDS = SHAPES + DIGITS
BACKGROUNDS = ("plain", "gradient", "checks")
SIZES: dict[str, tuple[float, float]] = {"small": (5.5, 6.5), "large": (8.5, 9.5)}
"""Half of a box's side in pixels of a 64-pixel picture: the largest box covers 8.8 % of it."""
RELATIONS = (("left", "of"), ("right", "of"), ("above",), ("below",))
SPLITS = ("train", "validation", "test")
MAXIMUM_BOX_SHARE = 0.10
MOST_TRIES = 10_000  # to place a scene's objects; four large ones take a hundred, on average


class Box(NamedTuple):
    """Edges in pixels; a pixel (i, j) covers [j, j + 1) × [i, i + 1)."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class SceneObject:
    """One object. Centre and half_size in pixels; digit_index into `load_digits`, -1 for shapes."""

    kind: str
    colour: str
    size: str
    centre_x: float
    centre_y: float
    half_size: float
    brightness: float = 1.0
    digit_index: int = -1

    @property
    def box(self) -> Box:
        r = self.half_size
        return Box(self.centre_x - r, self.centre_y - r, self.centre_x + r, self.centre_y + r)


@dataclass(frozen=True)
class Scene:
    """A picture before it is drawn. Colours 0–1; objects in order of mention."""

    objects: tuple[SceneObject, ...]
    background: str = "plain"
    first_colour: tuple[float, float, float] = (0.5, 0.5, 0.5)
    second_colour: tuple[float, float, float] = (0.5, 0.5, 0.5)
    noise_amplitude: float = 0.0
    noise_seed: int = 0
    image_size: int = 64


class Description(NamedTuple):
    """A caption, and for each word the index of the object it speaks of (None for `a`, `of`, …)."""

    words: tuple[str, ...]
    word_objects: tuple[int | None, ...]
    boxes: tuple[Box, ...]

    @property
    def word_boxes(self) -> tuple[Box | None, ...]:
        return tuple(None if k is None else self.boxes[k] for k in self.word_objects)


@dataclass(frozen=True)
class SceneConfig:
    """What the pictures of a set look like. `SceneConfig()` is the chapter's setting.

    Args:
        image_size: side in pixels, a multiple of 8, at least 48.
        minimum_objects, maximum_objects: how many objects, 1 to 4.
        kinds: subset of `KINDS`; digit names give real handwriting.
        colours: subset of `PALETTE`. sizes: subset of `SIZES`.
        backgrounds: subset of `BACKGROUNDS`.
        noise_amplitude: 0–1, uniform noise of up to this much per channel.
        brightness_range: each object's colour is multiplied by a number from here.
        relation_margin: pixels by which |dx| and |dy| of related centres must differ.
        gap: pixels that stay free between two boxes.
    """

    image_size: int = 64
    minimum_objects: int = 2
    maximum_objects: int = 2
    kinds: tuple[str, ...] = ("circle", "square", "triangle", "cross", "ring")
    colours: tuple[str, ...] = tuple(PALETTE)
    sizes: tuple[str, ...] = tuple(SIZES)
    backgrounds: tuple[str, ...] = ("plain", "gradient")
    noise_amplitude: float = 0.05
    brightness_range: tuple[float, float] = (0.85, 1.0)
    relation_margin: float = 4.0
    gap: float = 2.0

    def __post_init__(self) -> None:
        for name, values, known in (
            ("kinds", self.kinds, KINDS),
            ("colours", self.colours, tuple(PALETTE)),
            ("sizes", self.sizes, tuple(SIZES)),
            ("backgrounds", self.backgrounds, BACKGROUNDS),
        ):
            unknown = [value for value in values if value not in known]
            if unknown or not values or len(set(values)) < len(values):
                raise ValueError(f"{name}={values!r}: choose one or more of {known}, each once.")
        if not 1 <= self.minimum_objects <= self.maximum_objects <= 4:
            raise ValueError(
                f"minimum_objects={self.minimum_objects}, maximum_objects={self.maximum_objects}: "
                "need 1 <= minimum <= maximum <= 4."
            )
        if len(self.kinds) * len(self.colours) < self.maximum_objects:
            raise ValueError(
                f"{len(self.kinds)} kinds × {len(self.colours)} colours cannot give "
                f"{self.maximum_objects} different objects: allow more kinds or colours."
            )
        if self.image_size % 8 or self.image_size < 48:
            raise ValueError(
                f"image_size={self.image_size}: expected a multiple of 8, at least 48."
            )
        if not 0.0 <= self.noise_amplitude <= 1.0:
            raise ValueError(f"noise_amplitude={self.noise_amplitude}: expected 0 to 1.")
        darkest, brightest = self.brightness_range
        if not 0.0 <= darkest <= brightest <= 1.0:
            raise ValueError(
                f"brightness_range={self.brightness_range}: expected two numbers in order, 0 to 1."
            )
        for name in ("relation_margin", "gap"):
            if not getattr(self, name) >= 0.0:
                raise ValueError(f"{name}={getattr(self, name)}: expected 0 or more pixels.")

    @classmethod
    def easy(cls) -> "SceneConfig":
        """One object, plain background, no noise."""
        return cls(minimum_objects=1, maximum_objects=1, backgrounds=("plain",), noise_amplitude=0)

    @classmethod
    def hard(cls) -> "SceneConfig":
        """Two or three objects of six kinds, every background, strong noise, dim colours."""
        return cls(
            maximum_objects=3,
            kinds=SHAPES,
            backgrounds=BACKGROUNDS,
            noise_amplitude=0.2,
            brightness_range=(0.6, 1.0),
        )

    @classmethod
    def digits(cls) -> "SceneConfig":
        """Two handwritten digits; the handwriting of a split is never seen in another."""
        return cls(kinds=DIGITS, sizes=("large",))


def sample_scenes(
    config: SceneConfig, count: int, *, seed: int, split: str = "train", start: int = 0
) -> list[Scene]:
    """Scenes number start … start + count - 1 of an endless list fixed by (config, seed, split).

    Each scene has its own random stream, so a longer list begins with the shorter one.
    Raises ValueError for an unknown split, a negative count, or objects that find no place.
    """
    if split not in SPLITS:
        raise ValueError(f"split={split!r}: expected one of {SPLITS}.")
    if count < 0 or start < 0:
        raise ValueError(f"count={count}, start={start}: both must be 0 or more.")
    return [
        _sample_scene(config, Random(f"scene/{split}/{seed}/{number}"), split)
        for number in range(start, start + count)
    ]


def describe(scene: Scene) -> Description:
    """The caption of a scene: `a small red circle left of a large blue square`."""
    words: list[str] = []
    word_objects: list[int | None] = []
    ordered = sorted(scene.objects, key=_mention_key)
    for index, item in enumerate(ordered):
        if index:
            relation = relation_between(ordered[index - 1], item)
            words += relation
            word_objects += [None] * len(relation)
        words += ["a", item.size, item.colour, item.kind]
        word_objects += [None, index, index, index]
    boxes = tuple(item.box for item in ordered)
    return Description(tuple(words), tuple(word_objects), boxes)


def relation_between(first: SceneObject, second: SceneObject) -> tuple[str, ...]:
    """Where the first object lies, seen from the second, along the axis they differ most on."""
    dx = second.centre_x - first.centre_x
    dy = second.centre_y - first.centre_y
    if abs(dx) >= abs(dy):
        return ("left", "of") if dx > 0 else ("right", "of")
    return ("above",) if dy > 0 else ("below",)


def caption_words(config: SceneConfig) -> tuple[str, ...]:
    """Every word captions of this setting can hold, in a fixed order."""
    relations = ("left", "right", "of", "above", "below") if config.maximum_objects > 1 else ()
    return ("a", *config.sizes, *config.colours, *config.kinds, *relations)


@lru_cache(maxsize=1)
def digit_levels() -> tuple[np.ndarray, np.ndarray]:
    """Scikit-learn's handwriting: levels (1797, 8, 8) float32 0–1, and their digits (1797,)."""
    from sklearn.datasets import load_digits  # only the digit scenes need scikit-learn

    data = load_digits()
    return (data.images / 16.0).astype(np.float32), data.target.astype(np.int64)


def _mention_key(item: SceneObject) -> tuple[int, int]:
    return KINDS.index(item.kind), tuple(PALETTE).index(item.colour)


def _between(random: Random, low: float, high: float) -> float:
    return low + (high - low) * random.random()


def _pick(random: Random, values: Sequence) -> object:
    # Only random() is promised to stay the same across Python versions.
    return values[int(random.random() * len(values))]


def _sample_scene(config: SceneConfig, random: Random, split: str) -> Scene:
    span = config.maximum_objects - config.minimum_objects + 1
    wanted = config.minimum_objects + int(random.random() * span)
    objects = _place_objects(config, random, wanted, split)
    first, second = _between(random, 0.25, 0.6), _between(random, 0.25, 0.6)
    return Scene(
        objects=objects,
        background=_pick(random, config.backgrounds),
        first_colour=(first, first, first),
        second_colour=(second, second, second),
        noise_amplitude=config.noise_amplitude,
        noise_seed=int(random.random() * 2**32),
        image_size=config.image_size,
    )


def _place_objects(
    config: SceneConfig, random: Random, wanted: int, split: str
) -> tuple[SceneObject, ...]:
    side, scale = config.image_size, config.image_size / 64
    chosen: list[tuple[str, str]] = []
    while len(chosen) < wanted:
        pair = (_pick(random, config.kinds), _pick(random, config.colours))
        if pair not in chosen:
            chosen.append(pair)
    chosen.sort(key=lambda pair: (KINDS.index(pair[0]), tuple(PALETTE).index(pair[1])))
    looks = []
    for kind, colour in chosen:
        size = _pick(random, config.sizes)
        looks.append(
            SceneObject(
                kind,
                colour,
                size,
                0.0,
                0.0,
                half_size=round(scale * _between(random, *SIZES[size]), 3),
                brightness=round(_between(random, *config.brightness_range), 3),
                digit_index=_pick_digit(random, kind, split) if kind in DIGITS else -1,
            )
        )
    for _ in range(MOST_TRIES):  # all positions are drawn anew, so no place is preferred
        placed = [
            replace(
                look,
                centre_x=round(_between(random, look.half_size, side - look.half_size), 3),
                centre_y=round(_between(random, look.half_size, side - look.half_size), 3),
            )
            for look in looks
        ]
        if _fits(placed, config):
            return tuple(placed)
    raise ValueError(
        f"{wanted} objects of sizes {config.sizes} found no place in {MOST_TRIES:,} tries: lower "
        f"gap={config.gap}, relation_margin={config.relation_margin} or maximum_objects."
    )


def _fits(placed: list[SceneObject], config: SceneConfig) -> bool:
    for index, one in enumerate(placed):
        for other in placed[:index]:
            reach = one.half_size + other.half_size + config.gap
            dx, dy = abs(one.centre_x - other.centre_x), abs(one.centre_y - other.centre_y)
            if max(dx, dy) < reach:
                return False
        if index:
            before = placed[index - 1]
            dx, dy = abs(one.centre_x - before.centre_x), abs(one.centre_y - before.centre_y)
            if abs(dx - dy) < config.relation_margin:
                return False
    return True


def _pick_digit(random: Random, kind: str, split: str) -> int:
    candidates = _digits_by_split()[split, DIGITS.index(kind)]
    return int(_pick(random, candidates))


@lru_cache(maxsize=1)
def _digits_by_split() -> dict[tuple[str, int], list[int]]:
    """Indices into `load_digits` by split and digit: of every 10 samples 8, 1 and 1."""
    _, digits = digit_levels()
    groups: dict[tuple[str, int], list[int]] = {
        (split, digit): [] for split in SPLITS for digit in range(10)
    }
    for index, digit in enumerate(digits.tolist()):
        # Whole blocks of 30 go to one split: the file lists each writer's digits together.
        place = (index // 30) % 10
        split = "test" if place == 9 else "validation" if place == 8 else "train"
        groups[split, digit].append(index)
    return groups
