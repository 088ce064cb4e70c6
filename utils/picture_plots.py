"""The figures that show pictures: attention laid over them, word by word."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from utils.plots import INK, INTENSITY, SURE


def picture_row(
    pictures: Sequence[Any], titles: Sequence[str], *, width: float = 1.6
) -> list[Axes]:
    """Pictures (H, W, 3) side by side, each under its title.

    Raises ValueError if there are not equally many of both, or none.
    """
    if not len(pictures) or len(pictures) != len(titles):
        raise ValueError(f"{len(pictures)} pictures and {len(titles)} titles: one each expected.")
    figure, panels = plt.subplots(
        1, len(pictures), figsize=(width * len(pictures), width * 1.35), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for panel, picture, title in zip(panels[0], pictures, titles, strict=True):
        panel.axis("off")
        panel.imshow(picture)
        panel.set_title(title, fontsize=8)
    return list(panels[0])


def caption_overlay(
    picture: Any,
    words: Sequence[str],
    weights: Any,
    *,
    rows: int,
    columns: int,
    boxes: Sequence[Sequence[float] | None] | None = None,
    reference: Sequence[str] | None = None,
    panels_per_row: int = 6,
) -> np.ndarray:
    """A caption as a row of pictures: where the model looked as it wrote each word.

    Source: layout of Xu et al. 2015, arXiv:1502.03044, figure 3. Deviations: cividis over the
    picture instead of white, bilinear interpolation between the cells' centres without a blur,
    and boxes. Each panel has its own scale: its brightest place is its largest weight.

    Args:
        picture: (H, W, 3), 0–255 or 0–1. words: T. weights: (T, rows · columns).
        boxes: per word left, top, right, bottom in pixels, or None. reference: the right caption;
            a word that differs from it is marked with ✗ and the right one.
    Returns:
        The T Axes, in the order of the words.
    Raises:
        ValueError: lengths disagree, or the weights do not fit the grid.
    """
    values = np.asarray(weights, dtype=float)
    if values.shape != (len(words), rows * columns) or not words:
        raise ValueError(
            f"weights have shape {values.shape}: {len(words)} words on {rows} × {columns} cells "
            f"need ({len(words)}, {rows * columns}), and at least one word."
        )
    if boxes is not None and len(boxes) < len(words):
        raise ValueError(f"{len(boxes)} boxes for {len(words)} words: give one, or None, a word.")
    picture = np.asarray(picture, dtype=float)  # (H, W, 3)
    if picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(f"picture has shape {picture.shape}: (height, width, 3) expected.")
    picture = picture / 255 if picture.max() > 1 else picture
    across = min(panels_per_row, len(words))
    down = -(-len(words) // across)
    figure, grid = plt.subplots(
        down, across, figsize=(1.35 * across, 1.6 * down), squeeze=False, layout="constrained"
    )
    panels = grid.ravel()
    for panel in panels:
        panel.axis("off")
    height, width = picture.shape[:2]
    for number, (panel, word) in enumerate(zip(panels, words, strict=False)):
        panel.imshow(picture, extent=(0, width, height, 0))
        looked = values[number].reshape(rows, columns)
        panel.imshow(
            looked, extent=(0, width, height, 0), cmap=INTENSITY, interpolation="bilinear",
            alpha=0.6, vmin=0.0, vmax=max(float(looked.max()), 1e-9),
        )  # fmt: skip
        right = None if reference is None else (*reference, *[""] * len(words))[number]
        wrong = right is not None and right != word
        title = f"✗ {word} ({right or 'nothing'})" if wrong else word
        panel.set_title(title, fontsize=9, color=SURE if wrong else INK)
        if boxes is not None and boxes[number] is not None:
            left, top, end, bottom = boxes[number]
            outline = Rectangle((left, top), end - left, bottom - top)
            outline.set(fill=False, edgecolor=SURE, linewidth=1.8)
            panel.add_patch(outline)
    return panels[: len(words)]
