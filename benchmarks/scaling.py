"""The arithmetic of `book/scaling.md`: the commands of chapter 7 on data of WMT's size.

    python -m benchmarks.scaling            # prints the tables
    python -m benchmarks.scaling --write    # puts them into the page

Sizes come from the presets, rates from `benchmarks/results`; everything else is an assumption with
a name, below and in the page. A test holds the page to these tables.
"""

import argparse
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.decoders import RESULTS as DECODERS
from benchmarks.multi30k_shapes import sentence_lengths
from benchmarks.translator import load_stored
from utils.checkpoints import atomic_write
from utils.models.seq2seq import EncoderDecoder, Seq2SeqConfig, build_model
from utils.presets.definitions import PRESETS

PAGE = Path(__file__).parents[1] / "book" / "scaling.md"

MULTI30K_PIECES = 412_782
"""English pieces of the training split, counted with the vocabulary of multi30k-bahdanau."""
WMT_PAIRS, WMT_WORDS = 4_500_000, 110_000_000
"""English to German of WMT 2014: pairs and German words, as Luong et al. 2015 give them."""
PASSES = 10
"""Luong et al. 2015 train for ten epochs."""
LUONG_RATE = 1_000
"""Target words a second on one Tesla K40, as Luong et al. 2015 give it for their own model."""
PIECES_A_WORD = 1.3
"""Assumption: subwords a word, with a vocabulary of 32,000 pieces."""
LINK = 10e9
"""Assumption: bytes a second between two GPUs."""
WIDE = {
    "hidden_size": 1024,
    "embedding_size": 512,
    "readout_size": 512,
    "attention_size": 512,
}
"""About the sizes of Bahdanau et al. 2015: 1,000 units, embeddings of 620, readout of 500."""
WIDE_PIECES = 32_000


@dataclass(frozen=True)
class Setting:
    """A model and its data.

    words, pieces: of the target side, in one pass, <eos> not counted. batch: sentences.
    """

    model: EncoderDecoder
    pairs: int
    words: int
    pieces: float
    batch: int = 64

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def multiply_adds(self) -> int:
        """A target piece's, forward, for as many source pieces as target pieces.

        Every matrix is used once a piece: the embeddings, of which one row is read, are not
        counted, but the target's are the output layer too. The two products of attention with
        the memory add a sentence's length times their widths.
        """
        names = dict(self.model.named_parameters())
        matrices = sum(value.numel() for value in names.values() if value.dim() == 2)
        config = self.model.config
        matrices -= config.source_vocabulary_size * config.embedding_size
        if not config.tie_embeddings:
            matrices -= config.target_vocabulary_size * config.embedding_size
        attention_size = config.attention_size or config.hidden_size
        directions = 2 if config.bidirectional else 1
        return matrices + self.length * (attention_size + directions * config.hidden_size)

    @property
    def length(self) -> int:
        """Pieces of a mean target sentence, <eos> counted."""
        return round(self.pieces / self.pairs) + 1

    @property
    def operations(self) -> int:
        """A target piece's in training: multiply and add, forward once and backward twice."""
        return 6 * self.multiply_adds


def build(pieces: int, **changes: Any) -> EncoderDecoder:
    """The model of chapter 7 with other sizes; shapes alone, no numbers."""
    settings = {**PRESETS["multi30k-bahdanau"].model, **changes}
    with torch.device("meta"):
        return build_model(
            Seq2SeqConfig(source_vocabulary_size=pieces, target_vocabulary_size=pieces, **settings)
        )


def settings() -> tuple[Setting, Setting]:
    """Chapter 7's, and WMT's."""
    preset = PRESETS["multi30k-bahdanau"]
    lengths = sentence_lengths()
    small = Setting(
        build(preset.data["target_pieces"]),
        pairs=len(lengths),
        words=sum(target - 1 for _, target in lengths),
        pieces=MULTI30K_PIECES,
        batch=preset.batch_size,
    )
    wide = Setting(
        build(WIDE_PIECES, **WIDE),
        pairs=WMT_PAIRS,
        words=WMT_WORDS,
        pieces=WMT_WORDS * PIECES_A_WORD,
    )
    return small, wide


def core() -> dict[str, float]:
    """What a core was measured to do: operations a second, in the decoders' training."""
    stored = json.loads(DECODERS.read_text(encoding="utf-8"))
    kind = " bf16" if "bahdanau bf16" in stored["share_of_peak"] else ""
    peak = stored["peak_operations_per_second"][f"peak{kind}"]["median"]
    share = stored["share_of_peak"][f"bahdanau{kind}"]["median"]
    return {"peak": peak, "share": share, "rate": peak * share}


