"""Measure the page in headless Chromium: the engine's work, and what the reader waits for.

    python -m benchmarks.page_engine

The engine's models have the sizes of the book's presets and random weights, so a sentence is not
ended by <eos> but after a fixed number of words. The explorers show the book's own models; a step
and a look at a word are timed with the layout that follows. The ceilings are for wall time, which a
machine with other work disturbs: there, run it at real-time priority, `chrt -r 1 .venv/bin/python
-m benchmarks.page_engine`. Beside it stands the processor time of the page's thread.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import torch
from playwright.sync_api import CDPSession, JSHandle, Page, sync_playwright

from benchmarks.measuring import store, summarise
from utils.datasets.captioned_images import scene_vocabulary
from utils.datasets.grammar import Grammar
from utils.datasets.scenes import SceneConfig
from utils.datasets.vocabulary import Vocabulary
from utils.experiments.store import describe_commit, describe_machine
from utils.explorers import assets
from utils.explorers.engine import engine_script
from utils.explorers.examples import GERMAN
from utils.explorers.live import exported_path
from utils.explorers.markup import mount
from utils.exporting import export_model
from utils.models.captioning import CaptioningConfig, build_captioning_model
from utils.models.seq2seq import Seq2SeqConfig, build_model
from utils.presets.definitions import find_preset

RESULTS = Path(__file__).parent / "results" / "page_engine.json"
SOURCE_WORDS, TARGET_WORDS = 15, 18  # a 15-word sentence and its usual translation, <eos> included
CEILINGS = {
    "grammar-bahdanau translate": 20.0,
    "grammar-luong-local translate": 20.0,
    "grammar-lstm translate": 20.0,
    "multi30k-bahdanau translate": 150.0,
    "grammar-bahdanau step": 16.0,
    "multi30k-bahdanau step": 16.0,
    "scenes-soft caption": 150.0,
    "grammar-bahdanau explorer step": 16.0,
    "grammar-bahdanau explorer point": 16.0,
    "multi30k-bahdanau explorer step": 16.0,
    "multi30k-bahdanau explorer point": 16.0,
}
"""The most milliseconds of wall time, median, that the stored run may take; the tests read it."""

WORK = {
    "load": "attentionBook.load(attentionBook.models[name])",
    "translate": f"model.translate(ids, {{maximumLength: {TARGET_WORDS}}})",
    "caption": f"model.caption(image, {{maximumLength: {TARGET_WORDS}}})",
    "step": "model.step(5, state, encoded)",
}
IN_EXPLORER = {
    "explorer step": "(turn % 2 ? back : forward).click()",
    "explorer point": 'cells[turn % cells.length].dispatchEvent(new PointerEvent("pointerenter"))',
}


def build(name: str) -> tuple[torch.nn.Module, dict[str, Vocabulary]]:
    """A preset's model with random weights that never writes <eos>, and its vocabularies."""
    preset = find_preset(name)
    torch.manual_seed(0)
    if preset.task == "scenes":
        vocabularies = {"target": scene_vocabulary(SceneConfig())}
        sizes = {"vocabulary_size": len(vocabularies["target"])}
        model = build_captioning_model(CaptioningConfig(**sizes, **preset.model))
        output = model.output
    else:
        if preset.task == "grammar":
            grammar = Grammar()
            vocabularies = {
                "source": grammar.source_vocabulary(),
                "target": grammar.target_vocabulary(),
            }
        else:
            sides = ("source", "target")
            vocabularies = {
                side: Vocabulary([f"p{i}" for i in range(4, preset.data[f"{side}_pieces"])])
                for side in sides
            }
        sizes = {f"{side}_vocabulary_size": len(words) for side, words in vocabularies.items()}
        model = build_model(Seq2SeqConfig(**sizes, **preset.model))
        output = model.decoder.readout.vocabulary
    with torch.no_grad():
        output.bias[3] = -100.0
    return model, vocabularies


def open_page(page: Page, folder: Path, names: list[str]) -> dict[str, int]:
    """Load engine and models from disk; the models' sizes in bytes."""
    (folder / "engine.js").write_text(engine_script(), encoding="utf-8")
    sizes = {}
    for name in names:
        model, vocabularies = build(name)
        path = export_model(model, folder / f"{name}.js", vocabularies=vocabularies)
        sizes[name] = path.stat().st_size
    tags = "".join(f'<script src="{name}.js"></script>' for name in ("engine", *names))
    (folder / "page.html").write_text(f'<!doctype html><meta charset="utf-8">{tags}')
    page.goto((folder / "page.html").as_uri())
    return sizes


def priority() -> str:
    """Whether other work may take the processor away."""
    scheduler = getattr(os, "sched_getscheduler", lambda _: 0)(0)
    return "real-time" if scheduler else "normal"


