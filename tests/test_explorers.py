"""The Python half of the explorers: answers, HTML, the widget's messages, the joined assets."""

from __future__ import annotations

import base64
import io
import itertools
import json
import re
import sys
import types
from html.parser import HTMLParser

import anywidget
import numpy as np
import pytest
import torch
from nbformat import v4
from PIL import Image
from tiny_models import FEW, tiny_model

from utils import translator
from utils.checkpoints import CheckpointError, save_model
from utils.datasets.captioned_images import scene_vocabulary
from utils.datasets.grammar import Grammar
from utils.datasets.scene_rendering import render
from utils.datasets.scenes import SceneConfig, describe, sample_scenes
from utils.datasets.subwords import SubwordVocabulary
from utils.datasets.vocabulary import Vocabulary
from utils.decoding import beam_search, greedy_search
from utils.explorers import __main__ as command
from utils.explorers import (
    assets,
    examples,
    explore,
    explore_captions,
    explore_cell,
    explore_window,
)
from utils.explorers import live as live_module
from utils.explorers.answers import TranslationEngine, nearest_words, split_words
from utils.explorers.captions import CaptionEngine, bitmap, read_scene, scene_values
from utils.explorers.engine import FILES
from utils.explorers.markup import show
from utils.explorers.toys import cell_setup, cell_step, window_setup, window_weights
from utils.exporting import export_model
from utils.models.attention import build_attention
from utils.models.captioning import CaptioningConfig, build_captioning_model
from utils.models.cells import RNNCell
from utils.notebooks.execute import drop_widget_views

SOURCE = Vocabulary(["the", "girl", "'s", "red", "book", "sleeps", "not"])
TARGET = Vocabulary(["la", "le", "fille", "livre", "rouge", "dort", "pas", "ne", "de"])
TEXT = "the girl 's red book"


def wordy_model(name: str = "bahdanau-additive", **changes):
    """A tiny model that does not end its sentences at once."""
    torch.manual_seed(0)  # the same weights at every call
    model = tiny_model(name, scale=3.0, **changes)
    with torch.no_grad():
        model.decoder.readout.vocabulary.bias[3] -= 3.0
    return model


def engine_of(name: str = "bahdanau-additive", **changes) -> TranslationEngine:
    return TranslationEngine(wordy_model(name, **changes), SOURCE, TARGET)


