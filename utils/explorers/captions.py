"""The caption explorer's Python half: the engine, what it opens with, and its HTML."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from typing import Any

import numpy as np
import torch

from utils.datasets.scene_rendering import render
from utils.datasets.scenes import Scene, SceneConfig, SceneObject, describe, sample_scenes
from utils.datasets.vocabulary import Vocabulary
from utils.decoding import BOS_ID, EOS_ID, greedy_search
from utils.explorers.markup import LATER, mount, show
from utils.models.captioning import CaptioningModel

LIKELIEST = 5
EXAMPLE_SEED = 6


def scene_values(scene: Scene) -> dict[str, Any]:
    """A scene as plain values, for JSON and for the page's renderer."""
    values = asdict(scene)
    return {**values, "objects": [dict(item) for item in values["objects"]]}


def read_scene(values: Mapping[str, Any]) -> Scene:
    """The inverse; what a reader composed has whole objects but perhaps no more.

    Raises:
        ValueError: there is no object, or a field is missing or unknown.
    """
    if not values.get("objects"):
        raise ValueError("There is no object in the picture. Add one first.")
    try:
        objects = tuple(SceneObject(**item) for item in values["objects"])
        rest = {name: value for name, value in values.items() if name != "objects"}
        rest |= {n: tuple(rest[n]) for n in ("first_colour", "second_colour") if n in rest}
        return Scene(objects=objects, **rest)
    except TypeError as error:
        raise ValueError(f"The picture cannot be read: {error}.") from None


class CaptionEngine:
    """Answers the front end about pictures.

    Args:
        model: a captioning model. vocabulary: of its captions.
    Raises:
        ValueError: the vocabulary is larger than the model's.
    """

    def __init__(self, model: CaptioningModel, vocabulary: Vocabulary) -> None:
        if len(vocabulary) > model.config.vocabulary_size:
            raise ValueError(
                f"the vocabulary has {len(vocabulary)} entries, the model "
                f"{model.config.vocabulary_size}: pass the one that the model was trained with"
            )
        self.model = model
        self.vocabulary = vocabulary

    @torch.no_grad()
    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """{scene} → {result: {words, steps, …}, grid: {rows, columns}}.

        A step has `word`, `probability`, `probabilities`, `weights` (one a cell, row by row) and
        `gate` (β, or None).
        """
        picture = render(read_scene(request["scene"])).astype(np.float32) / 255
        device = next(self.model.parameters()).device
        images = torch.from_numpy(picture.transpose(2, 0, 1)[None]).contiguous().to(device)
        found = greedy_search(self.model, images)[0]
        written = [*found.tokens, EOS_ID] if found.finished else found.tokens
        was_training = self.model.training
        self.model.eval()
        try:
            encoded, state = self.model.start(self.model.encode(images))
            steps = []
            for before, token in zip([BOS_ID, *written], written, strict=False):
                output = self.model.step(torch.tensor([before], device=device), state, encoded)
                state = output.state
                steps.append(self._describe(token, output))
        finally:
            self.model.train(was_training)
        side = round(encoded.memory.shape[1] ** 0.5)
        words = [self.vocabulary.tokens[token] for token in found.tokens]
        return {
            "result": {"words": words, "steps": steps, "finished": found.finished},
            "grid": {"rows": side, "columns": side},
        }

    def _describe(self, token: int, output: Any) -> dict[str, Any]:
        words = self.vocabulary.tokens
        probabilities = output.logits[0].float().softmax(dim=-1)
        likeliest = probabilities.topk(min(LIKELIEST, len(words)))
        pairs = zip(likeliest.indices.tolist(), likeliest.values.tolist(), strict=True)
        return {
            "token": token,
            "word": words[token],
            "probability": float(probabilities[token]),
            "probabilities": [{"word": words[i], "probability": p} for i, p in pairs],
            "weights": [] if output.weights is None else output.weights[0].float().tolist(),
            "gate": None if output.gate is None else float(output.gate[0]),
        }


