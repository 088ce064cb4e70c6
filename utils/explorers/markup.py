"""The HTML of a translation explorer before any script runs: the computed example, complete.

It is what a page shows without JavaScript, and what stands there until the scripts take over. They
draw the same elements with the same classes, so nothing moves when they do.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any

ROW = 28  # pixels, as in front/links.js
FAINTEST = 0.05
NO_WEIGHTS = (
    "No attention: at every step the decoder sees the same vector, and there is no weight to show."
)
# Laid out from the start but not seen, and without scripts not laid out either.
LATER = 'hidden aria-hidden="true"'
WITHOUT_SCRIPTS = (
    "<noscript><style>.attention-explorer [hidden][aria-hidden]{display:none!important}</style>"
    "</noscript>\n"
)


def show(number: float, decimals: int = 2) -> str:
    """A number with a true minus sign, and no minus before zero."""
    text = f"{number:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def attributes(values: Mapping[str, Any]) -> str:
    """HTML attributes; None and False leave one out, other values than text become JSON.

    In single quotes, because JSON is full of double ones.
    """
    parts = []
    for name, value in values.items():
        if value is None or value is False:
            continue
        if not isinstance(value, str):
            value = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        value = escape(value, quote=False).replace("'", "&#39;")
        parts.append(f"{name}='{value}'")
    return " ".join(parts)


def mount(kind: str, inner: str, **data: Any) -> str:
    """The element that the scripts look for, with `data-…` attributes."""
    named = {f"data-{name}": value for name, value in {"kind": kind, **data}.items()}
    return f'<div class="attention-explorer" {attributes(named)}>\n{WITHOUT_SCRIPTS}{inner}\n</div>'


def translation_markup(
    shown: Mapping[str, Any],
    *,
    models: Sequence[Mapping[str, str]],
    examples: Sequence[Mapping[str, Any]],
) -> str:
    """Controls that wait for their script, and one answer of an engine in full."""
    choices = ["Example"] + (["Model", "Beside it"] if len(models) > 1 else []) + ["Beam size"]
    controls = (
        f'<div class="ae-controls" {LATER}><form class="ae-ask">'
        '<label><span>Source sentence</span><input type="text" disabled></label>'
        '<button type="button" class="ae-button ae-main" disabled>Translate</button></form>'
        '<div class="ae-choices">'
        + "".join(
            f'<label class="ae-choice"><span>{name}</span>'
            f"<select disabled><option>{escape(_widest(name, models, examples))}</option></select>"
            "</label>"
            for name in choices
        )
        + "</div></div>"
    )
    gold = examples[0].get("gold") if examples else None
    view = _view(shown, title=models[0]["title"], gold=gold)
    return f'{controls}\n<div class="ae-message"></div>\n<div class="ae-results">\n{view}\n</div>'


def _widest(name: str, models: Sequence[Mapping], examples: Sequence[Mapping]) -> str:
    """A text as wide as the select's widest, so that the script's own has the same width."""
    if name == "Beam size":
        return "1 (greedy)"
    if name == "Example":
        return max(["your own sentence", *(each["text"][:60] for each in examples)], key=len)
    titles = [each["title"] for each in models]
    return max(titles if name == "Model" else [*titles, "no second model"], key=len)


def _view(shown: Mapping[str, Any], *, title: str, gold: Mapping[str, Any] | None) -> str:
    result, labels = shown["result"], shown["labels"]
    unknown = {each["index"] for each in shown["unknown"]}
    rows = [step["weights"] for step in result["steps"] if step["weights"]]
    target = [step["word"] for step in result["steps"]]
    same = gold is not None and list(gold["target"]) == list(result["words"])
    matrix = (
        _matrix(labels, target, rows, unknown, gold if same else None)
        if rows
        else f'<p class="ae-note">{NO_WEIGHTS}</p>'
    )
    return (
        '<div class="ae-view">'
        '<div class="ae-translation" role="region" aria-label="Translation">'
        f'<p class="ae-model">{escape(title)}</p>'
        f'<p class="ae-words-written">{escape(result["text"])}</p>'
        f'<p class="ae-note ae-aer">{escape(error_text(shown, gold))}</p></div>\n'
        f'<div class="ae-pictures">{_links(labels, target, rows, unknown)}\n'
        f'<div class="ae-matrix-box">{matrix}</div></div>\n'
        f"{_step(shown, 0, unknown)}</div>"
    )


def error_text(shown: Mapping[str, Any], gold: Mapping[str, Any] | None) -> str:
    """The sentence about the alignment error rate, as front/view.js says it."""
    from utils.metrics import alignment_error_rate, hard_links

    result = shown["result"]
    if gold is None or not result["steps"][0]["weights"]:
        return ""
    same = list(gold["target"]) == list(result["words"])
    rows = [step["weights"] for step in result["steps"]] if same else shown["rows"]
    links = hard_links(rows, len(gold["target"]), len(shown["words"]))
    sure, possible = (frozenset(map(tuple, gold[kind])) for kind in ("sure", "possible"))
    rate = show(alignment_error_rate([links], [sure], [possible | sure]))
    if same:
        return f"Alignment error rate of this sentence: {rate} (outlined: the gold links)"
    return (
        f"Not the reference, “{' '.join(gold['target'])}”. With the reference forced, the "
        f"alignment error rate is {rate}."
    )


def _links(source: Sequence[str], target: Sequence[str], rows: Any, unknown: set[int]) -> str:
    height = ROW * max(len(source), len(target))

    def middle(row: int) -> int:
        return ROW * row + ROW // 2

    lines = "".join(
        f'<path d="M0 {middle(column)} C45 {middle(column)} 55 {middle(step)} 100 {middle(step)}"'
        f' data-source="{column}" data-step="{step}" stroke-width="{1 + 5 * weight:.2f}"'
        f' stroke-opacity="{max(0.12, weight):.2f}"/>'
        for step, row in enumerate(rows)
        for column, weight in enumerate(row)
        if weight >= FAINTEST
    )
    looks = []
    for word, row in zip(target, rows, strict=False):
        best = max(range(len(row)), key=row.__getitem__)
        looks.append(f"{word} from {source[best]} ({show(row[best])})")
    label = f"Where each word looked most: {', '.join(looks or target)}"
    return (
        '<div class="ae-links" role="group" aria-label="Links between the sentences">'
        f"{_words(source, 'source', unknown)}"
        f'<svg class="ae-lines" viewBox="0 0 100 {height}" height="{height}"'
        f' preserveAspectRatio="none" fill="none" stroke="#0a5fb4" role="img"'
        f' aria-label="{escape(label)}">{lines}</svg>'
        f"{_words(target, 'step', set())}</div>"
    )


def _words(words: Sequence[str], kind: str, unknown: set[int]) -> str:
    items = "".join(
        f"<li><span{' class=ae-unknown' if index in unknown else ''}>{escape(word)}</span></li>"
        for index, word in enumerate(words)
    )
    return f'<ul class="ae-words ae-of-{kind}">{items}</ul>'


def _matrix(
    source: Sequence[str],
    target: Sequence[str],
    rows: Sequence[Sequence[float]],
    unknown: set[int],
    gold: Mapping[str, Any] | None,
) -> str:
    sure, possible = (
        {tuple(link) for link in gold[kind]} if gold else set() for kind in ("sure", "possible")
    )

    def cell(step: int, column: int, weight: float) -> str:
        link = (column, step)
        outline = "sure" if link in sure else "possible" if link in possible else None
        kind = f' class="ae-{outline}"' if outline else ""
        return f'<td{kind} style="--w:{min(1, weight):.4f}">{show(weight)}</td>'

    head = "".join(
        f'<th scope="col"{" class=ae-unknown" if index in unknown else ""}>'
        f"<span>{escape(word)}</span></th>"
        for index, word in enumerate(source)
    )
    body = "\n".join(
        f'<tr><th scope="row">{escape(target[step])}</th>'
        + "".join(cell(step, column, weight) for column, weight in enumerate(row))
        + "</tr>"
        for step, row in enumerate(rows)
    )
    return (
        '<table class="ae-matrix" aria-label="Attention weights">'
        "<caption>Attention weights</caption>"
        f"<thead><tr><td></td>{head}</tr></thead>\n<tbody>{body}</tbody></table>"
    )


def _step(shown: Mapping[str, Any], index: int, unknown: set[int]) -> str:
    steps = shown["result"]["steps"]
    step = steps[index]
    stepper = (
        f'<div class="ae-stepper" {LATER}>'
        '<button type="button" class="ae-button" disabled>◀ Back</button>'
        '<input type="range" disabled>'
        '<button type="button" class="ae-button" disabled>Forward ▶</button>'
        '<button type="button" class="ae-button" disabled>Reset weights</button></div>'
    )
    left = (
        _scores(shown["labels"], step, unknown)
        if step["weights"]
        else '<p class="ae-note">This model has no attention, so there are no scores and no '
        "weights.</p>"
    )
    context = _context(step["context"]) if step["context"] else ""
    next_words = "".join(
        f'<tr><th scope="row">{escape(each["word"])}</th>'
        f'<td class="ae-number">{show(each["probability"], 4)}</td>'
        f'<td class="ae-bar" style="--w:{each["probability"]:.4f}"></td></tr>'
        for each in step["probabilities"]
    )
    return (
        '<div class="ae-step" role="group" aria-label="One step of the decoder">'
        f'{stepper}<p class="ae-step-title">Step {index + 1} of {len(steps)}: writes '
        f"“{escape(step['word'])}”</p>"
        f'<div class="ae-step-grid"><div class="ae-step-left">{left}</div>'
        f'<div class="ae-step-right"><div class="ae-context">{context}</div>'
        '<div><table class="ae-next" aria-label="Next-word probabilities">'
        f"<caption>Next word: the five likeliest</caption><tbody>{next_words}</tbody></table>"
        f'</div></div></div><p class="ae-note" {LATER}>{escape(_note(step))}</p></div>'
    )


def _note(step: Mapping[str, Any]) -> str:
    parts = []
    if step["centre"] is not None:
        centre = show(step["centre"])
        parts.append(f"The window's centre is p_t = {centre}; words outside it get no weight.")
    if step["weights"]:
        parts.append(
            "Move a slider, or drag a cell of the matrix up or down (keys: + and −). The other "
            "weights make room, and the sentence is written on from here."
        )
    return " ".join(parts)


def _scores(labels: Sequence[str], step: Mapping[str, Any], unknown: set[int]) -> str:
    scores, weights = step["scores"], step["weights"]
    local = step["centre"] is not None
    inside = [weight > 0 or not local for weight in weights]
    largest = max(score for score, counts in zip(scores, inside, strict=True) if counts)
    powers = [
        math.exp(score - largest) if counts else 0.0
        for score, counts in zip(scores, inside, strict=True)
    ]
    number: Callable[[str], str] = '<td class="ae-number">{}</td>'.format
    body = "".join(
        f'<tr><th scope="row"{" class=ae-unknown" if position in unknown else ""}>{escape(word)}'
        f"</th>{number(show(scores[position]))}{number(show(powers[position], 4))}"
        f"{number(show(weights[position], 4))}"
        f'<td class="ae-slide" style="--w:{weights[position]:.4f}">'
        f'<input type="range" disabled {LATER}></td></tr>'
        for position, word in enumerate(labels)
    )
    heads = "".join(
        f'<th scope="col">{head}</th>'
        for head in ("score", "exp(score − max)", "weight", f"<span {LATER}>change it</span>")
    )
    return (
        '<table class="ae-scores" aria-label="Scores and weights of this step">'
        f"<thead><tr><td></td>{heads}</tr></thead><tbody>{body}</tbody>"
        f'<tfoot><tr><th scope="row">sum</th><td></td>{number(show(sum(powers), 4))}'
        f"{number(show(sum(weights), 4))}<td></td></tr></tfoot></table>"
    )


def _context(vector: Sequence[float]) -> str:
    largest = max(1e-9, *map(abs, vector))
    bars = "".join(
        f"M{index + 0.1:.1f} 20h0.8v{-value / largest * 20:.2f}h-0.8z"
        for index, value in enumerate(vector)
    )
    return (
        f'<p class="ae-label">Context: Σ weight · memory ({len(vector)} numbers)</p>'
        f'<svg class="ae-strip" viewBox="0 0 {len(vector)} 40" preserveAspectRatio="none"'
        f' role="img" aria-label="The context, {len(vector)} numbers, largest size {show(largest)}"'
        ">"
        f'<path d="{bars}"/></svg>'
        '<details class="ae-details"><summary>The numbers</summary>'
        f'<p class="ae-numbers">{"  ".join(_numbers(vector))}</p></details>'
    )


def _numbers(vector: Iterable[float]) -> list[str]:
    return [show(value, 3) for value in vector]