class Reading(HTMLParser):
    """Text, tags and attributes of a piece of HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("input", "path", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def data(self) -> dict:
        return next(a for _, a in self.tags if a.get("class") == "attention-explorer")


# --- words ---------------------------------------------------------------------------------------


def test_words_are_cut_as_the_vocabulary_has_them():
    assert split_words("The girl's RED book.", SOURCE) == TEXT.split()
    assert split_words("the girls’ book", SOURCE) == ["the", "girls", "'", "book"]
    assert split_words("  the   xyz!? ", SOURCE) == ["the", "xyz"]
    assert split_words(" \t\u200b ", SOURCE) == []


def test_unknown_words_come_with_the_nearest():
    words, unknown = engine_of().tokenize("the gril sleeeps")
    assert words == ["the", "gril", "sleeeps"]
    assert [(each["index"], each["word"]) for each in unknown] == [(1, "gril"), (2, "sleeeps")]
    assert unknown[0]["nearest"][0] == "girl" and unknown[1]["nearest"][0] == "sleeps"
    assert nearest_words("x" * 10_000, SOURCE) == []


# --- answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("reverse", [False, True])
def test_answer_is_what_the_model_does(name, reverse):
    engine = engine_of(name, reverse_source=reverse)
    answer = engine.answer({"text": TEXT, "beam": 1})
    ids = SOURCE.encode(TEXT.split())
    read = [*ids[-2::-1], ids[-1]] if reverse else ids
    found = greedy_search(engine.model, torch.tensor([read]), torch.tensor([len(read)]))[0]
    result = answer["result"]
    assert result["tokens"] == found.tokens
    assert result["score"] == pytest.approx(found.score)
    assert len(result["steps"]) == len(found.tokens) + found.finished
    rows = [] if found.weights is None else found.weights
    for step, row in zip(result["steps"], rows, strict=False):
        expected = row.tolist()
        expected = [*expected[-2::-1], expected[-1]] if reverse else expected
        assert step["weights"] == pytest.approx(expected, abs=1e-6)
    assert answer["labels"] == [*TEXT.split(), "<eos>"]
    for step in result["steps"]:
        assert step["probabilities"][0]["word"] == step["word"]  # greedy takes the likeliest
        assert len(step["probabilities"]) == 5
    json.dumps(answer, allow_nan=False)


def test_context_is_the_weighted_memory():
    engine = engine_of()
    answer = engine.answer({"text": TEXT})
    ids = torch.tensor([SOURCE.encode(TEXT.split())])
    memory = engine.model.encode(ids, torch.tensor([ids.shape[1]])).memory[0].detach().numpy()
    for step in answer["result"]["steps"]:
        np.testing.assert_allclose(np.array(step["weights"]) @ memory, step["context"], atol=1e-6)
        scores = np.exp(step["scores"])
        np.testing.assert_allclose(scores / scores.sum(), step["weights"], atol=1e-6)


@pytest.mark.parametrize("name", ["bahdanau-additive", "luong-general", "luong-feeding-local-p"])
@pytest.mark.parametrize("reverse", [False, True])
def test_weights_set_by_hand_take_the_attentions_place(name, reverse):
    engine = engine_of(name, reverse_source=reverse)
    plain = engine.answer({"text": TEXT})["result"]
    forced = [0.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    edited = engine.answer({"text": TEXT, "overrides": {"2": forced}})["result"]
    assert edited["steps"][2]["weights"] == pytest.approx(forced)
    for before in (0, 1):
        assert edited["steps"][before] == plain["steps"][before]
    assert edited["steps"][2]["context"] != pytest.approx(plain["steps"][2]["context"])
    assert edited["steps"][2]["probabilities"] != plain["steps"][2]["probabilities"]
    assert engine.answer({"text": TEXT})["result"] == plain  # nothing stays behind
    same = {str(t): step["weights"] for t, step in enumerate(plain["steps"])}
    again = engine.answer({"text": TEXT, "overrides": same})["result"]
    assert again["words"] == plain["words"]


def test_beam_comes_as_a_tree():
    engine = engine_of()
    result = engine.answer({"text": TEXT, "beam": 3})["result"]
    ids = torch.tensor([SOURCE.encode(TEXT.split())])
    best = beam_search(engine.model, ids, torch.tensor([ids.shape[1]]), beam_size=3)[0][0]
    assert result["tokens"] == best.tokens
    nodes = {node["id"]: node for node in result["tree"]}
    assert list(nodes) == list(range(len(nodes))) and nodes[0]["parent"] is None
    for node in list(nodes.values())[1:]:
        parent = nodes[node["parent"]]
        assert node["depth"] == parent["depth"] + 1
        assert node["logProbability"] <= parent["logProbability"]
    path = [node for node in nodes.values() if node["best"]]
    assert [node["token"] for node in path[1:]][: len(best.tokens)] == best.tokens
    assert path[-1]["logProbability"] == pytest.approx(best.log_probability)
    total = sum(np.log(step["probability"]) for step in result["steps"])
    assert path[-1]["logProbability"] == pytest.approx(total, abs=1e-5)


def test_the_reference_is_forced_where_the_model_writes_something_else():
    engine = engine_of()
    words = engine.answer({"text": TEXT})["result"]["words"]
    assert engine.answer({"text": TEXT, "reference": words})["rows"] is None
    rows = engine.answer({"text": TEXT, "reference": ["le", "livre", "dort"]})["rows"]
    ids = torch.tensor([SOURCE.encode(TEXT.split())])
    target = torch.tensor([[2, *TARGET.encode(["le", "livre"], add_eos=False)]])
    expected = engine.model(ids, torch.tensor([ids.shape[1]]), target).weights[0]
    np.testing.assert_allclose(rows, expected.detach().numpy(), atol=1e-6)


def test_bad_requests_are_said():
    engine = engine_of()
    with pytest.raises(ValueError, match="no word"):
        engine.answer({"text": "  "})
    with pytest.raises(ValueError, match="2 weights, the source has 6"):
        engine.answer({"text": TEXT, "overrides": {"0": [0.5, 0.5]}})
    with pytest.raises(ValueError, match="no attention"):
        engine_of("cho").answer({"text": TEXT, "overrides": {"0": [1.0] * 6}})
    with pytest.raises(ValueError, match="source vocabulary has 100 entries, the model 11"):
        TranslationEngine(engine.model, Vocabulary([f"w{i}" for i in range(96)]), TARGET)
    long = engine.answer({"text": "the " * 500, "limit": 7})
    assert len(long["words"]) == 7 and long["cut"] == 493


def test_pieces_of_words_are_answered_too():
    source = SubwordVocabulary.train(
        ["ein Hund läuft", "zwei Hunde laufen", "ein Mann läuft"], size=30
    )
    target = SubwordVocabulary.train(["a dog runs", "two dogs run", "a man runs"], size=26)
    sizes = {"source_vocabulary_size": len(source), "target_vocabulary_size": len(target)}
    engine = TranslationEngine(tiny_model("bahdanau-additive", **sizes), source, target)
    answer = engine.answer({"text": "ein Hund 🙂"})
    assert answer["labels"][:-1] == source.pieces("ein Hund 🙂")
    assert [each["word"] for each in answer["unknown"]] == [answer["labels"][-2]]


# --- HTML ----------------------------------------------------------------------------------------


def explorer_of(name: str = "bahdanau-additive", **options):
    return explore(wordy_model(name), (SOURCE, TARGET), examples=[TEXT], **options)


def test_html_shows_the_example_by_itself():
    explorer = explorer_of()
    reading = Reading(explorer.html)
    answer = examples.rounded(engine_of().answer({"text": TEXT}))
    cells = [a for tag, a in reading.tags if tag == "td" and "--w" in a.get("style", "")]
    rows = [step["weights"] for step in answer["result"]["steps"]]
    flat = list(itertools.chain.from_iterable(rows))
    found = [float(a["style"].split(":")[1]) for a in cells[: len(flat)]]
    assert found == pytest.approx(flat, abs=1e-4)
    assert ("table", {"class": "ae-matrix", "aria-label": "Attention weights"}) in reading.tags
    picture = next(a for tag, a in reading.tags if tag == "svg" and a["class"] == "ae-lines")
    assert picture["role"] == "img" and "Where each word looked most" in picture["aria-label"]
    assert " ".join(answer["result"]["words"]) in reading.text


def test_html_is_the_same_at_every_run_and_says_nothing_of_the_widget():
    first, second = explorer_of(), explorer_of()
    assert first.html == second.html
    assert first.model_id != second.model_id
    data, _ = first._repr_mimebundle_()
    assert data["text/html"] == first.html and data["text/plain"] == "Explorer(translation)"
    assert "application/vnd.jupyter.widget-view+json" in data
    assert first.model_id not in data["text/html"] + data["text/plain"]


def test_words_are_text_and_never_markup():
    hostile = ["<script>alert(1)</script>", "\"'><img/src=x>", "&amp;", "\u202eabc", "🙂"]
    source = Vocabulary(hostile)
    model = tiny_model("bahdanau-additive")
    html = explore(model, (source, TARGET), examples=[{"text": " ".join(hostile)}]).html
    reading = Reading(html)
    assert not {"script", "img"} & {tag for tag, _ in reading.tags}
    assert hostile[0] in reading.text


def test_a_model_without_attention_has_html_too():
    reading = Reading(explorer_of("cho").html)
    assert any("No attention" in text for text in reading.text)
    assert not any(a.get("class") == "ae-matrix" for _, a in reading.tags)


def test_numbers_have_a_true_minus_and_no_minus_before_zero():
    assert show(-1.5) == "−1.50" and show(-0.001) == "0.00" and show(0.12345, 4) == "0.1235"


def test_gold_links_and_their_error_rate_are_shown():
    words = engine_of().answer({"text": TEXT})["result"]["words"]
    gold = {"target": words, "sure": [[0, 0]], "possible": [[0, 0], [1, 1]]}
    explorer = explore(
        wordy_model(),
        (SOURCE, TARGET),
        examples=[{"text": TEXT, "gold": gold}],
    )
    kinds = [a.get("class") for tag, a in Reading(explorer.html).tags if tag == "td"]
    assert kinds.count("ae-sure") == 1 and kinds.count("ae-possible") == 1
    assert re.search(r"Alignment error rate of this sentence: [01]\.\d\d", explorer.html)
    gold = {"target": ["le", "livre"], "sure": [[0, 0]], "possible": [[0, 0]]}
    explorer = explore(
        wordy_model(),
        (SOURCE, TARGET),
        examples=[{"text": TEXT, "gold": gold}],
    )
    assert "With the reference forced" in explorer.html


def test_grammar_sentences_bring_their_gold_links():
    for each in examples.grammar_examples():
        example = Grammar().translate(each["text"].split())
        assert each["gold"]["target"] == list(example.target)
        assert {tuple(link) for link in each["gold"]["sure"]} == example.sure


# --- the widget ----------------------------------------------------------------------------------


def test_every_message_gets_one_answer():
    explorer = explorer_of()
    name = explorer.setup["models"][0]["name"]
    sent = []
    explorer.send = sent.append
    request = {"text": TEXT, "beam": 2}
    explorer._reply(explorer, {"id": 7, "model": name, "request": request}, [])
    explorer._reply(explorer, {"id": 8, "model": name, "request": {"text": ""}}, [])
    explorer._reply(explorer, {"id": 9, "model": "gone", "request": request}, [])
    explorer._reply(explorer, "noise", [])
    assert [message["id"] for message in sent] == [7, 8, 9]
    assert sent[0]["answer"]["result"]["tree"]
    assert "no word" in sent[1]["error"] and "not in the notebook" in sent[2]["error"]


def test_colab_is_told_to_show_widgets_of_others(monkeypatch):
    """Without its custom widget manager Colab shows none but ipywidgets' own."""
    switched = []
    output = types.SimpleNamespace(
        enable_custom_widget_manager=lambda: switched.append("on"),
        _widgets=types.SimpleNamespace(_installed_url="https://example.org/manager.js"),
    )
    monkeypatch.setitem(sys.modules, "google.colab.output", output)
    anywidget._util.enable_custom_widget_manager_once.cache_clear()
    data, metadata = explore_cell()._repr_mimebundle_()
    anywidget._util.enable_custom_widget_manager_once.cache_clear()
    assert switched == ["on"]
    kind = "application/vnd.jupyter.widget-view+json"
    assert kind in data
    assert metadata[kind]["colab"]["custom_widget_manager"]["url"].endswith("manager.js")


