"""The explorers without a model: local attention, and one step of the plain recurrent cell.

The numbers of the HTML are computed here, by the formulas of `utils.models.attention` and of
chapter 1; the scripts compute them again when a slider moves. Tests compare the two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from utils.explorers.markup import LATER, mount, show

SCORES = (0.4, 1.2, -0.6, 0.3, 1.8, 0.9, -0.2, 1.4, 0.1, -1.0)
CENTRES = ("local-p", "local-m", "hand")
SLIDER_WIDEST = "predicted from h_t (local-p)"


def window_setup(
    scores: Sequence[float] | None = None,
    *,
    centre: str = "local-p",
    window: int = 2,
    step: int = 3,
    state: Sequence[float] = (0.5, -0.3),
    W_p: Sequence[Sequence[float]] = ((1.0, 0.5), (-0.5, 1.0)),
    v_p: Sequence[float] = (0.8, -0.6),
) -> dict[str, Any]:
    """What the explorer of local attention opens with.

    Args:
        scores: one for each source word, 2 to 16 of them, −3 to 3.
        centre: "local-p" (predicted), "local-m" (the step) or "hand".
        window: D, words to either side, 1 to 8. step: t, from 0.
        state: h_t, 2 numbers. W_p: 2 rows of 2. v_p: 2 numbers.
    Raises:
        ValueError: an argument is out of its range.
    """
    values = list(SCORES if scores is None else scores)
    if not 2 <= len(values) <= 16:
        raise ValueError(f"there are {len(values)} scores; expected 2 to 16, one for each word")
    if centre not in CENTRES:
        raise ValueError(f"centre is {centre!r}; expected one of {CENTRES}")
    if not 1 <= window <= 8:
        raise ValueError(f"window is {window}; expected D from 1 to 8 words to either side")
    if len(state) != 2 or len(v_p) != 2 or [len(row) for row in W_p] != [2, 2]:
        raise ValueError("state and v_p need 2 numbers each, W_p 2 rows of 2")
    return {
        "kind": "window",
        "options": {
            "scores": [float(value) for value in values],
            "length": len(values),
            "centre": centre,
            "window": int(window),
            "step": int(step),
            "hand": float(min(step, len(values) - 1)),
            "state": [float(value) for value in state],
            "W_p": [[float(value) for value in row] for row in W_p],
            "v_p": [float(value) for value in v_p],
        },
    }


def window_weights(options: Mapping[str, Any]) -> dict[str, Any]:
    """Centre, shares (the softmax inside the window), bell (the Gaussian) and weights.

    Source: Luong et al. 2015, arXiv:1508.04025, §3.2, eqs. 9–10; deviations as in
    `utils.models.attention.LocalAttention`.
    """
    length, window = options["length"], options["window"]
    scores = options["scores"][:length]
    if options["centre"] == "local-m":
        centre = min(options["step"], length - 1)
    elif options["centre"] == "hand":
        centre = min(options["hand"], length - 1)
    else:
        hidden = [math.tanh(value) for value in _times(options["W_p"], options["state"])]
        logit = _times([options["v_p"]], hidden)[0]
        centre = min(length / (1 + math.exp(-logit)), length - 1)
    inside = [abs(position - centre) <= window for position in range(length)]
    powers = [
        math.exp(score) if counts else 0.0 for score, counts in zip(scores, inside, strict=True)
    ]
    shares = [power / sum(powers) for power in powers]
    sigma = window / 2
    bell = [
        1.0
        if options["centre"] == "local-m"
        else math.exp(-((position - centre) ** 2) / (2 * sigma**2))
        for position in range(length)
    ]
    weights = [share * height for share, height in zip(shares, bell, strict=True)]
    return {"centre": centre, "inside": inside, "shares": shares, "bell": bell, "weights": weights}


def window_markup(setup: Mapping[str, Any]) -> str:
    """The explorer of local attention as HTML."""
    options = setup["options"]
    found = window_weights(options)
    length = options["length"]
    names = ["D, words to either side", "S, source words", "t, the step", "p_t"]
    learnt = [f"{name} [{i}]" for name in ("h_t", "v_p") for i in (1, 2)]
    learnt += [f"W_p [{i}, {j}]" for i in (1, 2) for j in (1, 2)]
    controls = (
        f'<div class="ae-controls" {LATER}><div class="ae-sliders"><label class="ae-choice">'
        f"<span>Centre p_t</span><select disabled><option>{SLIDER_WIDEST}</option></select></label>"
        f"{_sliders(names)}</div></div>"
    )
    columns = "".join(
        '<div class="ae-chart-column">'
        + "".join(
            f'<i class="ae-{name}" style="--w:{found[key][s]:.4f}"></i>'
            for name, key in (("softmax", "shares"), ("gaussian", "bell"), ("weight", "weights"))
        )
        + f"<b>{s}</b></div>"
        for s in range(length)
    )

    def share(position: float) -> float:
        return min(1, max(0, (position + 0.5) / length)) * 100

    centre, window = found["centre"], options["window"]
    best = max(range(length), key=found["weights"].__getitem__)
    label = (
        f"Softmax, Gaussian and weight of {length} words. The window stands at {show(centre)} and "
        f"reaches {window} words to either side; word {best} has the largest weight, "
        f"{show(found['weights'][best])}"
    )
    chart = (
        f'<div class="ae-chart" role="img" aria-label="{label}">'
        f'<div class="ae-chart-band" style="left:{share(centre - window):.2f}%;'
        f'right:{100 - share(centre + window):.2f}%"></div>'
        f'<div class="ae-chart-bars">{columns}</div>'
        f'<div class="ae-chart-marker" data-value="p_t = {show(centre)}"'
        f' style="left:{share(centre):.2f}%"></div></div>'
        '<p class="ae-legend">'
        + "".join(
            f'<span class="ae-key ae-key-{name.lower()}">{name}</span>'
            for name in ("softmax", "Gaussian", "weight")
        )
        + f'</p><p class="ae-note ae-formula">p_t = {show(centre, 3)}, D = {window}, '
        f"σ = D / 2 = {show(window / 2)}.</p>"
        f'<div class="ae-sliders" {LATER}>{_sliders(learnt)}</div>'
    )
    rows = [
        [
            (options["scores"][s], 2),
            *((found[key][s], 4) for key in ("shares", "bell", "weights")),
        ]
        for s in range(length)
    ]
    body = "".join(
        f'<tr{"" if found["inside"][s] else " class=ae-outside"}><th scope="row">{s}</th>'
        + "".join(_number(*cell) for cell in row)
        + f'<td class="ae-slide"><input type="range" disabled {LATER}></td></tr>'
        for s, row in enumerate(rows)
    )
    heads = "".join(
        f'<th scope="col">{head}</th>'
        for head in ("s", "score", "softmax", "Gaussian", "weight", _later("change the score"))
    )
    table = (
        '<div class="ae-step-left"><table class="ae-scores" aria-label="Local attention weights">'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody>"
        f'<tfoot><tr><th scope="row">sum</th><td></td>{_number(sum(found["shares"]), 4)}<td></td>'
        f"{_number(sum(found['weights']), 4)}<td></td></tr></tfoot></table></div>"
    )
    return mount("window", controls + chart + table + _buttons("Start again"), options=options)


CELL = {  # the numbers of chapter 1
    "x": [1.0, 0.0],
    "a": [0.0, 0.0],
    "W_ax": [[0.5, -0.5], [0.5, 0.5]],
    "W_aa": [[0.0, 1.0], [-1.0, 0.0]],
    "b_a": [0.0, 0.5],
    "W_ay": [[2.0, 0.0], [0.0, 2.0]],
    "b_y": [0.0, -0.5],
    "words": [[1.0, 0.0], [0.0, 1.0]],
}
GROUPS = (
    ("x", "The word x⟨t⟩"),
    ("a", "The old state a⟨t−1⟩"),
    ("W_ax", "W_ax, word → state"),
    ("W_aa", "W_aa, state → state"),
    ("b_a", "b_a"),
    ("W_ay", "W_ay, state → answer"),
    ("b_y", "b_y"),
)

# The picture: where the boxes' middles stand, and what the lines are; the same in front/cell.js.
BOXES = {
    "x": ("x⟨t⟩", 40, 30),
    "a": ("a⟨t−1⟩", 40, 108),
    "state": ("a⟨t⟩", 170, 69),
    "answer": ("ŷ⟨t⟩", 300, 69),
}
LINES = (("W_ax", "x", "state"), ("W_aa", "a", "state"), ("W_ay", "state", "answer"))
APART, WIDE, HIGH = 28, 56, 22


def cell_setup(**values: Any) -> dict[str, Any]:
    """What the explorer of the recurrent cell opens with.

    Args:
        values: x, a, W_ax, W_aa, b_a, W_ay, b_y (two units, two answers) and words (the inputs
            that follow one another); by default the worked example of chapter 1.
    Raises:
        ValueError: an unknown name, or another shape than the example's.
    """
    unknown = sorted(set(values) - set(CELL))
    if unknown:
        raise ValueError(f"unknown values {unknown}; expected some of {list(CELL)}")
    options = {name: _plain(values.get(name, default)) for name, default in CELL.items()}
    for name, default in CELL.items():
        shape = _shape(options[name])
        if shape != _shape(default) and not (name == "words" and shape[1:] == (2,) and shape[0]):
            raise ValueError(f"{name} has shape {shape}, expected {_shape(default)}")
    return {"kind": "cell", "options": options}


def cell_step(options: Mapping[str, Any]) -> dict[str, list[float]]:
    """a⟨t⟩ = tanh(W_ax x⟨t⟩ + W_aa a⟨t−1⟩ + b_a) and ŷ⟨t⟩ = softmax(W_ay a⟨t⟩ + b_y), in parts."""
    from_word = _times(options["W_ax"], options["x"])
    from_state = _times(options["W_aa"], options["a"])
    total = [sum(each) for each in zip(from_word, from_state, options["b_a"], strict=True)]
    state = [math.tanh(value) for value in total]
    logits = [
        value + bias
        for value, bias in zip(_times(options["W_ay"], state), options["b_y"], strict=True)
    ]
    powers = [math.exp(value - max(logits)) for value in logits]
    answer = [power / sum(powers) for power in powers]
    return {
        "from_word": from_word,
        "from_state": from_state,
        "total": total,
        "state": state,
        "logits": logits,
        "answer": answer,
    }


def cell_markup(setup: Mapping[str, Any]) -> str:
    """The explorer of the recurrent cell as HTML."""
    options = setup["options"]
    found = cell_step(options)

    def group(key: str, title: str) -> str:
        if isinstance(options[key][0], list):
            names = [f"{key} [{i}, {j}]" for i in (1, 2) for j in (1, 2)]
        else:
            names = [f"{key} [{i}]" for i in (1, 2)]
        return (
            f'<fieldset class="ae-group"><legend>{escape(title)}</legend>{_sliders(names)}'
            "</fieldset>"
        )

    groups = "".join(group(key, title) for key, title in GROUPS)
    state = _table(
        "The new state a⟨t⟩",
        ("unit", "W_ax x", "W_aa a", "b_a", "sum", "a⟨t⟩ = tanh"),
        [found["from_word"], found["from_state"], options["b_a"], found["total"], found["state"]],
    )
    answer = _table(
        "The answer ŷ⟨t⟩",
        ("answer", "W_ay a + b_y", "ŷ⟨t⟩ = softmax"),
        [found["logits"], found["answer"]],
        bars=found["answer"],
    )
    inner = (
        f'<div class="ae-controls ae-groups" {LATER}>{groups}</div>{_cell_picture(options, found)}'
        '<p class="ae-note">Lines are weights: the thicker, the larger; dashed where negative.</p>'
        '<div class="ae-cell-tables" role="region" aria-label="The step in numbers">'
        f"{state}{answer}</div>"
        + _buttons("Take the step: a⟨t⟩ becomes the old state", "Start again")
        + '<ol class="ae-history"></ol>'
    )
    return mount("cell", inner, options=options)


def _cell_picture(options: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """The step as a picture: its numbers in boxes, its weights as lines."""
    vectors = {name: {**options, **found}[name] for name in BOXES}

    def middle(name: str, unit: int) -> tuple[int, int]:
        _, x, y = BOXES[name]
        return x, y + APART * unit

    def line(start: tuple[int, int], end: tuple[int, int], weight: float) -> str:
        dashes = ' stroke-dasharray="5 3"' if weight < 0 else ""
        return (
            f'<path d="M{start[0] + WIDE // 2} {start[1]}L{end[0] - WIDE // 2} {end[1]}"'
            f' stroke-width="{2 * abs(weight):.2f}"{dashes}/>'
        )

    lines = "".join(
        line(middle(source, j), middle(target, i), weight)
        for key, source, target in LINES
        for i, row in enumerate(options[key])
        for j, weight in enumerate(row)
    )
    boxes, texts = [], []
    for name, (title, x, y) in BOXES.items():
        texts.append(f'<text x="{x}" y="{y - 16}">{title}</text>')
        for unit, value in enumerate(vectors[name]):
            place = y + APART * unit
            corner = f'x="{x - WIDE // 2}" y="{place - HIGH // 2}"'
            boxes.append(f'<rect {corner} width="{WIDE}" height="{HIGH}"/>')
            texts.append(f'<text x="{x}" y="{place + 4}">{show(value)}</text>')
    x, a, state, answer = (f"({', '.join(map(show, vector))})" for vector in vectors.values())
    label = (
        f"One step of the cell: the word x⟨t⟩ = {x} and the old state a⟨t−1⟩ = {a} give the new "
        f"state a⟨t⟩ = {state} and the answer ŷ⟨t⟩ = {answer}"
    )
    return (
        '<svg class="ae-cell-picture" viewBox="0 0 340 152" width="340" height="152" fill="none"'
        f' stroke="#0a5fb4" role="img" aria-label="{label}"><g>{lines}</g><g>{"".join(boxes)}</g>'
        '<g fill="currentColor" stroke="none" text-anchor="middle" font-size="12">'
        f"{''.join(texts)}</g></svg>"
    )


def _sliders(names: Sequence[str]) -> str:
    return "".join(
        f'<label class="ae-slider"><span class="ae-slider-name">{escape(name)}</span>'
        '<input type="range" disabled><output>0.00</output></label>'
        for name in names
    )


def _buttons(*names: str) -> str:
    buttons = "".join(
        f'<button type="button" class="ae-button" disabled>{escape(name)}</button>'
        for name in names
    )
    return f'<div class="ae-buttons" {LATER}>{buttons}</div>'


def _later(text: str) -> str:
    return f"<span {LATER}>{escape(text)}</span>"


def _number(value: float, decimals: int) -> str:
    return f'<td class="ae-number">{show(value, decimals)}</td>'


def _table(
    name: str,
    heads: Sequence[str],
    columns: Sequence[Sequence[float]],
    bars: Sequence[float] | None = None,
) -> str:
    """Columns of numbers, one row a unit; the last column with bars if asked."""
    rows = []
    for unit, row in enumerate(zip(*columns, strict=True)):
        cells = [_number(value, 3) for value in row]
        if bars is not None:
            bar = f'class="ae-number ae-bar" style="--w:{bars[unit]:.4f}"'
            cells[-1] = f"<td {bar}>{show(row[-1], 3)}</td>"
        rows.append(f'<tr><th scope="row">{unit + 1}</th>{"".join(cells)}</tr>')
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    return (
        f'<table class="ae-scores" aria-label="{escape(name)}"><caption>{escape(name)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _times(matrix: Sequence[Sequence[float]], vector: Sequence[float]) -> list[float]:
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]


def _plain(values: Any) -> list:
    """Numbers in nested lists, also from a tensor or an array."""
    values = values.tolist() if hasattr(values, "tolist") else values
    return [_plain(v) if isinstance(v, (list, tuple)) else float(v) for v in values]


def _shape(values: Any) -> tuple[int, ...]:
    if not isinstance(values, list):
        return ()
    return (len(values), *(_shape(values[0]) if values else ()))
