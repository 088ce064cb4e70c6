"""How fast the models of chapter 7 translate and train.

    python -m benchmarks.translator decode                  # five minutes of processor time
    python -m benchmarks.translator train --device cpu      # as long
    python -m benchmarks.translator train --device cuda     # two minutes
    python -m benchmarks.translator train --device cuda --whole    # trains both to the end

`decode`, on one thread: 500 test sentences of Multi30k with a released model, beam 5, in batches
and one sentence at a time. The translations must be the same: in float64 every one, in float32 up
to ties.

`train`: steps of both presets on batches of Multi30k, in float32 and in mixed precision: target
tokens a second, seconds an epoch, peak memory. The floor is what `nn.GRU` alone takes for the
recurrences of the same shapes, with no words, no attention and no output layer. A run on a GPU is
compared with the stored run on the CPU. `--whole` trains as `python -m utils train` does, in
`runs/`, and keeps the scores on the validation split.

On a CPU rates are per processor second, so other programs on the machine disturb little; on a GPU
they are per second on the wall. `--quick` runs everything on few sentences and stores nothing.
Multi30k is read from the folder that ATTENTION_BOOK_DATA names, or downloaded.
"""

import argparse
import json
import os
import resource
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from benchmarks.decoders import BareRecurrences, Sizes, Trainer
from benchmarks.measuring import device_seconds, interleave, ratio, store, summarise
from utils.checkpoints import load_model
from utils.commands.main import main as command_line
from utils.datasets.batching import Batch, BucketedBatches
from utils.datasets.multi30k import load_multi30k
from utils.experiments.store import describe_commit, describe_machine
from utils.models.seq2seq import count_parameters
from utils.presets.definitions import PRESETS, Preset, override
from utils.presets.tasks import prepare
from utils.runtime import mixed_precision, select_device
from utils.translator import Translation, Translator, load_translator

RESULTS = Path(__file__).parent / "results" / "translator.json"
TRAINED = ("multi30k-bahdanau", "multi30k-fixed")
BEAM = 5

BATCHED, SINGLE = "in batches", "one sentence at a time"
FLOORS = {f"{BATCHED} / {SINGLE}": 3.5}
"""The least that the stored run must reach; the tests read it."""
TIE = 1e-4
"""Two translations whose mean log-probabilities differ by less are equally good in float32."""

Report = Callable[[str], object]