def test_the_widget_carries_the_front_end():
    explorer = explorer_of()
    assert explorer.setup["kind"] == "translation"
    assert explorer._esm.rstrip().endswith(
        "export default { render: globalThis.attentionBook.render };"
    )
    assert ".attention-explorer" in explorer._css
    json.dumps(explorer.setup, allow_nan=False)


def test_more_models_stand_beside_the_first():
    explorer = explorer_of(beside={"fixed vector": tiny_model("cho")}, title="mine")
    assert [each["title"] for each in explorer.setup["models"]] == ["mine", "fixed vector"]
    assert len(explorer.engines) == 2


def test_vocabularies_come_in_several_forms_or_are_asked_for():
    model = tiny_model("cho")
    for given in ((SOURCE, TARGET), {"source": SOURCE, "target": TARGET}):
        assert explore(model, given, examples=[TEXT]).engines
    with pytest.raises(ValueError, match="vocabularies are missing"):
        explore(model, examples=[TEXT])
    with pytest.raises(ValueError, match="pass {title: model}"):
        explorer_of(beside=["a-name"])


def test_exported_models_are_explored_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(live_module, "EXPORTED", tmp_path)
    monkeypatch.setattr(examples, "ANSWERS", tmp_path / "answers")
    vocabularies = {"source": SOURCE, "target": TARGET}
    for name in ("bahdanau-additive", "cho"):
        model = wordy_model(name, dtype=torch.float32)
        export_model(model, tmp_path / f"{name}.js", vocabularies=vocabularies)
    explorer = explore("bahdanau-additive", beside=["cho"], examples=[TEXT])
    data = Reading(explorer.html).data()
    assert data["data-model"] == "bahdanau-additive"
    names = [each["name"] for each in json.loads(data["data-models"])]
    assert names == ["bahdanau-additive", "cho"]
    shown = json.loads(data["data-example"])
    engine = explorer.engines["bahdanau-additive"]
    assert shown == examples.rounded(engine.answer({"text": TEXT}))
    # a stored answer is what the page shows, whatever this processor computes
    path = examples.store_answers("bahdanau-additive", engine, [{"text": TEXT}])
    path.write_text(path.read_text().replace('"cut": 0', '"cut": 3'))
    again = explore("bahdanau-additive", examples=[TEXT])
    assert json.loads(Reading(again.html).data()["data-example"])["cut"] == 3
    with pytest.raises(ValueError, match="there are: bahdanau-additive, cho"):
        explore("nobody")


