"""Scenes as pixels, by a formula short enough to be written again in any language.

Pixels. (i, j) is row and column; x = j + 0.5 and y = i + 0.5 are the centre of the pixel. With
u = x - centre_x, v = y - centre_y, r = half_size, a kind is given by d(u, v), its distance to the
edge in pixels, negative inside:

    circle    sqrt(u² + v²) - r
    square    max(|u|, |v|) - r
    triangle  max(v - r, (2|u| - v - r) / sqrt(5))            apex up
    cross     min(max(|u| - r/3, |v| - r), max(|u| - r, |v| - r/3))
    ring      |sqrt(u² + v²) - 0.72 r| - 0.28 r
    diamond   (|u| + |v| - r) / sqrt(2)

    coverage = clamp(0.5 - d, 0, 1)

A handwritten digit (8 × 8 grey levels 0–16 from scikit-learn) has, inside its box, the coverage
bilinear(levels, at column (u + r) / 2r · 8 - 0.5, row (v + r) / 2r · 8 - 0.5) / 16, with level 0
beyond the 8 × 8, and 0 outside the box.

    background  plain: a;  gradient: a + (b - a) x / width;
                checks: a where floor(i / 8) + floor(j / 8) is even, else b
    painting    value = (1 - coverage) value + coverage · brightness · colour, in order of mention
    noise       value + amplitude (2 h / 2³² - 1), h = hash32(noise_seed · 2654435769 + n mod 2³²),
                n = (i · width + j) · 3 + channel
    pixel       floor(255 clamp(value, 0, 1) + 0.5)

`hash32` is the integer mixer below. Nothing else enters, so any language can draw the same
picture to within one grey level.
"""

from collections.abc import Sequence

import numpy as np

from utils.datasets.scenes import (
    BACKGROUNDS,
    DIGITS,
    PALETTE,
    SHAPES,
    Scene,
    SceneObject,
    digit_levels,
)


def render(scene: Scene) -> np.ndarray:
    """(H, W, 3) uint8 picture of a scene. A pure function: same scene, same pixels."""
    return render_all([scene])[0]


def render_all(scenes: Sequence[Scene], *, chunk_size: int = 512) -> np.ndarray:
    """(N, H, W, 3) uint8 pictures of scenes of one size, several thousand a second."""
    if not scenes:
        raise ValueError("render_all got no scenes: pass at least one.")
    sizes = {scene.image_size for scene in scenes}
    if len(sizes) > 1:
        raise ValueError(f"Scenes of different image sizes {sorted(sizes)}: render them apart.")
    side = sizes.pop()
    pictures = np.empty((len(scenes), side, side, 3), dtype=np.uint8)
    for begin in range(0, len(scenes), chunk_size):
        chunk = scenes[begin : begin + chunk_size]
        pictures[begin : begin + len(chunk)] = _render_chunk(chunk, side)
    return pictures


def hash32(values: np.ndarray) -> np.ndarray:
    """Mix uint32 integers into uint32 integers that look random; the same in every language."""
    mixed = values.astype(np.uint32)  # a copy, mixed in place
    mixed ^= mixed >> np.uint32(16)
    mixed *= np.uint32(0x7FEB352D)
    mixed ^= mixed >> np.uint32(15)
    mixed *= np.uint32(0x846CA68B)
    mixed ^= mixed >> np.uint32(16)
    return mixed


def coverage(kind: str, u: np.ndarray, v: np.ndarray, half_size: np.ndarray) -> np.ndarray:
    """Share of a pixel (0–1) that a shape covers; u, v from its centre to the pixel's, pixels."""
    r = half_size
    if kind == "circle":
        distance = np.sqrt(u * u + v * v) - r
    elif kind == "square":
        distance = np.maximum(np.abs(u), np.abs(v)) - r
    elif kind == "triangle":
        distance = np.maximum(v - r, (2 * np.abs(u) - v - r) / np.float32(np.sqrt(5.0)))
    elif kind == "cross":
        a, b = np.abs(u), np.abs(v)
        distance = np.minimum(np.maximum(a - r / 3, b - r), np.maximum(a - r, b - r / 3))
    elif kind == "ring":
        distance = np.abs(np.sqrt(u * u + v * v) - np.float32(0.72) * r) - np.float32(0.28) * r
    elif kind == "diamond":
        distance = (np.abs(u) + np.abs(v) - r) / np.float32(np.sqrt(2.0))
    else:
        raise ValueError(f"kind={kind!r}: expected one of {SHAPES}.")
    return np.clip(np.float32(0.5) - distance, 0.0, 1.0)