def about() -> dict[str, Any]:
    """Date, code and machine of a measurement."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": describe_commit(),
        "machine": describe_machine(),
    }


# --- decoding -------------------------------------------------------------------------------------


def in_batches(translator: Translator, lines: list[str]) -> list[Translation]:
    return translator.translate(lines, beam_size=BEAM)


def one_at_a_time(translator: Translator, lines: list[str]) -> list[Translation]:
    return [translator.translate([line], beam_size=BEAM)[0] for line in lines]


def compare(batched: list[Translation], single: list[Translation]) -> dict[str, float]:
    """How many translations differ, and by how much their mean log-probabilities do."""
    pairs = list(zip(batched, single, strict=True))
    different = [(one, other) for one, other in pairs if one.text != other.text]
    return {
        "sentences": len(pairs),
        "different": len(different),
        "largest_gap": max((abs(one.score - other.score) for one, other in different), default=0.0),
    }


def decode(
    translator: Translator, lines: list[str], repetitions: int, report: Report = lambda line: None
) -> dict[str, Any]:
    """Measure and compare; what `results/translator.json` holds under "decoding"."""
    found: dict[str, list[Translation]] = {}
    ways = {BATCHED: in_batches, SINGLE: one_at_a_time}

    def rate(name: str) -> float:
        def work() -> None:
            found[name] = ways[name](translator, lines)

        return len(lines) / device_seconds(work, torch.device("cpu"))

    for way in ways.values():
        way(translator, lines[:8])  # warms up
    rates = interleave(
        {name: lambda _, name=name: rate(name) for name in ways}, repetitions, report, warm_up=False
    )
    same = {"float32": compare(found[BATCHED], found[SINGLE])}
    report("again in float64")
    translator.model.double()
    same["float64"] = compare(*(way(translator, lines) for way in ways.values()))
    translator.model.float()
    return {
        **about(),
        "beam_size": BEAM,
        "sentences": len(lines),
        "repetitions": repetitions,
        "sentences_per_second": {name: summarise(values) for name, values in rates.items()},
        "ratios": {f"{BATCHED} / {SINGLE}": ratio(rates, BATCHED, SINGLE)},
        "same": same,
    }


# --- training -------------------------------------------------------------------------------------


def spread(batches: BucketedBatches, count: int | None) -> list[Batch]:
    """Some batches, from the shortest pairs to the longest, that stand for all; None takes all."""
    rows = sorted(batches.batch_indices(), key=lambda rows: batches.dataset.lengths(rows[0])[::-1])
    count = min(count or len(rows), len(rows))
    chosen = [rows[int((place + 0.5) * len(rows) / count)] for place in range(count)]
    return [batches.dataset.collate(each) for each in chosen]


def epoch_tokens(batches: BucketedBatches) -> int:
    """Target tokens of one epoch, <eos> counted."""
    pairs = batches.dataset
    return sum(pairs.lengths(row)[1] for row in range(len(pairs)))


def train(
    presets: list[Preset],
    device: torch.device,
    *,
    steps: int | None,
    repetitions: int,
    report: Report = lambda line: None,
) -> dict[str, Any]:
    """Measure; what `results/translator.json` holds under "training", a device each."""
    variants: dict[str, Callable[[int], float]] = {}
    models, memory = {}, {}
    has_half = mixed_precision(device).dtype is not None

    def add(name: str, trainer: Trainer, batches: list[Batch]) -> None:
        def rate(_: int) -> float:
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            found = trainer.tokens_per_second(batches)
            if device.type == "cuda":
                memory[name] = torch.cuda.max_memory_allocated(device)
            return found

        variants[name] = rate

    for preset in presets:
        task = prepare(preset)
        batches = [batch.to(device) for batch in spread(task.train, steps)]
        task.model.train()
        models[preset.name] = {
            "parameters": count_parameters(task.model),
            "epoch_sentences": len(task.train.dataset),
            "epoch_tokens": epoch_tokens(task.train),
        }
        add(preset.name, Trainer(task.model, device=device), batches)
        if has_half:
            add(mixed(preset.name), Trainer(task.model, device=device, half=True), batches)
        sizes = Sizes(hidden=preset.model["hidden_size"], embedding=preset.model["embedding_size"])
        bare = BareRecurrences(sizes, bidirectional=preset.model["bidirectional"])
        add(floor(preset.name), Trainer(bare, device=device), batches)

    rates = interleave(variants, repetitions, report)
    ratios = {
        f"{name} / {floor(preset.name)}": ratio(rates, name, floor(preset.name))
        for preset in presets
        for name in (preset.name, mixed(preset.name))
        if name in rates
    }
    if device.type == "cpu":  # Linux counts kilobytes, macOS bytes
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        memory["the whole process"] = peak
    return {
        **about(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "mixed_precision": str(mixed_precision(device).dtype),
        "batch_size": {preset.name: preset.batch_size for preset in presets},
        "steps": steps,
        "repetitions": repetitions,
        "models": models,
        "tokens_per_second": {name: summarise(values) for name, values in rates.items()},
        "seconds_per_epoch": {
            name: models[preset.name]["epoch_tokens"] / summarise(rates[name])["median"]
            for preset in presets
            for name in (preset.name, mixed(preset.name))
            if name in rates
        },
        "peak_memory_bytes": memory,
        "ratios": ratios,
    }


def mixed(name: str) -> str:
    return f"{name}, mixed precision"


def floor(name: str) -> str:
    return f"nn.GRU alone, shapes of {name}"


def against_cpu(training: dict[str, Any], stored: dict[str, Any]) -> dict[str, float]:
    """How many times as fast as the stored run on the CPU; empty without one."""
    on_cpu = stored.get("training", {}).get("cpu", {}).get("tokens_per_second", {})
    return {
        name: value["median"] / on_cpu[name]["median"]
        for name, value in training["tokens_per_second"].items()
        if name in on_cpu
    }


def train_whole(presets: list[Preset], device: torch.device, folder: Path) -> dict[str, Any]:
    """Train each preset as the command line does, and keep what its card says."""
    found = {}
    for preset in presets:
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        output = folder / f"benchmark-{device.type}-{preset.name}"
        code = command_line(
            [
                *("train", preset.name, "--device", str(device), "--output", str(output)),
                *("--resume", "--progress", "lines"),
            ]
        )
        if code:
            raise SystemExit(code)
        card = load_model(output).card
        lines = (output / "history.jsonl").read_text(encoding="utf-8").splitlines()
        seconds = [json.loads(line)["seconds"] for line in lines]
        found[preset.name] = {
            **about(),
            "epochs": card["training"]["epochs"],
            "seconds_per_epoch": summarise(seconds),
            "tokens_per_second": card["training"]["tokens_per_second"],
            "scores": card["scores"],
        }
        if device.type == "cuda":
            found[preset.name]["peak_memory_bytes"] = torch.cuda.max_memory_allocated(device)
    return found


# --- the command ----------------------------------------------------------------------------------


def load_stored() -> dict[str, Any]:
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}


def missed_floors(decoding: dict[str, Any]) -> list[str]:
    """What a run of `decode` does not reach, as sentences."""
    missed = [
        f"{name} is {decoding['ratios'][name]['median']:.2f}, the floor is {least}"
        for name, least in FLOORS.items()
        if decoding["ratios"][name]["median"] < least
    ]
    same = decoding["same"]
    if same["float64"]["different"]:
        missed.append(f"{same['float64']['different']} translations differ in float64")
    if same["float32"]["largest_gap"] > TIE:
        missed.append(f"float32 translations differ by {same['float32']['largest_gap']:.1e}")
    return missed


def quick(preset: Preset) -> Preset:
    """The preset on few sentences, for a look whether everything runs."""
    return override(preset, {"train_size": 400, "source_pieces": 400, "target_pieces": 400})


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.translator",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("part", choices=("decode", "train"))
    parser.add_argument("--model", default=TRAINED[0], help="whose decoding is measured")
    parser.add_argument("--device", default="auto", help="for train: auto, cpu, cuda")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--steps", type=int, help="a repetition; default: cpu 16, else all")
    parser.add_argument("--whole", action="store_true", help="also train both to the end")
    parser.add_argument("--quick", action="store_true", help="few sentences, nothing stored")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if os.environ.get("OMP_NUM_THREADS", "1") != "1":
        parser.error("OMP_NUM_THREADS must be 1 or unset: everything is measured on one thread")
    stored = load_stored()
    if options.part == "decode":
        lines = load_multi30k("test").source[: 16 if options.quick else 500]
        translator = load_translator(options.model)
        found = {"model": options.model, **decode(translator, lines, options.repetitions, print)}
        stored["decoding"], stored["floors"] = found, FLOORS
    else:
        device = select_device(options.device)
        presets = [quick(PRESETS[n]) if options.quick else PRESETS[n] for n in TRAINED]
        steps = options.steps or (16 if device.type == "cpu" else None)
        found = train(presets, device, steps=steps, repetitions=options.repetitions, report=print)
        if device.type != "cpu":
            found["times the CPU's"] = against_cpu(found, stored)
        if options.whole and not options.quick:
            found["whole"] = train_whole(presets, device, Path("runs"))
        stored.setdefault("training", {})[device.type] = found
    print(json.dumps(found, indent=2))
    if options.quick:
        return
    store(RESULTS, stored)
    for line in missed_floors(found) if options.part == "decode" else ():
        print(f"MISSED: {line}")


if __name__ == "__main__":
    main()