def test_a_model_just_trained_can_name_the_pages_model(tmp_path, monkeypatch):
    monkeypatch.setattr(live_module, "EXPORTED", tmp_path)
    model = tiny_model("luong-general", dtype=torch.float32)
    export_model(model, tmp_path / "g.js", vocabularies={"source": SOURCE, "target": TARGET})
    html = explorer_of(page="g").html
    assert Reading(html).data()["data-model"] == "g"
    assert Reading(explorer_of().html).data().get("data-still")


def test_widget_views_are_not_stored():
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "abc"}}
    shown = v4.new_output("display_data", {**view, "text/html": "<p>x</p>"})
    alone = v4.new_output("display_data", dict(view))
    notebook = v4.new_notebook(cells=[v4.new_code_cell("x", outputs=[shown, alone])])
    drop_widget_views(notebook)
    first, second = notebook.cells[0].outputs
    assert list(first.data) == ["text/html"] and list(second.data) == list(view)


# --- pictures ------------------------------------------------------------------------------------


def caption_model(**changes):
    torch.manual_seed(1)
    sizes = {"embedding_size": 6, "hidden_size": 12, "attention_size": 5, "channels": (4, 4, 6)}
    vocabulary = scene_vocabulary(SceneConfig())
    config = CaptioningConfig(vocabulary_size=len(vocabulary), **{**sizes, **changes})
    return build_captioning_model(config).eval(), vocabulary


