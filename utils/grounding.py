"""Does attention look at the thing it names? Weights over a picture's cells against boxes.

A picture of `image_size` pixels is covered by a grid of rows × columns equal cells; the weights
of a word are a distribution over these cells, row by row. Words without a box do not count.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

BoxEdges = Sequence[float]
"""left, top, right, bottom in pixels."""


def pointing_accuracy(
    weights: Sequence[Any],
    word_boxes: Sequence[Sequence[BoxEdges | None]],
    *,
    rows: int,
    columns: int,
    image_size: int,
) -> float:
    """Share of words (0–1) whose heaviest cell has its centre in the word's box.

    Where several cells weigh the same, the share of them that hit counts: so uniform weights
    score what a blind guess scores.

    Args:
        weights: per caption (≥ T, rows · columns), an array or a tensor.
        word_boxes: per caption T boxes or None.
    Raises:
        ValueError: the counts or shapes disagree, or no word has a box.
    """
    hits = []
    for row, box in _words(weights, word_boxes, rows * columns):
        x, y = _cell_centres(rows, columns, image_size)
        left, top, right, bottom = box
        inside = (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
        hits.append(inside[row >= row.max() - 1e-12].mean())
    return float(np.mean(hits))


def mass_in_box(
    weights: Sequence[Any],
    word_boxes: Sequence[Sequence[BoxEdges | None]],
    *,
    rows: int,
    columns: int,
    image_size: int,
) -> float:
    """Mean share of a word's weight (0–1) that lies in its box.

    Each weight is spread evenly over its cell, and the part of the cell in the box counts. So
    uniform weights score the box's share of the picture, and a box that cuts through its cells
    keeps even perfect attention below 1 (see `best_mass_in_box`).

    Args, raises: as `pointing_accuracy`.
    """
    shares = [
        float((row * _share_in_box(box, rows, columns, image_size)).sum())
        for row, box in _words(weights, word_boxes, rows * columns)
    ]
    return float(np.mean(shares))


def best_mass_in_box(
    word_boxes: Sequence[Sequence[BoxEdges | None]], *, rows: int, columns: int, image_size: int
) -> float:
    """The mass in box of attention that puts everything on the cell the box fills most."""
    boxes = [box for caption in word_boxes for box in caption if box is not None]
    if not boxes:
        raise ValueError("no word has a box: there is nothing to ground.")
    return float(np.mean([_share_in_box(box, rows, columns, image_size).max() for box in boxes]))


def uniform_weights(steps: int, *, rows: int, columns: int) -> np.ndarray:
    """Control: every cell the same, (steps, rows · columns)."""
    return np.full((steps, rows * columns), 1 / (rows * columns))


def centre_weights(steps: int, *, rows: int, columns: int) -> np.ndarray:
    """Control: everything on the cells nearest the middle (four on an even grid)."""
    x, y = _cell_centres(rows, columns, 1)
    distance = np.maximum(abs(x - 0.5) * columns, abs(y - 0.5) * rows)
    nearest = distance <= distance.min() + 1e-9
    return np.repeat([nearest / nearest.sum()], steps, axis=0)


def _cell_centres(rows: int, columns: int, image_size: float) -> tuple[np.ndarray, np.ndarray]:
    """x and y of each cell's centre in pixels, row by row, each (rows · columns,)."""
    y, x = np.divmod(np.arange(rows * columns), columns)
    return (x + 0.5) * image_size / columns, (y + 0.5) * image_size / rows


def _share_in_box(box: BoxEdges, rows: int, columns: int, image_size: int) -> np.ndarray:
    """The part of each cell that lies in the box, 0–1, (rows · columns,)."""
    left, top, right, bottom = box
    horizontal = _overlap(left, right, columns, image_size / columns)
    vertical = _overlap(top, bottom, rows, image_size / rows)
    return (vertical[:, None] * horizontal).ravel()


def _overlap(low: float, high: float, count: int, size: float) -> np.ndarray:
    starts = np.arange(count) * size
    return np.clip(np.minimum(starts + size, high) - np.maximum(starts, low), 0, None) / size


def _words(
    weights: Sequence[Any], word_boxes: Sequence[Sequence[BoxEdges | None]], cells: int
) -> Iterator[tuple[np.ndarray, BoxEdges]]:
    """(weights of a word, its box) for every word that has one."""
    if len(weights) != len(word_boxes):
        raise ValueError(f"{len(weights)} captions' weights for {len(word_boxes)} captions' boxes.")
    if not any(box is not None for boxes in word_boxes for box in boxes):
        raise ValueError("no word has a box: there is nothing to ground.")
    for number, (caption, boxes) in enumerate(zip(weights, word_boxes, strict=True)):
        caption = np.asarray(caption, dtype=float)
        if caption.ndim != 2 or caption.shape[1] != cells or len(caption) < len(boxes):
            raise ValueError(
                f"caption {number}: weights {caption.shape}, expected at least {len(boxes)} rows "
                f"of {cells} cells."
            )
        for row, box in zip(caption, boxes, strict=False):
            if box is not None:
                yield row, box
