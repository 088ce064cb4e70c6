"""Chapter 5: how wide must a local window be? D = 10 covers a whole short sentence.

D = 4 is part of `luong_scores`, with everything else the same.

Source: Luong et al. 2015, §3.2, where D = 10. Deviations: as in `luong_scores`.
"""

from typing import Any

from utils.experiments.attention_runs import ATTENTION_QUICK, attention_data, train_and_align
from utils.experiments.luong_scores import SETTINGS as SCORE_SETTINGS

DESCRIPTION = "How does the half-width D of a local window change quality and alignment?"
SEEDS = (1, 2, 3, 4, 5)
SETTINGS = {name: value for name, value in SCORE_SETTINGS.items() if name != "window"} | {
    "windows": [1, 2, 10]
}
QUICK = ATTENTION_QUICK | {"windows": [1, 4]}


def run(seed: int, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Train local-m and local-p once a width; one record each."""
    data = attention_data(settings)
    records = []
    for attention in ("local-m", "local-p"):
        for window in settings["windows"]:
            _, record = train_and_align(
                data, settings, seed, decoder="luong", attention=attention, window=window
            )
            records.append({"attention": attention, "window": window, **record})
    return records