SCENE = sample_scenes(SceneConfig(), 1, seed=6, split="test")[0]


@pytest.mark.parametrize("attention", ["soft", "hard", "mean"])
def test_captions_are_what_the_model_writes(attention):
    model, vocabulary = caption_model(attention=attention)
    answer = CaptionEngine(model, vocabulary).answer({"scene": scene_values(SCENE)})
    picture = torch.from_numpy(render(SCENE).astype(np.float32) / 255).permute(2, 0, 1)[None]
    found = greedy_search(model, picture)[0]
    assert answer["result"]["words"] == [vocabulary.tokens[token] for token in found.tokens]
    assert answer["grid"] == {"rows": 8, "columns": 8}
    for place, step in enumerate(answer["result"]["steps"]):
        expected = [] if attention == "mean" else found.weights[place].tolist()
        assert step["weights"] == pytest.approx(expected, abs=1e-6)
        assert 0 < step["gate"] < 1 and step["probabilities"][0]["word"] == step["word"]
    json.dumps(answer, allow_nan=False)


def test_scenes_travel_as_plain_values():
    values = json.loads(json.dumps(scene_values(SCENE)))
    assert read_scene(values) == SCENE
    with pytest.raises(ValueError, match="no object"):
        read_scene({**values, "objects": []})
    with pytest.raises(ValueError, match="cannot be read"):
        read_scene({**values, "weather": "rain"})


def test_the_pictures_html_is_whole_and_always_the_same():
    model, vocabulary = caption_model()
    first, second = (explore_captions(model, vocabulary) for _ in range(2))
    assert first.html == second.html
    reading = Reading(first.html)
    image = next(a for tag, a in reading.tags if tag == "img")
    assert image["alt"] == f"A picture: {' '.join(describe(SCENE).words)}"
    header, data = image["src"].split(",")
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))
    assert header == "data:image/bmp;base64" and (pixels == render(SCENE)).all()
    assert reading.data()["data-still"] == "true"
    with pytest.raises(ValueError, match="multiple of 4"):
        bitmap(np.zeros((2, 3, 3), dtype=np.uint8))