def sizes_table() -> str:
    """What grows, and how much."""
    small, wide = settings()
    python_list = 8 + sys.getsizeof(1 << 10)  # a pointer, and the number that it points to

    def row(name: str, value: Any) -> list[str]:
        ours, theirs = value(small), value(wide)
        return [name, show(ours), show(theirs), f"{theirs / ours:,.0f} ×"]

    rows = [
        row("sentence pairs", lambda of: of.pairs),
        row("target words in one pass", lambda of: of.words),
        row("target pieces in one pass", lambda of: of.pieces),
        row("steps in one pass, 64 sentences each", lambda of: of.pairs / of.batch),
        row("weights", lambda of: of.parameters),
        row("multiply-adds a target piece, forward", lambda of: of.multiply_adds),
        row("operations in one pass", lambda of: of.operations * of.pieces),
        row("bytes: weights, gradient, Adam's two moments", lambda of: 16 * of.parameters),
        row("bytes: scores of a batch, three copies", lambda of: 12 * logits(of)),
        row("bytes: the encoded pairs", lambda of: 2 * python_list * of.pieces),
    ]
    return table(["", "chapter 7", "WMT", "ratio"], rows)


def logits(of: Setting) -> float:
    """Scores that a batch of mean sentences has: one for each piece and word of the vocabulary."""
    return of.batch * of.length * of.model.config.target_vocabulary_size


def hours_table() -> str:
    """How long ten passes take at a rate."""
    _, wide = settings()
    pieces = PASSES * wide.pieces
    stored = load_stored().get("training", {}).get("cuda")
    rates = {
        "one core, measured share of its peak": core()["rate"] / wide.operations,
        "one Tesla K40 of 2015, Luong's own model": LUONG_RATE * PIECES_A_WORD,
        "a rate of 10,000": 10_000,
        "a rate of 100,000": 100_000,
    }
    if stored is not None:
        small, _ = settings()
        best = max(
            value["median"]
            for name, value in stored["tokens_per_second"].items()
            if name.startswith("multi30k-bahdanau")
        )
        rates[f"{stored['device']}, measured on chapter 7's model, by operations"] = (
            best * small.operations / wide.operations
        )
    rows = [
        [name, f"{rate:,.0f}", *(span(pieces / rate / count) for count in (1, 4, 8))]
        for name, rate in rates.items()
    ]
    head = ["", "pieces a second", "one", "four at best", "eight at best"]
    return table(head, rows)


def exchange_table() -> str:
    """What eight processes spend on the sum of the gradients, if nothing hides it."""
    _, wide = settings()
    count = 8
    seconds = 2 * (count - 1) / count * 4 * wide.parameters / LINK
    rows = []
    for rate in (10_000, 100_000):
        for batch in (64, 256):
            step = batch * wide.length / rate
            share = step / (step + seconds)
            rows.append(
                [
                    f"{rate:,}",
                    str(batch),
                    f"{1000 * step:,.0f} ms",
                    f"{1000 * seconds:,.0f} ms",
                    f"{count * share:.1f} ×",
                ]  # fmt: skip
            )
    head = [
        "pieces a second, each",
        "sentences a process",
        "computing",
        "exchanging",
        "eight are worth",
    ]
    return table(head, rows)


TABLES = {"sizes": sizes_table, "hours": hours_table, "exchange": exchange_table}


def show(value: float) -> str:
    """A number with three digits that count and a unit."""
    for size, unit in ((1e15, "· 10¹⁵"), (1e12, "· 10¹²"), (1e9, "· 10⁹"), (1e6, "million")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:,.0f}"


def span(seconds: float) -> str:
    """Seconds as minutes, hours, days or years."""
    hours = seconds / 3600
    if hours < 2:
        return f"{60 * hours:.0f} minutes"
    if hours < 48:
        return f"{hours:.0f} hours"
    return f"{hours / 24:.0f} days" if hours < 2 * 24 * 365 else f"{hours / 24 / 365:.1f} years"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, numbers to the right."""
    line = "|---|" + "---:|" * (len(head) - 1)
    return "\n".join([f"| {' | '.join(head)} |", line, *(f"| {' | '.join(r)} |" for r in rows)])


def filled(page: str) -> str:
    """The page with its tables made anew; each stands between two comments."""
    for name, make in TABLES.items():
        pattern = re.compile(rf"(% table: {name}\n\n).*?(\n\n% end)", re.DOTALL)
        made = make()
        page, count = pattern.subn(lambda found, made=made: found[1] + made + found[2], page)
        if count != 1:
            raise ValueError(f"the page has {count} places for the table {name!r}, expected one")
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put the tables into the page")
    if parser.parse_args().write:
        page = filled(PAGE.read_text(encoding="utf-8"))
        with atomic_write(PAGE) as file:
            file.write(page)
        return
    for name, make in TABLES.items():
        print(f"{name}\n\n{make()}\n")


if __name__ == "__main__":
    main()
