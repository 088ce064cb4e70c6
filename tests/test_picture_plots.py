"""Overlays: the weights that are drawn are the ones given, over the right picture and word."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

from utils.picture_plots import caption_overlay, picture_row

PICTURE = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
WORDS = ["a", "red", "ring"]
WEIGHTS = np.random.default_rng(0).dirichlet(np.ones(6), size=3)
GRID = {"rows": 2, "columns": 3}


@pytest.fixture(autouse=True)
def _clean_figures():
    with mpl.rc_context():
        yield
    plt.close("all")


def test_each_word_has_its_weights_over_the_picture() -> None:
    panels = caption_overlay(PICTURE, WORDS, WEIGHTS, **GRID)
    assert [panel.get_title() for panel in panels] == WORDS
    for panel, row in zip(panels, WEIGHTS, strict=True):
        below, above = panel.get_images()
        np.testing.assert_allclose(below.get_array(), PICTURE / 255)
        np.testing.assert_allclose(above.get_array(), row.reshape(2, 3))
        assert below.get_extent() == above.get_extent() == [0, 8, 8, 0]
        assert above.get_clim() == (0.0, row.max())


def test_boxes_are_outlined_where_they_are() -> None:
    panels = caption_overlay(PICTURE, WORDS, WEIGHTS, boxes=[None, (1, 2, 4, 7), None], **GRID)
    outlines = [[p for p in panel.patches if isinstance(p, Rectangle)] for panel in panels]
    assert [len(found) for found in outlines] == [0, 1, 0]
    assert outlines[1][0].get_bbox().extents.tolist() == [1, 2, 4, 7]


def test_wrong_words_are_marked_with_the_right_one() -> None:
    for reference, titles in (
        (["a", "blue", "ring"], ["a", "✗ red (blue)", "ring"]),
        (["a", "red"], ["a", "red", "✗ ring (nothing)"]),
        (["a", "red", "ring", "below"], ["a", "red", "ring"]),
    ):
        panels = caption_overlay(PICTURE, WORDS, WEIGHTS, reference=reference, **GRID)
        assert [panel.get_title() for panel in panels] == titles


def test_long_captions_wrap() -> None:
    weights = np.full((8, 6), 1 / 6)
    panels = caption_overlay(PICTURE, list("abcdefgh"), weights, panels_per_row=3, **GRID)
    assert len(panels) == 8 and len(panels[0].figure.axes) == 9


def test_a_row_of_pictures() -> None:
    panels = picture_row([PICTURE, PICTURE], ["one", "other"])
    assert [panel.get_title() for panel in panels] == ["one", "other"]


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match=r"\(3, 6\): 3 words on 2 × 2 cells need \(3, 4\)"):
        caption_overlay(PICTURE, WORDS, WEIGHTS, rows=2, columns=2)
    with pytest.raises(ValueError, match="2 words on 2 × 3"):
        caption_overlay(PICTURE, WORDS[:2], WEIGHTS, **GRID)
    with pytest.raises(ValueError, match="1 boxes for 3 words"):
        caption_overlay(PICTURE, WORDS, WEIGHTS, boxes=[None], **GRID)
    with pytest.raises(ValueError, match=r"picture has shape \(8, 8\)"):
        caption_overlay(PICTURE[..., 0], WORDS, WEIGHTS, **GRID)
    with pytest.raises(ValueError, match="1 pictures and 2 titles"):
        picture_row([PICTURE], ["one", "other"])