def _render_chunk(scenes: Sequence[Scene], side: int) -> np.ndarray:
    count = len(scenes)
    values = _background(scenes, side)  # (N, H, W, 3) float32
    for position in range(max((len(scene.objects) for scene in scenes), default=0)):
        by_kind: dict[str, list[int]] = {}
        for index, scene in enumerate(scenes):
            if position < len(scene.objects):
                by_kind.setdefault(scene.objects[position].kind, []).append(index)
        for kind, indices in by_kind.items():
            items = [scenes[index].objects[position] for index in indices]
            _paint(values, np.array(indices), kind, items, side)
    amplitudes = np.array([scene.noise_amplitude for scene in scenes], dtype=np.float32)
    if amplitudes.any():
        seeds = np.array([scene.noise_seed for scene in scenes], dtype=np.uint64)
        offsets = (seeds * np.uint64(2654435769)).astype(np.uint32)
        numbers = np.arange(side * side * 3, dtype=np.uint32)
        mixed = hash32(offsets[:, None] + numbers).astype(np.float32)
        noise = mixed * np.float32(2.0 / 2**32) - np.float32(1.0)
        values += amplitudes[:, None, None, None] * noise.reshape(count, side, side, 3)
    np.clip(values, 0.0, 1.0, out=values)
    values *= np.float32(255.0)
    values += np.float32(0.5)
    return values.astype(np.uint8)


def _background(scenes: Sequence[Scene], side: int) -> np.ndarray:
    first = np.array([scene.first_colour for scene in scenes], dtype=np.float32)[:, None, None]
    second = np.array([scene.second_colour for scene in scenes], dtype=np.float32)[:, None, None]
    places = np.arange(side, dtype=np.float32)
    blocks = (np.arange(side)[:, None] // 8 + np.arange(side) // 8) % 2
    blends = {  # (H, W), the share of the second colour
        "plain": np.zeros((side, side), dtype=np.float32),
        "gradient": np.broadcast_to((places + np.float32(0.5)) / side, (side, side)),
        "checks": blocks.astype(np.float32),
    }
    for scene in scenes:
        if scene.background not in blends:
            raise ValueError(f"background={scene.background!r}: expected one of {BACKGROUNDS}.")
    blend = np.stack([blends[scene.background] for scene in scenes])[..., None]
    return first + (second - first) * blend


def _paint(
    values: np.ndarray, indices: np.ndarray, kind: str, items: list[SceneObject], side: int
) -> None:
    """Paint one object of the given kind into each picture `values[indices]`, in place."""
    numbers = np.array([(o.centre_x, o.centre_y, o.half_size) for o in items], dtype=np.float32)
    centre_x, centre_y, half_size = (column[:, None, None] for column in numbers.T)
    # Only a window around the object is computed; the half pixel of soft edge lies within it.
    window = int(np.ceil(2 * numbers[:, 2].max())) + 3
    window = min(window, side)
    left = np.clip(np.floor(numbers[:, 0] - window / 2).astype(int), 0, side - window)
    top = np.clip(np.floor(numbers[:, 1] - window / 2).astype(int), 0, side - window)
    columns = left[:, None] + np.arange(window)  # (n, window)
    rows = top[:, None] + np.arange(window)
    u = columns.astype(np.float32)[:, None, :] + np.float32(0.5) - centre_x
    v = rows.astype(np.float32)[:, :, None] + np.float32(0.5) - centre_y
    if kind in DIGITS:
        covered = _digit_coverage([o.digit_index for o in items], u, v, half_size)
    else:
        covered = coverage(kind, u, v, half_size)
    covered = covered[..., None]  # (n, window, window, 1)
    paint = np.array([PALETTE[o.colour] for o in items], dtype=np.float32)
    paint *= np.array([o.brightness for o in items], dtype=np.float32)[:, None]
    where = (indices[:, None, None], rows[:, :, None], columns[:, None, :])
    values[where] += covered * (paint[:, None, None, :] - values[where])


def _digit_coverage(
    digit_indices: list[int], u: np.ndarray, v: np.ndarray, half_size: np.ndarray
) -> np.ndarray:
    levels = digit_levels()[0][digit_indices]
    padded = np.pad(levels, ((0, 0), (1, 1), (1, 1)))  # (n, 10, 10): level 0 beyond the digit
    column = (u + half_size) / (2 * half_size) * 8 - np.float32(0.5)
    row = (v + half_size) / (2 * half_size) * 8 - np.float32(0.5)
    inside = (np.abs(u) <= half_size) & (np.abs(v) <= half_size)
    column, row = np.broadcast_arrays(np.clip(column, -1, 8), np.clip(row, -1, 8))
    j = np.minimum(np.floor(column).astype(int), 7)
    i = np.minimum(np.floor(row).astype(int), 7)
    right, down = column - j, row - i
    n = np.arange(len(levels))[:, None, None]
    upper = padded[n, i + 1, j + 1] * (1 - right) + padded[n, i + 1, j + 2] * right
    lower = padded[n, i + 2, j + 1] * (1 - right) + padded[n, i + 2, j + 2] * right
    return np.where(inside, upper * (1 - down) + lower * down, 0.0).astype(np.float32)
