"""The engine in Chromium, opened from disk with `eval` forbidden, against PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from engine_page import (
    largest_difference,
    open_engine,
    reversed_order,
    translate_in_page,
    translate_in_torch,
)
from playwright.sync_api import Browser, Page
from tiny_models import (
    ALL,
    LONGEST_SOURCE,
    SOURCE_VOCABULARY,
    TARGET_VOCABULARY,
    WITH_ATTENTION,
    tiny_model,
)

from utils.datasets.vocabulary import Vocabulary
from utils.decoding import beam_search
from utils.exporting import export_model, load_exported

CELLS = ("gru", "lstm", "tanh")
VOCABULARIES = {
    "source": Vocabulary([f"s{i}" for i in range(4, SOURCE_VOCABULARY)]),
    "target": Vocabulary([f"t{i}" for i in range(4, TARGET_VOCABULARY)]),
}
KINDS = {
    # every decoder and score, with cells, depths and directions in turn
    f"{name}-{number}": (
        name,
        {
            "cell": CELLS[(number + shift) % 3],
            "num_layers": 1 + (number + shift) % 2,
            "bidirectional": "dot" not in name and name != "sutskever" and (number + shift) % 4 < 2,
            "reverse_source": (number + shift) % 5 == 0,
            "local_score": ("general", "additive", "dot")[number % 3]
            if "local" in name and (number + shift) % 4 >= 2
            else "general",
        },
    )
    for shift in (0, 1)
    for number, name in enumerate(ALL, start=100 * shift)
}
KINDS |= {
    f"tied-{name}": (name, {"tie_embeddings": True, "readout_size": 4})
    for name in ("cho", "bahdanau-additive", "luong-feeding-general")
}
SOURCES = [
    [*torch.randint(4, SOURCE_VOCABULARY, (length,), generator=generator).tolist(), 3]
    for generator in [torch.Generator().manual_seed(1)]
    for length in (1, 2, 5, 7, LONGEST_SOURCE - 1)
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One exported model of every kind, with lively random weights."""
    folder = tmp_path_factory.mktemp("models")
    paths = {}
    for number, (key, (name, changes)) in enumerate(KINDS.items()):
        torch.manual_seed(number)
        model = tiny_model(name, dtype=torch.float32, scale=3.0, **changes)
        paths[key] = export_model(
            model,
            folder / f"{key}.js",
            precision=("int8", "float16")[number % 2],
            vocabularies=VOCABULARIES,
        )
    return paths


@pytest.fixture(scope="module")
def page(
    browser: Browser, exported: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Page]:
    """A page with all of them."""
    opened = open_engine(browser, tmp_path_factory.mktemp("page"), exported.values())
    yield opened
    opened.close()


@pytest.mark.parametrize("key", KINDS)
def test_every_kind_equals_pytorch(key: str, page: Page, exported: dict[str, Path]) -> None:
    model = load_exported(exported[key]).build()
    for beam in (1, 3):
        found = translate_in_page(page, key, SOURCES, beam=beam, maximumLength=9)
        expected = translate_in_torch(model, SOURCES, beam=beam, maximum_length=9, batch_size=1)
        for one, other in zip(found, expected, strict=True):
            assert one["tokens"] == other.tokens
            assert one["finished"] == other.finished
            assert one["score"] == pytest.approx(other.score, abs=1e-4)
            assert one["logProbability"] == pytest.approx(other.log_probability, abs=1e-4)
            if other.weights is None:
                assert one["weights"] is None
            else:
                assert largest_difference(one["weights"], other.weights) < 1e-4