def test_captions_by_name_and_the_command_that_stores_answers(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(live_module, "EXPORTED", tmp_path)
    monkeypatch.setattr(examples, "ANSWERS", tmp_path / "answers")
    model, vocabulary = caption_model()
    export_model(model, tmp_path / "pictures.js", vocabularies={"target": vocabulary})
    vocabularies = {"source": SOURCE, "target": TARGET}
    text = wordy_model(dtype=torch.float32)
    export_model(text, tmp_path / "text.js", vocabularies=vocabularies)
    explorer = explore_captions("pictures")
    data = Reading(explorer.html).data()
    assert data["data-model"] == "pictures" and len(json.loads(data["data-examples"])) == 8
    assert command.main(["pictures", "text"]) == 0
    assert command.main([]) == 2 and command.main(["nobody"]) == 1
    stored = examples.stored_answer("pictures", explorer.setup["examples"][0])
    assert stored == explorer.setup["shown"]
    assert explore_captions("pictures").html == explorer.html
    page = explore_captions(model, vocabulary, page="pictures").html
    assert Reading(page).data()["data-model"] == "pictures"
    with pytest.raises(ValueError, match="does not caption"):
        explore_captions("text")
    with pytest.raises(ValueError, match="pass the vocabulary"):
        explore_captions(model)
    with pytest.raises(ValueError, match="pass the one"):
        CaptionEngine(model, Vocabulary([f"w{i}" for i in range(99)]))


def test_pages_with_subwords_show_what_was_computed_here(tmp_path, monkeypatch):
    monkeypatch.setattr(live_module, "EXPORTED", tmp_path)
    monkeypatch.setattr(examples, "ANSWERS", tmp_path / "answers")
    source = SubwordVocabulary.train(["ein Hund läuft", "zwei Hunde laufen"], size=24)
    target = SubwordVocabulary.train(["a dog runs", "two dogs run"], size=20)
    sizes = {"source_vocabulary_size": len(source), "target_vocabulary_size": len(target)}
    model = wordy_model(dtype=torch.float32, **sizes)
    export_model(model, tmp_path / "de-en.js", vocabularies={"source": source, "target": target})
    explorer = explore(model, (source, target), examples=["ein Hund läuft"], page="de-en")
    data = Reading(explorer.html).data()
    assert json.loads(data["data-example"])["words"] == source.pieces("ein Hund läuft")
    assert json.loads(data["data-models"])[0]["name"] == "de-en"
    with pytest.raises(CheckpointError, match="no model 'de-en'"):
        explore("de-en")
    released = tmp_path / "released" / "de-en"
    monkeypatch.setattr(translator, "MODELS", released.parent)
    vocabularies = {"source": source, "target": target}
    save_model(released, model, config=model.config.to_dict(), vocabularies=vocabularies)
    by_name = explore("de-en")
    assert [each["text"] for each in by_name.setup["examples"]] == list(examples.GERMAN)
    result = by_name.setup["shown"]["result"]
    assert result["text"] == target.decode(result["tokens"])
    assert by_name.engines["de-en"].model.config == model.config


# --- without a model -----------------------------------------------------------------------------


@pytest.mark.parametrize("predictive", [True, False])
@pytest.mark.parametrize("window", [1, 2, 4])
def test_window_is_local_attention(predictive, window):
    setup = window_setup(centre="local-p" if predictive else "local-m", window=window, step=4)
    options = setup["options"]
    attention = build_attention(
        "local-p" if predictive else "local-m",
        query_size=2,
        memory_size=2,
        attention_size=2,
        longest_source=10,
        window=window,
        local_score="dot",
    ).double()
    if predictive:
        with torch.no_grad():
            attention.centre_projection.weight.copy_(torch.tensor(options["W_p"]))
            attention.centre_vector.weight.copy_(torch.tensor([options["v_p"]]))
    scores = torch.tensor([[options["scores"]]], dtype=torch.float64)
    query = torch.tensor([[options["state"]]], dtype=torch.float64)
    weights, centre = attention.weigh(
        query,
        scores,
        torch.ones(1, 1, 10, dtype=torch.bool),
        torch.tensor([[4]]),
        torch.tensor([10]),
    )
    found = window_weights(options)
    assert found["centre"] == pytest.approx(centre.item(), abs=1e-6)
    assert found["weights"] == pytest.approx(weights[0, 0].tolist(), abs=1e-6)


def test_cell_is_the_recurrent_cell_and_chapter_one():
    found = cell_step(cell_setup()["options"])
    assert found["state"] == pytest.approx([0.46, 0.76], abs=0.005)
    assert found["answer"] == pytest.approx([0.48, 0.52], abs=0.005)
    options = cell_setup(a=[0.3, -0.8], x=[0.2, 1.0])["options"]
    cell = RNNCell(input_size=2, hidden_size=2).double()
    with torch.no_grad():
        for name, key in (("weight_ih", "W_ax"), ("weight_hh", "W_aa"), ("bias_ih", "b_a")):
            getattr(cell, name).copy_(torch.tensor(options[key]))
        cell.bias_hh.zero_()
    inputs, state = (torch.tensor([options[key]], dtype=torch.float64) for key in ("x", "a"))
    assert cell_step(options)["state"] == pytest.approx(cell(inputs, state)[0].tolist())


def test_both_have_whole_html():
    for explorer, kind in ((explore_window(), "window"), (explore_cell(), "cell")):
        reading = Reading(explorer.html)
        assert reading.data()["data-kind"] == kind == explorer.setup["kind"]
        assert json.loads(reading.data()["data-options"]) == explorer.setup["options"]


def test_the_cells_html_has_a_picture_that_says_its_numbers():
    options = {"x": [0.2, 1.0], "a": [-0.5, 0.25], "W_ay": [[0.0, 0.0], [0.0, 0.0]]}
    explorer = explore_cell(**options, b_y=[0.0, 0.0])
    reading = Reading(explorer.html)
    picture = next(a for tag, a in reading.tags if tag == "svg")
    state = ", ".join(map(show, cell_step(explorer.setup["options"])["state"]))
    assert picture["role"] == "img"
    assert picture["aria-label"] == (
        "One step of the cell: the word x⟨t⟩ = (0.20, 1.00) and the old state "
        f"a⟨t−1⟩ = (−0.50, 0.25) give the new state a⟨t⟩ = ({state}) and the answer "
        "ŷ⟨t⟩ = (0.50, 0.50)"
    )
    lines = [a for tag, a in reading.tags if tag == "path"]
    widths = [float(a["stroke-width"]) for a in lines]
    assert widths == [1, 1, 1, 1, 0, 2, 2, 0, 0, 0, 0, 0]  # twice the weights of chapter 1
    assert ["stroke-dasharray" in a for a in lines].count(True) == 2  # the negative ones
    assert [tag for tag, _ in reading.tags].count("rect") == 8


def test_wrong_settings_are_said():
    with pytest.raises(ValueError, match="expected 2 to 16"):
        explore_window([1.0])
    with pytest.raises(ValueError, match="centre is 'middle'"):
        explore_window(centre="middle")
    with pytest.raises(ValueError, match="D from 1 to 8"):
        explore_window(window=0)
    with pytest.raises(ValueError, match="2 numbers each"):
        explore_window(v_p=[1.0])
    with pytest.raises(ValueError, match="unknown values"):
        explore_cell(W_xx=[1])
    with pytest.raises(ValueError, match=r"W_aa has shape \(1, 2\), expected \(2, 2\)"):
        explore_cell(W_aa=[[1, 2]])
    assert explore_cell(words=torch.eye(2)[[0, 1, 0]]).setup["options"]["words"][2] == [1.0, 0.0]


# --- assets --------------------------------------------------------------------------------------


def test_every_file_is_in_the_bundle():
    listed = {f"engine/{name}" for name in FILES} | {f"front/{n}.js" for n in assets.FRONT}
    listed |= {f"front/{n}.css" for n in assets.STYLES}
    found = {
        path.relative_to(assets.FOLDER).as_posix()
        for path in assets.FOLDER.rglob("*")
        if path.suffix in (".js", ".css")
    }
    assert listed == found


def test_the_bundle_is_small_and_plain():
    script, style = assets.page_script(), assets.style()
    assert len(script.encode()) + len(style.encode()) <= 150_000
    for forbidden in ("eval(", "new Function", "innerHTML", "document.write", "import(", "fetch("):
        assert forbidden not in script, forbidden
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", script + style)
    assert "@import" not in style and "url(" not in style


def test_stored_answers_are_still_the_models():
    stored = sorted(examples.ANSWERS.glob("*.json"))
    for path in stored:
        engine = live_module.load_engine(path.stem)
        if isinstance(engine, CaptionEngine):
            example = {
                "scene": scene_values(sample_scenes(SceneConfig(), 1, seed=6, split="test")[0])
            }
        else:
            example = examples.default_examples(engine)[0]
        found = engine.answer(examples.request_for(example, limit=60))
        kept = examples.stored_answer(path.stem, example)
        assert found["result"]["words"] == kept["result"]["words"]
        for step, expected in zip(found["result"]["steps"], kept["result"]["steps"], strict=True):
            assert step["weights"] == pytest.approx(expected["weights"], abs=1e-3)
