"""Explorers: attention that can be touched, live in a notebook and alive in a page without kernel.

    from utils.explorers import explore

    explore(model, (source_vocabulary, target_vocabulary))  # the model just trained
    explore("grammar-additive")  # a model that comes with the book

One front end (``front``, plain JavaScript) draws the explorers; two engines answer it. In a
notebook Python does, through the widget of `live`; in a built page the JavaScript of ``engine``
does, on weights that were exported. Every explorer also is a piece of HTML that shows a computed
example by itself: before scripts run, before weights arrive, or without either.

=============  ===========================================================
``answers``    Python's engine: a sentence in, everything the front end shows out
``examples``   sentences with gold links, and stored answers for them
``captions``   the caption explorer: engine, pictures to begin with, HTML
``markup``     the HTML of a translation before any script runs
``toys``       the same for the explorers without a model
``live``       the widget
``assets``     the scripts and styles, joined for a page or for the widget
=============  ===========================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from utils.explorers.live import Explorer


def explore(model: Any, vocabularies: Any = None, **options: Any) -> Explorer:
    """Explore a translation model; see `utils.explorers.live.explore_translation`."""
    from utils.explorers.live import explore_translation

    return explore_translation(model, vocabularies, **options)


def explore_captions(model: Any, vocabulary: Any = None, **options: Any) -> Explorer:
    """Explore a captioning model; see `utils.explorers.live.explore_captions`."""
    from utils.explorers.live import explore_captions as make

    return make(model, vocabulary, **options)


def explore_window(scores: Sequence[float] | None = None, **options: Any) -> Explorer:
    """Explore local attention: centre, window, Gaussian and weights over one row of scores."""
    from utils.explorers.live import explore_window as make

    return make(scores, **options)


def explore_cell(**options: Any) -> Explorer:
    """Explore one step of the plain recurrent cell, with the numbers of chapter 1."""
    from utils.explorers.live import explore_cell as make

    return make(**options)
