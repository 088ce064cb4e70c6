"""Figures: what is drawn is what was passed; wrong input is named; importing changes nothing."""

from __future__ import annotations

import subprocess
import sys
import warnings
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.collections import PolyCollection, QuadMesh
from matplotlib.patches import PathPatch, Rectangle

from utils import plots

SOURCE = ["the", "red", "book"]
TARGET = ["le", "livre", "rouge", "été"]


@pytest.fixture(autouse=True)
def _clean_figures():
    with mpl.rc_context():
        yield
    plt.close("all")


def relative_luminance(colour: str) -> float:
    channels = np.array(mpl.colors.to_rgb(colour))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def drawn_cells(ax) -> np.ndarray:
    (mesh,) = [c for c in ax.collections if isinstance(c, QuadMesh)]
    return np.asarray(mesh.get_array()).reshape(len(TARGET), len(SOURCE))


def test_importing_changes_neither_backend_nor_style():
    code = (
        "import matplotlib as m\n"
        "m.use('svg'); before = dict(m.rcParams)\n"
        "import utils.plots\n"
        "assert m.get_backend() == 'svg', m.get_backend()\n"
        "changed = [k for k in before if before[k] != m.rcParams[k]]\n"
        "assert not changed, changed\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_style_keeps_the_backend_and_an_opaque_white_ground():
    backend = mpl.get_backend()
    plots.use_book_style()
    assert mpl.get_backend() == backend
    assert mpl.rcParams["figure.facecolor"] == "white"  # readable inside a dark page too


@pytest.mark.parametrize("colour", [plots.INK, plots.MUTED])
def test_text_has_contrast_on_the_figures_ground(colour):
    assert 1.05 / (relative_luminance(colour) + 0.05) >= 4.5


def test_series_colours_stay_visible_on_white_and_are_distinct():
    used_first = plots.PALETTE[:4]
    assert len(set(plots.PALETTE)) == len(plots.PALETTE)
    assert all(1.05 / (relative_luminance(colour) + 0.05) >= 3 for colour in used_first)


def test_french_and_chinese_labels_have_glyphs():
    plots.use_book_style()
    tokens = ["été", "cœur", "garçon"]
    if any(name in plots.CJK_FONTS for name in mpl.rcParams["font.family"]):
        tokens = ["été", "注意力", "機制"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.heatmap(np.eye(3), tokens, tokens).figure.canvas.draw()


def test_heatmap_draws_the_weights_source_on_top_and_target_at_the_left():
    weights = np.arange(12).reshape(4, 3) / 12
    ax = plots.heatmap(torch.tensor(weights), SOURCE, TARGET)
    assert np.array_equal(drawn_cells(ax), weights)
    assert [t.get_text() for t in ax.get_xticklabels()] == SOURCE
    assert [t.get_text() for t in ax.get_yticklabels()] == TARGET
    assert ax.xaxis.get_ticks_position() == "top"
    assert ax.yaxis_inverted()  # the first target word is the top row


def test_heatmap_outlines_gold_links_where_they_are():
    gold = SimpleNamespace(sure={(1, 2)}, possible={(1, 2), (0, 1)})
    ax = plots.heatmap(np.zeros((4, 3)), SOURCE, TARGET, gold=gold)
    outlines = [p for p in ax.patches if isinstance(p, Rectangle)]
    corners = {tuple(int(c) for c in p.get_xy()): p.get_linestyle() for p in outlines}
    assert corners == {(1, 2): "-", (0, 1): ":"}


def test_heatmap_scale_is_fixed_unless_asked_otherwise():
    weights = np.full((4, 3), 0.25)
    assert plots.heatmap(weights, SOURCE, TARGET).collections[0].get_clim() == (0, 1)
    free = plots.heatmap(weights, SOURCE, TARGET, maximum=None)
    assert free.collections[0].get_clim() == (0, 0.25)


@pytest.mark.parametrize("draw", [plots.heatmap, plots.arcs])
def test_wrong_lengths_name_both(draw):
    message = "4 rows and 2 columns.*4 target.*3 source"
    with pytest.raises(ValueError, match=message):
        draw(np.zeros((4, 2)), SOURCE, TARGET)
    with pytest.raises(ValueError, match="transposed"):
        draw(np.zeros((3, 4)), SOURCE, TARGET)
    with pytest.raises(ValueError, match="NaN"):
        draw(np.full((4, 3), np.nan), SOURCE, TARGET)


def test_a_gold_link_outside_the_sentences_is_an_error():
    with pytest.raises(ValueError, match=r"\(3, 0\) lies outside .*3 source and 4 target"):
        plots.heatmap(np.zeros((4, 3)), SOURCE, TARGET, gold=({(3, 0)}, set()))


def test_arcs_are_as_wide_as_their_weights_and_small_ones_are_left_out():
    weights = np.zeros((4, 3))
    weights[0, 0], weights[2, 1], weights[1, 2] = 1.0, 0.5, 0.01
    ax = plots.arcs(weights, SOURCE, TARGET)
    bands = [p for p in ax.patches if isinstance(p, PathPatch)]
    assert sorted(p.get_linewidth() for p in bands) == [3.0, 5.5]
    ends = {tuple(p.get_path().vertices[[0, -1], 0]) for p in bands}
    assert ends == {(0.5, 0.0), (1.5, 2.0)}  # the shorter sentence is centred
    assert [t.get_text() for t in ax.texts] == SOURCE + TARGET


def test_seed_lines_draw_mean_and_range():
    rows = np.array([[1.0, 0.5, 0.2], [0.8, 0.3, 0.0]])
    ax = plots.seed_lines([1, 2, 3], {"a": rows, "b": rows[0]}, xlabel="x", ylabel="y")
    assert np.allclose(ax.lines[0].get_ydata(), rows.mean(0))
    assert np.allclose(ax.lines[1].get_ydata(), rows[0])
    (band,) = [c for c in ax.collections if isinstance(c, PolyCollection)]
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.min() == 0.0 and heights.max() == 1.0
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["a", "b"]


def test_on_a_logarithmic_axis_the_mean_is_geometric():
    ax = plots.seed_lines([0], {"a": [[1e-4], [1e-2]]}, xlabel="x", ylabel="y", log=True)
    assert ax.lines[0].get_ydata()[0] == pytest.approx(1e-3)
    assert ax.get_yscale() == "log"
    with pytest.raises(ValueError, match="≤ 0"):
        plots.seed_lines([0], {"a": [0.0]}, xlabel="x", ylabel="y", log=True)


def test_length_curve_marks_the_end_of_training():
    ax = plots.length_curve([5, 15], {"fixed": [0.9, 0.1]}, trained_up_to=10)
    assert list(ax.lines[1].get_xdata()) == [10, 10]
    assert ax.get_ylim()[0] == 0
    with pytest.raises(ValueError, match="'fixed' has 3 columns but x has 2"):
        plots.length_curve([5, 15], {"fixed": [0.9, 0.1, 0.0]})


def test_seed_bars_show_every_seed():
    ax = plots.seed_bars({"tanh": [0.1, 0.3], "GRU": [1.0]}, ylabel="accuracy", chance=0.125)
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([0.2, 1.0])
    dots = np.concatenate([line.get_ydata() for line in ax.lines if line.get_marker() == "o"])
    assert sorted(dots) == [0.1, 0.3, 1.0]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["tanh", "GRU"]


@pytest.mark.parametrize("as_history", [False, True])
def test_learning_curve_counts_epochs_from_one_and_marks_the_best(as_history):
    losses = {"training": [3.0, 2.0, 1.0], "validation": [3.0, 1.5, 1.8]}
    history = SimpleNamespace(
        train_loss=losses["training"], validation_loss=losses["validation"], best_epoch=2
    )
    ax = plots.learning_curve(history if as_history else losses)
    curves = {line.get_label(): line for line in ax.lines if len(line.get_xdata()) == 3}
    assert list(curves["validation"].get_ydata()) == losses["validation"]
    assert list(curves["training"].get_xdata()) == [1, 2, 3]
    marked = [(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines[1::2]]
    assert marked == [(3, 1.0), (2, 1.5)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.learning_curve({}), "no series"),
        (lambda: plots.learning_curve({"training": []}), "no numbers"),
        (lambda: plots.seed_bars({}, ylabel="y"), "empty"),
        (lambda: plots.seed_bars({"a": []}, ylabel="y"), "'a' is empty"),
        (lambda: plots.seed_lines([1], {}, xlabel="x", ylabel="y"), "empty"),
        (lambda: plots.seed_lines([1], {"a": "no"}, xlabel="x", ylabel="y"), "not an array"),
        (lambda: plots.seed_lines([[1]], {"a": [1]}, xlabel="x", ylabel="y"), "dimension"),
        (lambda: plots.seed_lines([1], {"a": [[1], [1, 2]]}, xlabel="", ylabel=""), "equal length"),
    ],
)
def test_bad_input_gets_one_clear_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_tensor_that_needs_gradients_says_what_to_do():
    with pytest.raises(ValueError, match=r"detach\(\)"):
        plots.heatmap(torch.zeros(4, 3, requires_grad=True), SOURCE, TARGET)


def test_every_function_draws_into_the_axes_it_is_given():
    _, (left, right) = plt.subplots(1, 2)
    assert plots.heatmap(np.eye(3), SOURCE, SOURCE, ax=left) is left
    assert plots.length_curve([1, 2], {"a": [1, 0]}, ax=right) is right