def test_weights_written_by_hand_take_the_attentions_place(
    page: Page, exported: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    changed_answers = 0
    for key in [key for key, (name, _) in KINDS.items() if name in WITH_ATTENTION]:
        model = load_exported(exported[key]).build()
        source = SOURCES[3]
        given = torch.softmax(torch.arange(len(source), dtype=torch.float32), dim=0)
        found = translate_in_page(
            page, key, [source], maximumLength=6, overrides={str(i): given.tolist() for i in (1, 2)}
        )[0]
        free = translate_in_page(page, key, [source], maximumLength=6)[0]
        attention, steps = model.decoder.attention, iter(range(99))
        weigh, reverse = attention.weigh, model.config.reverse_source
        in_order = given[reversed_order(len(source))] if reverse else given

        def told(*inputs, steps=steps, weigh=weigh, in_order=in_order):
            weights, centre = weigh(*inputs)
            step = next(steps)
            return (in_order.expand_as(weights) if step in (1, 2) else weights), centre

        monkeypatch.setattr(attention, "weigh", told)
        expected = translate_in_torch(model, [source], maximum_length=6)[0]
        assert found["tokens"] == expected.tokens, key
        assert largest_difference(found["weights"], expected.weights) < 1e-4, key
        assert found["logProbability"] == pytest.approx(expected.log_probability, abs=1e-4), key
        changed_answers += found["logProbability"] != free["logProbability"]
    assert changed_answers > len(WITH_ATTENTION)  # the weights matter


def test_one_step_shows_all_its_numbers(page: Page, exported: dict[str, Path]) -> None:
    key = next(key for key, (name, _) in KINDS.items() if name == "luong-local-p")
    source = SOURCES[2]
    shown = page.evaluate(
        """([name, ids]) => {
          const model = use(name);
          const encoded = model.encode(ids);
          const first = model.step(2, model.start(encoded), encoded);
          const second = model.step(5, first.state, encoded, {});
          const { logits, probabilities, scores, weights, context, centre } = second;
          return [logits, probabilities, scores, weights, context].map((x) => Array.from(x))
            .concat([[centre]]);
        }""",
        [key, source],
    )
    model = load_exported(exported[key]).build()
    order = range(len(source))
    if model.config.reverse_source:
        order = reversed_order(len(source))
    with torch.no_grad():
        ids = torch.tensor([[source[i] for i in order]])
        encoded, state = model.start(model.encode(ids, torch.tensor([len(source)])))
        state = model.step(torch.tensor([2]), state, encoded).state
        output = model.step(torch.tensor([5]), state, encoded)
    looked = output.attention
    centre = looked.centre
    if model.config.reverse_source:
        centre = (len(source) - 2 - centre).clamp(min=0)
    expected = [
        output.logits[0],
        output.logits[0].softmax(0),
        looked.scores[0][list(order)],
        looked.weights[0][list(order)],
        looked.context[0],
        centre,
    ]
    for one, other in zip(shown, expected, strict=True):
        torch.testing.assert_close(torch.tensor(one), other, rtol=0, atol=1e-4)


def test_the_beam_as_a_tree(page: Page, exported: dict[str, Path]) -> None:
    for key in list(KINDS)[::6]:
        model = load_exported(exported[key]).build()
        for source in SOURCES:
            found = translate_in_page(page, key, [source], beam=3, maximumLength=7)[0]
            nodes = {node["id"]: node for node in found["tree"]}
            kept = [node for node in found["tree"] if node["kept"] and node["depth"]]
            ids = [source[i] for i in reversed_order(len(source))]
            ids = ids if model.config.reverse_source else source
            inputs = torch.tensor([ids]), torch.tensor([len(ids)])
            _, trees = beam_search(model, *inputs, beam_size=3, maximum_length=7, keep_tree=True)
            for depth, expected in enumerate(trees[0].steps, start=1):
                layer = [node for node in kept if node["depth"] == depth]
                assert [(n["token"], n["finished"]) for n in layer] == [
                    (token, finished) for _, token, _, finished in expected
                ]
                for node, (_, _, total, _) in zip(layer, expected, strict=True):
                    assert node["logProbability"] == pytest.approx(total, abs=1e-4)
            best = [node for node in found["tree"] if node["best"]]
            assert [n["token"] for n in best[1:]][: len(found["tokens"])] == found["tokens"]
            for node in found["tree"][1:]:
                above = nodes[node["parent"]]
                assert above["kept"] and not above["finished"]
                assert above["depth"] == node["depth"] - 1
                assert node["logProbability"] <= above["logProbability"]
        assert translate_in_page(page, key, SOURCES[:1])[0]["tree"] is None


def test_what_cannot_be_loaded_says_so(page: Page, exported: dict[str, Path]) -> None:
    key = next(iter(KINDS))
    changes = {
        "undefined": "its file is missing or was cut short",
        "{...good, format: 'other'}": 'not in the format "attention-book-page"',
        "{...good, version: 2}": "version 2, this page reads version 1",
        "{...good, data: good.data.slice(0, 400)}": "cut short: 300 bytes instead of",
        "{...good, data: '!' + good.data.slice(1)}": "not valid base64",
        "{...good, data: (good.data[0] === 'A' ? 'B' : 'A') + good.data.slice(1)}": "checksum",
        "{...good, kind: 'poem'}": 'unknown kind "poem"',
        "{...good, tensors: {}}": 'lacks the tensor "encoder',
        "{...good, config: {...good.config, decoder: 'x'}}": 'no decoder called "x"',
    }
    for change, message in changes.items():
        said = page.evaluate(
            f"""(name) => {{
              const good = attentionBook.models[name];
              try {{ attentionBook.load({change}); return "loaded"; }}
              catch (error) {{ return error.message; }}
            }}""",
            key,
        )
        assert message in said, change


def test_bad_questions_get_clear_answers(page: Page) -> None:
    location = next(key for key, (name, _) in KINDS.items() if name == "bahdanau-location")
    fixed = next(iter(KINDS))
    cases = {
        f"use('{fixed}').translate([])": "no word to read",
        f"use('{fixed}').translate(Array(129).fill(4))": "128 words or pieces, this model reads",
        f"use('{location}').translate(Array({LONGEST_SOURCE + 1}).fill(4))": f"{LONGEST_SOURCE} w",
        f"use('{fixed}').translate([4, 99, 3])": "id 99 is outside the vocabulary of 11",
        f"use('{fixed}').translate([4, 3], {{beam: 0}})": "beam must be a whole number from 1",
        f"use('{fixed}').translate([4, 3], {{maximumLength: 0}})": "at least 1 word",
        f"use('{fixed}').detokenize([99])": "id 99 is outside the vocabulary of 13",
        f"use('{fixed}').translate([4, 3], {{overrides: {{0: [1, 0]}}}})": "has no attention",
        f"use('{location}').translate([4, 3], {{overrides: {{0: [1]}}}})": "1 weights were given",
        f"use('{location}').translate([4, 3], {{overrides: {{0: [1, NaN]}}}})": "not a number",
    }
    for question, message in cases.items():
        said = page.evaluate(
            f"() => {{ try {{ {question}; return 'done'; }} catch (e) {{ return e.message; }} }}"
        )
        assert message in said, question


def test_works_where_eval_is_forbidden(page: Page) -> None:
    # What the test itself calls may always use eval; what the page calls by a timer may not.
    page.evaluate(
        """(name) => setTimeout(() => {
          let isAllowed = true;
          try { new Function("1"); } catch { isAllowed = false; }
          const model = attentionBook.load(attentionBook.models[name]);
          window.found = [isAllowed, model.translate([4, 3]).steps.length];
        })""",
        next(iter(KINDS)),
    )
    page.wait_for_timeout(200)
    is_allowed, count = page.evaluate("window.found")
    assert not is_allowed
    assert count > 0