def caption_setup(
    engine: CaptionEngine,
    *,
    title: str,
    name: str,
    scenes: Sequence[Scene] | None = None,
    config: SceneConfig | None = None,
) -> dict[str, Any]:
    """What the caption explorer opens with: some pictures, and the answer about the first."""
    config = SceneConfig() if config is None else config
    if scenes is None:
        scenes = sample_scenes(config, 8, seed=EXAMPLE_SEED, split="test")
    examples = [{"scene": scene_values(scene)} for scene in scenes]
    return {
        "kind": "captions",
        "models": [{"name": name, "title": title}],
        "examples": examples,
        "shown": engine.answer(examples[0]),
        "options": {
            "kinds": list(config.kinds),
            "colours": list(config.colours),
            "counts": [config.minimum_objects, config.maximum_objects],
        },
    }


def caption_markup(setup: Mapping[str, Any], shown: Mapping[str, Any], **data: Any) -> str:
    """The picture with its caption and the weights of the first word, as HTML."""
    scene = read_scene(setup["examples"][0]["scene"])
    right = describe(scene).words
    result, grid = shown["result"], shown["grid"]
    words = result["words"]
    step = result["steps"][0]
    largest = max(step["weights"], default=1.0)
    cells = "".join(f'<i style="--w:{weight / largest:.3f}"></i>' for weight in step["weights"])
    verdict = (
        "This is the right caption."
        if list(right) == list(words)
        else f"The right caption: {' '.join(right)}"
    )
    choices = ["Picture"] + (["Model"] if len(setup["models"]) > 1 else [])
    controls = "".join(
        f'<label class="ae-choice"><span>{name}</span><select disabled></select></label>'
        for name in choices
    )
    field = '<label class="ae-choice"><span>{}</span><select disabled></select></label>'.format
    forms = "".join(
        f'<fieldset class="ae-group ae-object"><legend>Object {index + 1}</legend>'
        f"{field('Size')}{field('Colour')}{field('Kind')}</fieldset>"
        for index in range(len(scene.objects))
    )
    written = " ".join(
        f'<span class="ae-caption-word{" ae-in-row" if index == 0 else ""}">{escape(each["word"])}'
        "</span>"
        for index, each in enumerate(result["steps"])
    )
    inner = (
        f'<div class="ae-controls" {LATER}><div class="ae-choices">{controls}</div></div>'
        '<div class="ae-message"></div>'
        '<div class="ae-translation" role="region" aria-label="Caption">'
        f'<p class="ae-model">{escape(setup["models"][0]["title"])}</p>'
        f'<p class="ae-caption-words">{written}</p><p class="ae-note ae-right">{verdict}</p></div>'
        '<div class="ae-compose"><div class="ae-picture-side"><div class="ae-stage">'
        f'<img class="ae-picture" src="{bitmap(render(scene))}" width="64" height="64"'
        f' alt="A picture: {" ".join(right)}">'
        f'<div class="ae-overlay" style="grid-template-columns:repeat({grid["columns"]},1fr)">'
        f'{cells}</div></div><p class="ae-note"></p></div>'
        f'<div class="ae-objects" {LATER}>{forms}<div class="ae-buttons"></div></div></div>'
        f'<div class="ae-caption-numbers"><p class="ae-step-title">“{escape(step["word"])}”, '
        f"probability {show(step['probability'], 4)}</p></div>"
    )
    return mount("captions", inner, **data)


def bitmap(pixels: np.ndarray) -> str:
    """(H, W, 3) uint8 → a data address; uncompressed, so that every machine writes the same."""
    height, width, _ = pixels.shape
    if width % 4:
        raise ValueError(f"the picture is {width} pixels wide; expected a multiple of 4")
    data = pixels[::-1, :, ::-1].tobytes()  # from the last row up, blue before green before red
    header = struct.pack("<2sIHHI", b"BM", 54 + len(data), 0, 0, 54)
    header += struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, len(data), 2835, 2835, 0, 0)
    return "data:image/bmp;base64," + base64.b64encode(header + data).decode("ascii")
