"""The widget: the explorers' front end in a notebook, with the Python model as its engine.

Its output carries two forms. A front end with a kernel shows the widget; a built page, or a
notebook that was only opened, shows the HTML, whose text is the same at every run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from utils.checkpoints import CheckpointError
from utils.datasets.vocabulary import SPECIAL_TOKENS, Vocabulary
from utils.explorers import assets, markup
from utils.explorers.answers import TranslationEngine
from utils.explorers.captions import CaptionEngine, caption_markup, caption_setup
from utils.explorers.examples import (
    default_examples,
    grammar_examples,
    request_for,
    rounded,
    stored_answer,
)
from utils.exporting import load_exported
from utils.translator import load_translator

EXPORTED = Path(__file__).resolve().parents[2] / "book" / "assets" / "models"
LIMIT = 60  # words of a sentence that are read


class Explorer(anywidget.AnyWidget):
    """An explorer as the last expression of a cell.

    Args:
        setup: what the front end draws: `kind` and the data of that kind.
        html: the same as HTML, for where no kernel runs.
        engines: models by name; they answer what the front end asks.
    """

    setup = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        *,
        setup: Mapping[str, Any],
        html: str,
        engines: Mapping[str, TranslationEngine | CaptionEngine] | None = None,
    ) -> None:
        self._esm, self._css = assets.module_script(), assets.style()
        super().__init__(setup=dict(setup))
        self.html = html
        self.engines = dict(engines or {})
        self.on_msg(self._reply)

    def __repr__(self) -> str:
        return f"Explorer({self.setup.get('kind')})"

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict, dict]:
        bundle = super()._repr_mimebundle_(**options)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        return {**data, "text/plain": repr(self), "text/html": self.html}, metadata

    def _reply(self, _widget: Any, message: Any, _buffers: Any) -> None:
        """Answer one message {id, model, request}; every message gets one answer."""
        if isinstance(message, dict) and "request" in message:
            self.send(self.reply(message))

    def reply(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """{id, answer}, or {id, error} with a text for the reader."""
        try:
            answer = self.engines[message["model"]].answer(message["request"])
        except KeyError:
            return {"id": message.get("id"), "error": "This model is not in the notebook any more."}
        except Exception as error:  # the reader sees it in the explorer, not in a log
            return {"id": message.get("id"), "error": str(error) or type(error).__name__}
        return {"id": message.get("id"), "answer": answer}


def explore_translation(
    model: Any,
    vocabularies: Any = None,
    *,
    title: str | None = None,
    examples: Sequence[str | Mapping[str, Any]] | None = None,
    beside: Mapping[str, Any] | Sequence[str] = (),
    page: str | Sequence[str] | None = None,
    limit: int = LIMIT,
) -> Explorer:
    """Explore one or more translation models.

    Args:
        model: an encoder–decoder, a `Translator`, or the name of an exported model.
        vocabularies: (source, target), {"source": …, "target": …}, or an object with
            `source_vocabulary` and `target_vocabulary` (methods or values), such as the grammar.
            Not needed for a name or a `Translator`.
        title: what the model is called; by default from its config.
        examples: sentences to pick from: texts (of the grammar: with gold links), or mappings with
            `text` and perhaps `gold`. By default sentences of the grammar, or German ones for a
            model of subwords.
        beside: more models to switch to, or to put beside the first: {title: model} with the same
            vocabularies, or names of exported models.
        page: the exported models, one or more names, that the built page shows in place of models
            that were just trained; their stored example makes the cell's HTML the same at every
            run. Without it the page shows the computed example and stays still.
        limit: words of a sentence that are read; the rest is left out, and the reader told.
    Raises:
        ValueError: vocabularies are missing or do not fit, or a name is unknown.
    """
    engines: dict[str, TranslationEngine] = {}
    titles: dict[str, str] = {}
    if isinstance(model, str):
        names = [model, *beside]
        page = names if page is None else page
        for name in names:
            engines[name] = load_engine(name)
            titles[name] = title_of(engines[name].model.config)
        if title is not None:
            titles[model] = title
    else:
        pair = _vocabularies(model, vocabularies)
        others = dict(beside) if isinstance(beside, Mapping) else {}
        if len(others) < len(beside):
            raise ValueError("beside: pass {title: model} to go with a model that is an object")
        for index, (name, each) in enumerate({title or "": model, **others}.items()):
            network = getattr(each, "model", each)
            engines[f"model-{index}"] = TranslationEngine(network, *pair)
            titles[f"model-{index}"] = name or title_of(network.config)
    first = next(iter(engines.values()))
    given = default_examples(first) if examples is None else examples
    chosen = [_described(each) for each in given]
    shown = rounded(first.answer(request_for(chosen[0], limit=limit)))
    models = [{"name": name, "title": titles[name]} for name in engines]
    setup = {"kind": "translation", "models": models, "examples": chosen, "shown": shown}
    return Explorer(
        setup={**setup, "limit": limit},
        html=_html(setup, [page] if isinstance(page, str) else page, limit=limit),
        engines=engines,
    )


def explore_window(scores: Sequence[float] | None = None, **options: Any) -> Explorer:
    """Explore local attention over one row of scores; see `utils.explorers.toys.window_setup`."""
    from utils.explorers.toys import window_markup, window_setup

    setup = window_setup(scores, **options)
    return Explorer(setup=setup, html=window_markup(setup))


def explore_cell(**options: Any) -> Explorer:
    """Explore one step of the plain recurrent cell; see `utils.explorers.toys.cell_setup`."""
    from utils.explorers.toys import cell_markup, cell_setup

    setup = cell_setup(**options)
    return Explorer(setup=setup, html=cell_markup(setup))


def explore_captions(
    model: Any,
    vocabulary: Any = None,
    *,
    scenes: Sequence[Any] | None = None,
    config: Any = None,
    title: str | None = None,
    page: str | None = None,
) -> Explorer:
    """Explore a captioning model: pick or compose a picture, read its caption.

    Args:
        model: a captioning model, or the name of an exported one.
        vocabulary: of the captions; not needed for a name.
        scenes: pictures to begin with; by default eight of the test split.
        config: a SceneConfig, what the training pictures look like.
        page: the exported model that the built page shows in place of one just trained.
    Raises:
        ValueError: the vocabulary is missing or does not fit, or a name is unknown.
    """
    if isinstance(model, str):
        engine, page = load_engine(model), model if page is None else page
        if not isinstance(engine, CaptionEngine):
            raise ValueError(f"{model!r} does not caption pictures: use explore({model!r})")
    elif vocabulary is None:
        raise ValueError("pass the vocabulary of the captions that the model was trained with")
    else:
        engine = CaptionEngine(model, vocabulary)
    title = title or f"{engine.model.config.attention} attention"
    setup = caption_setup(
        engine,
        title=title,
        name=page or "model",
        scenes=scenes,
        config=config,
    )
    setup["shown"] = rounded(setup["shown"])
    shown, data = setup["shown"], {"still": "true"}
    if page:
        shown = stored_answer(page, setup["examples"][0]) or rounded(
            load_engine(page).answer(setup["examples"][0])
        )
        data = {name: setup[name] for name in ("models", "examples", "options")}
        data |= {"model": page, "example": shown}
    return Explorer(
        setup=setup,
        html=caption_markup(setup, shown, **data),
        engines={page or "model": engine},
    )


def exported_path(name: str) -> Path:
    """The file of an exported model; a ValueError lists those there are."""
    path = EXPORTED / f"{name}.js"
    if not path.is_file():
        known = ", ".join(sorted(each.stem for each in EXPORTED.glob("*.js"))) or "none yet"
        raise ValueError(
            f"no exported model {name!r}; there are: {known}. Pass a model and its vocabularies, "
            "or write one with `python -m utils export`"
        )
    return path


def load_engine(name: str) -> TranslationEngine | CaptionEngine:
    """The Python engine on an exported model's weights: what the page computes with.

    Raises:
        ValueError: there is no such model; those there are are listed.
        CheckpointError: a model of subwords that is exported but not released.
    """
    exported = load_exported(exported_path(name))
    if any(each["kind"] == "subwords" for each in exported.vocabularies.values()):
        # An exported model has no subword segmenter for Python; the released one has.
        released = load_translator(name)
        vocabularies = released.source_vocabulary, released.target_vocabulary
        return TranslationEngine(exported.build(), *vocabularies)
    words = {
        side: Vocabulary(each["tokens"][len(SPECIAL_TOKENS) :])
        for side, each in exported.vocabularies.items()
    }
    if exported.kind == "captioning":
        return CaptionEngine(exported.build(), words["target"])
    return TranslationEngine(exported.build(), words["source"], words["target"])


def _described(example: str | Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(example, str):
        return dict(example)
    try:
        return grammar_examples([example])[0]
    except ValueError:  # not a sentence of the grammar: no gold links
        return {"text": example}


def _vocabularies(model: Any, given: Any) -> tuple[Any, Any]:
    given = model if given is None else given
    if isinstance(given, Mapping):
        found = given.get("source"), given.get("target")
    elif isinstance(given, (tuple, list)):
        found = (*given, None, None)[:2]
    else:
        found = tuple(
            value() if callable(value := getattr(given, f"{side}_vocabulary", None)) else value
            for side in ("source", "target")
        )
    if None in found:
        raise ValueError(
            "vocabularies are missing: pass vocabularies=(source, target), the two that the model "
            "was trained with"
        )
    return found


def page_models(names: Sequence[str]) -> list[dict[str, Any]]:
    """Exported models as a page lists them: name, title, and megabytes where it has many."""
    models = []
    for name in names:
        path = exported_path(name)
        entry = {"name": name, "title": title_of(load_exported(path).config)}
        megabytes = round(path.stat().st_size / 1e6, 1)
        models.append({**entry, "megabytes": megabytes} if megabytes > 1 else entry)
    return models


def title_of(config: Any) -> str:
    """What a model is called if nobody says: decoder and score function."""
    values = config if isinstance(config, Mapping) else config.to_dict()
    names = {"bahdanau": "Bahdanau", "luong": "Luong", "cho": "Cho", "sutskever": "Sutskever"}
    decoder = names.get(values["decoder"], values["decoder"])
    attention = values["attention"]
    return f"{decoder}, {f'attention: {attention}' if attention else 'one fixed vector'}"


def _html(setup: Mapping[str, Any], page: Sequence[str] | None, *, limit: int) -> str:
    """The mount: for exported models one that comes to life, else one that stays still."""
    examples, shown = setup["examples"], setup["shown"]
    if not page:
        inner = markup.translation_markup(shown, models=setup["models"], examples=examples)
        return markup.mount(setup["kind"], inner, still="true")
    models = page_models(page)
    shown = stored_answer(page[0], examples[0]) or _computed(page[0], examples[0], limit) or shown
    inner = markup.translation_markup(shown, models=models, examples=examples)
    data = {"models": models, "examples": examples, "example": shown, "limit": str(limit)}
    return markup.mount(setup["kind"], inner, model=page[0], **data)


def _computed(name: str, example: Mapping[str, Any], limit: int) -> dict[str, Any] | None:
    """An exported model's answer; None for a model of subwords that is not released."""
    try:
        engine = load_engine(name)
    except CheckpointError:
        return None
    return rounded(engine.answer(request_for(example, limit=limit)))
