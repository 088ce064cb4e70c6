"""Every figure of the book: numpy arrays and labels in, matplotlib Axes out.

One style, set by `use_book_style` and by nothing else: importing this module changes neither
the backend nor a single rcParam. Figures keep an opaque white ground, so that they stay
readable when the page around them is dark, and use colours that differ for colour-blind
readers too: seaborn's "colorblind" palette for series, cividis for intensities. In a notebook
the figures are stored as PNG at twice the screen's resolution: an SVG would carry dates and
random identifiers that differ from run to run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib import font_manager
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator

INK = "#1f2430"  # text and axes: 15 : 1 against white
MUTED = "#5f6673"  # secondary text: 5.8 : 1 against white
SURE = "#d55e00"  # outline of a sure gold link, on cividis and on white
POSSIBLE = "#cc78bc"  # outline of a possible one
INTENSITY = "cividis"
# The palette in an order whose first entries are darkest: they carry most figures.
PALETTE = tuple(sns.color_palette("colorblind").as_hex()[i] for i in (0, 3, 2, 4, 1, 5, 7, 9))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")  # colour is never the only difference

# Fonts with Chinese, Japanese and Korean characters, in order of preference, on the three
# desktop systems and in Colab. Only those that are installed are used.
CJK_FONTS = (
    "Noto Sans CJK TC",
    "Noto Sans CJK JP",
    "PingFang TC",
    "Hiragino Sans",
    "Microsoft JhengHei",
    "WenQuanYi Zen Hei",
    "Arial Unicode MS",
)


def use_book_style() -> None:
    """Make this session's matplotlib figures look like the book's. Call it once, in the setup.

    Labels may be French or Chinese, Japanese, Korean: installed fonts with those characters are
    appended to the family (without one, matplotlib warns and draws an empty box).
    Inside IPython it also asks for PNG at double resolution. The backend stays what it was.
    """
    installed = {font.name for font in font_manager.fontManager.ttflist}
    mpl.rcParams.update(
        {
            "figure.figsize": (6.4, 3.6),
            "figure.dpi": 100,
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "savefig.facecolor": "white",
            "savefig.dpi": 200,
            "font.family": ["DejaVu Sans", *(name for name in CJK_FONTS if name in installed)],
            "font.size": 10.5,
            "axes.titlesize": 11,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.facecolor": "white",
            "axes.edgecolor": MUTED,
            "axes.labelcolor": INK,
            "axes.titlecolor": INK,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.prop_cycle": mpl.cycler(color=PALETTE),
            "grid.color": "#e3e6eb",
            "grid.linewidth": 0.8,
            "text.color": INK,
            "xtick.color": MUTED,
            "ytick.color": MUTED,
            "xtick.labelcolor": INK,
            "ytick.labelcolor": INK,
            "lines.linewidth": 1.8,
            "lines.markersize": 5,
            "legend.frameon": False,
            "image.cmap": INTENSITY,
        }
    )
    _ask_notebook_for_sharp_png()


def _ask_notebook_for_sharp_png() -> None:
    try:
        from IPython import get_ipython
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:  # plain Python: nothing to ask
        return
    if get_ipython() is not None:
        set_matplotlib_formats("retina")


def seed_lines(
    x: Sequence[float],
    series: Mapping[str, Any],
    *,
    xlabel: str,
    ylabel: str,
    ax: Axes | None = None,
    log: bool = False,
    markers: bool = True,
) -> Axes:
    """Lines over several seeds: the mean, a band from the worst seed to the best.

    Args:
        x: X positions shared by all series.
        series: name → (seeds, X) or (X,) float; NaN where nothing was measured.
        log: logarithmic y axis; the mean is then the geometric one.
    Returns:
        The Axes: one line a series, one band a series with more than one seed.
    Raises:
        ValueError: a series has not X columns (both numbers are named), or nothing to draw.
    """
    positions = _array(x, "x", dimensions=(1,))
    if not series:
        raise ValueError("series is empty: pass at least one name → values.")
    ax = _axes(ax)
    for index, (name, values) in enumerate(series.items()):
        rows = np.atleast_2d(_array(values, f"series {name!r}", dimensions=(1, 2), finite=False))
        if rows.shape[1] != len(positions):
            raise ValueError(
                f"series {name!r} has {rows.shape[1]} columns but x has {len(positions)} "
                "positions: pass (seeds, positions)."
            )
        if log and np.any(rows <= 0):
            raise ValueError(
                f"series {name!r} has values ≤ 0, which a logarithmic axis cannot show: "
                "drop them (NaN) or pass log=False."
            )
        colour, marker = PALETTE[index % len(PALETTE)], MARKERS[index % len(MARKERS)]
        ax.plot(
            positions,
            _mean_over_seeds(rows, log),
            color=colour,
            marker=marker if markers else None,
            label=name,
        )
        if len(rows) > 1:
            low, high = np.nanmin(rows, axis=0), np.nanmax(rows, axis=0)
            ax.fill_between(positions, low, high, color=colour, alpha=0.18, linewidth=0)
    if log:
        ax.set_yscale("log")
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.legend()
    return ax


def _mean_over_seeds(rows: np.ndarray, log: bool) -> np.ndarray:
    if log:
        return np.exp(np.nanmean(np.log(rows), axis=0))
    return np.nanmean(rows, axis=0)


def learning_curve(
    history: Any, ax: Axes | None = None, *, ylabel: str = "nats per target token"
) -> Axes:
    """Loss by epoch, one line a series; the lowest point of each is marked.

    Args:
        history: name → losses, one per epoch; or what `utils.training.fit` returns.
        ylabel: the unit of the losses.
    Raises:
        ValueError: a series is empty or no numbers.
    """
    series = history if isinstance(history, Mapping) else _series_of(history)
    if not series:
        raise ValueError("history holds no series: train at least one epoch.")
    ax = _axes(ax)
    for index, (name, values) in enumerate(series.items()):
        losses = _array(values, f"series {name!r}", dimensions=(1,), finite=False)
        if losses.size == 0 or np.all(np.isnan(losses)):
            raise ValueError(f"series {name!r} has no numbers: train at least one epoch.")
        epochs = np.arange(1, len(losses) + 1)
        colour = PALETTE[index % len(PALETTE)]
        best = int(np.nanargmin(losses))
        ax.plot(epochs, losses, color=colour, label=name)
        ax.plot(epochs[best], losses[best], MARKERS[index % len(MARKERS)], color=colour)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="epoch", ylabel=ylabel)
    ax.legend()
    return ax


def _series_of(history: Any) -> dict[str, Any]:
    """The loss series of a training history, without importing the training module."""
    names = {"train_loss": "training", "validation_loss": "validation"}
    found = {label: getattr(history, name, None) for name, label in names.items()}
    return {label: values for label, values in found.items() if values is not None and len(values)}


def length_curve(
    lengths: Sequence[float],
    series: Mapping[str, Any],
    ax: Axes | None = None,
    *,
    ylabel: str = "exact match (0–1)",
    xlabel: str = "source length (words)",
    trained_up_to: float | None = None,
) -> Axes:
    """Quality by sentence length, over seeds: `seed_lines` with the book's labels.

    Args:
        lengths: X lengths, for instance the middle of each bucket.
        series: name → (seeds, X) or (X,) float.
        trained_up_to: draws a vertical line there: what lies to its right was never trained on.
    """
    ax = seed_lines(lengths, series, xlabel=xlabel, ylabel=ylabel, ax=ax)
    if trained_up_to is not None:
        ax.axvline(trained_up_to, color=MUTED, linestyle="--", linewidth=1.2)
        top = ax.get_xaxis_transform()
        ax.text(trained_up_to, 1.01, " longest in training", transform=top, color=MUTED, size=9)
    ax.set_ylim(bottom=0)
    return ax


def seed_bars(
    values: Mapping[str, Any], ax: Axes | None = None, *, ylabel: str, chance: float | None = None
) -> Axes:
    """One bar a name: its mean over seeds, with every seed as a dot and the range as an error bar.

    Args:
        values: name → (seeds,) float.
        chance: draws a dashed line at the level of guessing.
    Raises:
        ValueError: nothing to draw, or a name without values.
    """
    if not values:
        raise ValueError("values is empty: pass at least one name → values over seeds.")
    ax = _axes(ax)
    for index, (name, seeds) in enumerate(values.items()):
        points = np.atleast_1d(_array(seeds, f"values of {name!r}", dimensions=(0, 1)))
        if points.size == 0:
            raise ValueError(f"values of {name!r} is empty: one number per seed is expected.")
        mean = points.mean()
        spread = [[mean - points.min()], [points.max() - mean]]
        colour = PALETTE[index % len(PALETTE)]
        ax.bar(index, mean, width=0.62, color=colour, alpha=0.55, yerr=spread, ecolor=INK)
        ax.plot(np.full(points.size, index), points, "o", color=INK, markersize=3.5, alpha=0.75)
    if chance is not None:
        ax.axhline(chance, color=MUTED, linestyle="--", linewidth=1.2, label="chance")
        ax.legend()
    ax.set_xticks(range(len(values)), list(values))
    ax.grid(axis="x", visible=False)
    ax.set_ylabel(ylabel)
    return ax


def heatmap(
    weights: Any,
    source: Sequence[str],
    target: Sequence[str],
    *,
    gold: Any = None,
    ax: Axes | None = None,
    maximum: float | None = 1.0,
    label: str = "weight",
) -> Axes:
    """Attention as a picture, laid out as in the paper: source on top, target at the left.

    Source: layout of Bahdanau et al. 2015, arXiv:1409.0473, figure 3. Deviations: cividis
    instead of grey, and the gold links outlined.

    Args:
        weights: (T, S) float: row t says where the model looked when it wrote target word t.
        source: S tokens, target: T tokens.
        gold: an object with `sure` and `possible` (an `Example`), or that pair; links are
            (source index, target index). Sure links get a solid outline, possible ones a
            dotted one.
        maximum: weight shown brightest; None: the largest one in `weights`.
    Raises:
        ValueError: lengths disagree (both are named), weights are not finite, or a link lies
            outside the two sentences.
    """
    values = _alignment(weights, source, target)
    sure, possible = _links(gold, len(source), len(target))
    if ax is None:
        size = (max(3.2, 0.36 * len(source) + 2.2), max(2.2, 0.32 * len(target) + 1.2))
        ax = plt.figure(figsize=size).gca()
    sns.heatmap(
        values,
        ax=ax,
        vmin=0.0,
        vmax=float(values.max()) if maximum is None else maximum,
        cmap=INTENSITY,
        linewidths=0.5,
        linecolor="white",
        cbar_kws={"label": label, "shrink": 0.8},
        xticklabels=list(source),
        yticklabels=list(target),
    )
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.set_xticklabels(list(source), rotation=90)
    ax.set_yticklabels(list(target), rotation=0)
    ax.grid(visible=False)
    for links, colour, line in ((possible - sure, POSSIBLE, ":"), (sure, SURE, "-")):
        for source_index, target_index in sorted(links):
            cell = Rectangle((source_index + 0.04, target_index + 0.04), 0.92, 0.92)
            cell.set(fill=False, edgecolor=colour, linewidth=2, linestyle=line)
            ax.add_patch(cell)
    return ax


def arcs(
    weights: Any,
    source: Sequence[str],
    target: Sequence[str],
    *,
    ax: Axes | None = None,
    threshold: float = 0.05,
) -> Axes:
    """Attention as bands between two sentences: source above, target below.

    Args:
        weights: (T, S) float in 0–1; width and opacity of a band follow its weight.
        threshold: weights below it are not drawn.
    Raises:
        ValueError: lengths disagree (both are named), or weights are not finite.
    """
    values = _alignment(weights, source, target)
    widest = max(len(source), len(target))
    if ax is None:
        ax = plt.figure(figsize=(max(4.0, 0.72 * widest), 2.6)).gca()
    above, below = _centred(len(source), widest), _centred(len(target), widest)
    for target_index, source_index in zip(*np.nonzero(values >= threshold), strict=True):
        weight = float(values[target_index, source_index])
        start, end = (above[source_index], 1.0), (below[target_index], 0.0)
        curve = [start, (start[0], 0.5), (end[0], 0.5), end]
        path = Path(curve, [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])
        band = PathPatch(path, fill=False, edgecolor=PALETTE[0])
        band.set(linewidth=0.5 + 5 * weight, alpha=0.15 + 0.75 * min(weight, 1.0))
        ax.add_patch(band)
    for tokens, places, height, side in (
        (source, above, 1.04, "bottom"),
        (target, below, -0.04, "top"),
    ):
        for token, place in zip(tokens, places, strict=True):
            ax.text(place, height, token, ha="center", va=side)
    ax.set(xlim=(-0.6, widest - 0.4), ylim=(-0.2, 1.2))
    ax.set_axis_off()
    return ax


def _centred(count: int, widest: int) -> np.ndarray:
    return np.arange(count) + (widest - count) / 2


def _alignment(weights: Any, source: Sequence[str], target: Sequence[str]) -> np.ndarray:
    values = _array(weights, "weights", dimensions=(2,))
    if values.shape != (len(target), len(source)):
        hint = " They look transposed." if values.shape == (len(source), len(target)) else ""
        raise ValueError(
            f"weights has {values.shape[0]} rows and {values.shape[1]} columns, but there are "
            f"{len(target)} target tokens (rows) and {len(source)} source tokens (columns).{hint}"
        )
    return values


def _links(gold: Any, source_length: int, target_length: int) -> tuple[set, set]:
    if gold is None:
        return set(), set()
    sure, possible = (gold.sure, gold.possible) if hasattr(gold, "sure") else gold
    for source_index, target_index in {*sure, *possible}:
        if not (0 <= source_index < source_length and 0 <= target_index < target_length):
            raise ValueError(
                f"gold link ({source_index}, {target_index}) lies outside the sentences: "
                f"{source_length} source and {target_length} target tokens. "
                "Links are (source index, target index), counted from 0."
            )
    return set(sure), set(possible)


def _array(
    values: Any, name: str, *, dimensions: tuple[int, ...], finite: bool = True
) -> np.ndarray:
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{name} is not an array of numbers ({error}). A tensor needs .detach().cpu() first; "
            "rows need equal lengths."
        ) from error
    if array.ndim not in dimensions:
        expected = " or ".join(map(str, dimensions))
        raise ValueError(f"{name} has shape {array.shape}: {expected} dimension(s) expected.")
    if finite and not np.all(np.isfinite(array)):
        raise ValueError(f"{name} holds NaN or infinite numbers: nothing to draw there.")
    return array


def _axes(ax: Axes | None) -> Axes:
    return plt.figure().gca() if ax is None else ax
