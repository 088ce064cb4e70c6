"""Pointing accuracy and mass in box, on grids small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.grounding import (
    best_mass_in_box,
    centre_weights,
    mass_in_box,
    pointing_accuracy,
    uniform_weights,
)

GRID = {"rows": 4, "columns": 4, "image_size": 16}  # cells of 4 pixels, centres at 2, 6, 10, 14
BOX = (4.0, 8.0, 10.0, 12.0)  # x 4–10, y 8–12: one cell whole, the next by half


def on(*cells: int) -> np.ndarray:
    row = np.zeros(16)
    row[list(cells)] = 1 / len(cells)
    return row


def test_worked_example() -> None:
    whole, half, beside = 2 * 4 + 1, 2 * 4 + 2, 0
    for cell, hit, mass in ((whole, 1, 1.0), (half, 1, 0.5), (beside, 0, 0.0)):
        assert pointing_accuracy([[on(cell)]], [[BOX]], **GRID) == hit
        assert mass_in_box([[on(cell)]], [[BOX]], **GRID) == pytest.approx(mass)
    mixed = 0.6 * on(whole) + 0.4 * on(beside)
    assert pointing_accuracy([[mixed]], [[BOX]], **GRID) == 1
    assert mass_in_box([[mixed]], [[BOX]], **GRID) == pytest.approx(0.6)
    assert best_mass_in_box([[BOX]], **GRID) == 1


def test_rows_and_columns_are_not_mixed_up() -> None:
    tall = (0.0, 0.0, 4.0, 16.0)  # the first column of cells
    assert pointing_accuracy([[on(12)]], [[tall]], **GRID) == 1  # row 3, column 0
    assert pointing_accuracy([[on(3)]], [[tall]], **GRID) == 0  # row 0, column 3
    wide = {"rows": 2, "columns": 4, "image_size": 16}
    row = np.eye(8)[5]  # row 1, column 1: x 4–8, y 8–16
    assert mass_in_box([[row]], [[(4, 8, 8, 16)]], **wide) == 1


def test_words_without_a_box_do_not_count() -> None:
    weights = [np.stack([on(0), on(9), on(0)])]
    assert pointing_accuracy(weights, [[None, BOX, None]], **GRID) == 1
    assert mass_in_box(weights, [[None, BOX]], **GRID) == 1


@given(st.floats(0, 10), st.floats(0, 10), st.floats(1, 6), st.floats(1, 6))
def test_uniform_weights_score_the_share_of_the_picture(x, y, width, height) -> None:
    box = (x, y, x + width, y + height)
    blind = [uniform_weights(1, rows=4, columns=4)]
    assert mass_in_box(blind, [[box]], **GRID) == pytest.approx(width * height / 256)
    inside = sum(
        x <= a <= x + width and y <= b <= y + height for a in (2, 6, 10, 14) for b in (2, 6, 10, 14)
    )
    assert pointing_accuracy(blind, [[box]], **GRID) == pytest.approx(inside / 16)


def test_the_centre_is_the_middle_cells() -> None:
    assert centre_weights(2, rows=4, columns=4)[1].nonzero()[0].tolist() == [5, 6, 9, 10]
    assert centre_weights(1, rows=3, columns=3)[0].nonzero()[0].tolist() == [4]
    assert centre_weights(1, rows=3, columns=4)[0].sum() == pytest.approx(1)


def test_bad_input_is_named() -> None:
    for score in (pointing_accuracy, mass_in_box):
        with pytest.raises(ValueError, match="1 captions' weights for 2"):
            score([[on(0)]], [[BOX], [BOX]], **GRID)
        with pytest.raises(ValueError, match="no word has a box"):
            score([[on(0)]], [[None]], **GRID)
        with pytest.raises(ValueError, match=r"caption 0: weights \(1, 9\).*16 cells"):
            score([[np.ones(9)]], [[BOX]], **GRID)
        with pytest.raises(ValueError, match="at least 2 rows"):
            score([[on(0)]], [[BOX, BOX]], **GRID)
    with pytest.raises(ValueError, match="no word has a box"):
        best_mass_in_box([[None]], **GRID)