def thread_milliseconds(session: CDPSession) -> float:
    """Processor time that the page's thread has taken."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return 1000 * next(m["value"] for m in metrics if m["name"] == "ThreadTime")


def measure(
    page: Page, session: CDPSession, name: str, work: str, *, times: int, repetitions: int
) -> dict[str, dict[str, float]]:
    """Milliseconds for one piece of the engine's work."""
    script = f"""(name) => {{
      const model = attentionBook.load(attentionBook.models[name]);
      const ids = Array.from({{length: {SOURCE_WORDS}}}, (_, i) => 4 + 5 * i).concat(3);
      const image = new Float32Array(3 * 64 * 64).fill(0.5);
      const encoded = model.encode(model.imageSize ? image : ids);
      const state = model.start(encoded);
      return () => {{ {WORK[work]}; }};
    }}"""
    act = page.evaluate_handle(script, name)
    return time_action(session, act, times=times, repetitions=repetitions)


def time_action(
    session: CDPSession, act: JSHandle, *, times: int, repetitions: int
) -> dict[str, dict[str, float]]:
    """Milliseconds of act(turn): of processor time (means of `times`) and of wall time."""
    script = """(act, times) => Array.from({length: times}, (_, turn) => {
      const begin = performance.now();
      act(turn);
      return performance.now() - begin;
    })"""
    processor, wall = [], []
    for repetition in range(-1, repetitions):  # repetition -1 warms up and is thrown away
        begin = thread_milliseconds(session)
        found = act.evaluate(script, times)
        if repetition >= 0:
            processor.append((thread_milliseconds(session) - begin) / times)
            wall += found
    return {"processor": summarise(processor), "wall": summarise(wall)}


def explorer_text(name: str) -> str:
    """A sentence of the usual length: 15 words of the grammar, or the longest German example."""
    if not name.startswith("grammar"):
        return max(GERMAN, key=len)
    examples = Grammar().sample(1_000, seed=1, split="test")
    return " ".join(next(e.source for e in examples if len(e.source) == SOURCE_WORDS))


def measure_explorer(
    page: Page, session: CDPSession, folder: Path, name: str, *, times: int, repetitions: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Milliseconds of a step and of pointing at a cell, layout included, in a page's explorer."""
    (folder / "models").mkdir(exist_ok=True)
    shutil.copy(exported_path(name), folder / "models")
    (folder / "explorers.js").write_text(assets.page_script(), encoding="utf-8")
    examples = [{"text": explorer_text(name)}]
    body = mount("translation", "", model=name, examples=examples)
    (folder / "explorer.html").write_text(
        f'<!doctype html><meta charset="utf-8"><style>{assets.style()}</style>'
        f'<script defer src="explorers.js"></script>{body}',
        encoding="utf-8",
    )
    page.goto((folder / "explorer.html").as_uri())
    page.wait_for_selector(".ae-matrix td[data-weight]")
    found = {}
    for key, work in IN_EXPLORER.items():
        act = page.evaluate_handle(f"""() => {{
          const [back, forward] = ["◀", "▶"].map((arrow) =>
            [...document.querySelectorAll("button")].find((e) => e.textContent.includes(arrow)));
          const cells = document.querySelectorAll(".ae-matrix td[data-weight]");
          return (turn) => {{ {work}; document.body.getBoundingClientRect(); }};
        }}""")
        found[f"{name} {key}"] = time_action(session, act, times=times, repetitions=repetitions)
    return found


def run(repetitions: int, names: list[str], times: int = 10) -> dict:
    """Measure everything; the result is what `results/page_engine.json` holds."""
    sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
    from chromium import ADVICE, find_chromium

    path = find_chromium()
    if path is None:
        raise SystemExit(ADVICE)
    milliseconds = {}
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(600_000)
        sizes = open_page(page, Path(folder), names)
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable")
        for name in names:
            works = ("load", "step", "caption" if name.startswith("scenes") else "translate")
            for work in works:
                count = 1 if work == "load" else times
                milliseconds[f"{name} {work}"] = measure(
                    page, session, name, work, times=count, repetitions=repetitions
                )
        for name in dict.fromkeys(key.split()[0] for key in CEILINGS if "explorer" in key):
            if name in names:
                milliseconds |= measure_explorer(
                    page, session, Path(folder), name, times=times, repetitions=repetitions
                )
        version = browser.version
        browser.close()
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": describe_commit(),
        "machine": describe_machine() | {"chromium": version, "priority": priority()},
        "source_words": SOURCE_WORDS,
        "target_words": TARGET_WORDS,
        "repetitions": repetitions,
        "engine_bytes": len(engine_script().encode()),
        "model_bytes": sizes,
        "milliseconds": milliseconds,
        "ceilings": CEILINGS,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()
    names = list(dict.fromkeys(key.split()[0] for key in CEILINGS))
    results = run(arguments.repetitions, names)
    for key, found in results["milliseconds"].items():
        shown = [f"{found[kind]['median']:8.2f} ms {kind}" for kind in ("processor", "wall")]
        print(f"{key:34s} {' '.join(shown)} (least {found['wall']['minimum']:.2f})")
    store(RESULTS, results)
    over = [
        key
        for key, ceiling in CEILINGS.items()
        if results["milliseconds"][key]["wall"]["median"] > ceiling
    ]
    print(json.dumps({"over": over, "bytes": results["model_bytes"]}))


if __name__ == "__main__":
    main()
