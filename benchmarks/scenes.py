"""Measure whether drawing scenes keeps up with training on them, on one thread.

    python -m benchmarks.scenes

Drawing is all that a picture needs once: sampling, caption, rendering, encoding, and collating it
into a batch. Training is one step of the preset `scenes-soft`. If pictures were drawn anew in every
epoch, training would wait for them only where the ratio is below 1.
"""

import argparse
from datetime import UTC, datetime
from pathlib import Path

import torch

from benchmarks.measuring import interleave, processor_seconds, ratio, store, summarise
from utils.captioning_loss import CaptionLoss
from utils.datasets.captioned_images import RenderedScenes, scene_vocabulary
from utils.datasets.scenes import SceneConfig, sample_scenes
from utils.experiments.store import describe_commit, describe_machine
from utils.models.captioning import CaptioningConfig, build_captioning_model
from utils.presets.definitions import find_preset

RESULTS = Path(__file__).parent / "results" / "scenes.json"
SETTINGS = {
    "easy": SceneConfig.easy(),
    "standard": SceneConfig(),
    "hard": SceneConfig.hard(),
    "digits": SceneConfig.digits(),
}
FLOOR = 1.5  # pictures drawn per picture trained on
BATCH = 32


def draw(config: SceneConfig, count: int, start: int) -> RenderedScenes:
    """Pictures number start … of a setting, drawn and put into batches."""
    scenes = sample_scenes(config, count, seed=1, start=start)
    data = RenderedScenes(scenes, vocabulary=scene_vocabulary(config))
    for begin in range(0, count, BATCH):
        data.collate(range(begin, min(begin + BATCH, count)))
    return data


def run(count: int, repetitions: int, report=print) -> dict:
    """Measure every setting; the result is what `results/scenes.json` holds."""
    preset = find_preset("scenes-soft")
    standard = SETTINGS["standard"]
    vocabulary = scene_vocabulary(standard)
    torch.manual_seed(0)
    model = build_captioning_model(
        CaptioningConfig(vocabulary_size=len(vocabulary), **preset.model)
    ).train()
    optimiser = torch.optim.Adam(model.parameters())
    data = draw(standard, count, 0)
    batches = [
        data.collate(range(begin, begin + BATCH)) for begin in range(0, count - BATCH + 1, BATCH)
    ]

    def train() -> None:
        for batch in batches:
            optimiser.zero_grad()
            loss = CaptionLoss()(model, batch)
            (loss.total / loss.tokens).backward()
            optimiser.step()

    variants = {
        f"draw {name}": lambda i, c=config: (
            count / processor_seconds(lambda: draw(c, count, i * count))
        )
        for name, config in SETTINGS.items()
    }
    variants["train"] = lambda _: BATCH * len(batches) / processor_seconds(train)
    rates = interleave(variants, repetitions, report)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": describe_commit(),
        "machine": describe_machine(),
        "pictures": count,
        "repetitions": repetitions,
        "floor": FLOOR,
        "pictures_per_second": {name: summarise(values) for name, values in rates.items()},
        "ratios": {name: ratio(rates, f"draw {name}", "train") for name in SETTINGS},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = run(640, arguments.repetitions)
    for name, found in results["ratios"].items():
        print(f"{name:10} {found['median']:.2f} pictures drawn per picture trained on")
    store(RESULTS, results)


if __name__ == "__main__":
    main()
