"""How fast every decoder trains and translates, against a naive loop and a bare `nn.GRU`.

    python -m benchmarks.decoders            # about five minutes of processor time
    python -m benchmarks.decoders --quick    # does everything run? seconds, nothing stored

One thread, GRU 512, embedding 256, batch 128, sentence lengths and vocabulary of Multi30k's
training split. Each decoder has its paper's encoder: two directions for Bahdanau, else one.
Rates are per processor second, so other programs on the machine disturb little; ratios are taken
within a repetition. What is compared:

(a) naive: Bahdanau's decoder as a loop that projects the keys at every step and has the output
    layer inside, over unsorted batches;
(b) nn.GRU alone: the recurrences of encoder and decoder on the same shapes, with no words, no
    attention and no output layer: what remains when all the rest is free.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measuring import (
    device_seconds,
    interleave,
    matmul_peak,
    processor_seconds,
    ratio,
    store,
    summarise,
)
from benchmarks.multi30k_shapes import (
    SOURCE_VOCABULARY_SIZE,
    TARGET_VOCABULARY_SIZE,
    sentence_lengths,
)
from utils.datasets.batching import Batch
from utils.decoding import beam_search, greedy_search
from utils.experiments.store import describe_commit, describe_machine
from utils.losses import translation_loss
from utils.models.seq2seq import EncoderDecoder, Seq2SeqConfig, build_model
from utils.runtime import autocast, mixed_precision

RESULTS = Path(__file__).parent / "results" / "decoders.json"

DECODERS = {
    "cho": {"decoder": "cho"},
    "sutskever": {"decoder": "sutskever"},
    "bahdanau": {"decoder": "bahdanau", "attention": "additive", "bidirectional": True},
    "luong": {"decoder": "luong", "attention": "general"},
    "luong, input feeding": {"decoder": "luong", "attention": "general", "input_feeding": True},
}

FLOORS = {
    "bahdanau / naive": 4.0,
    "bahdanau bf16 / naive": 7.0,
    "luong unsorted / its step loop": 1.5,
}
"""The least that the stored run must reach; the tests read it."""


@dataclass(frozen=True)
class Sizes:
    """What is measured. The vocabulary is rounded up to a multiple of 64, which products like."""

    hidden: int = 512
    embedding: int = 256
    readout: int = 256
    batch: int = 128
    vocabulary_multiple: int = 64
    buckets: tuple[float, ...] = (1 / 6, 1 / 2, 5 / 6)  # quantiles of the sorted batches
    sentences: int = 64  # decoded at once
    words: int = 14  # written for each, the mean of the training split with <eos>
    beam: int = 5
    peak: int = 1024  # rows and columns of the square product that measures the peak


QUICK = Sizes(
    hidden=8, embedding=4, readout=4, batch=4, buckets=(0.5,), sentences=4, words=3, peak=64
)


def make_batch(lengths: list[tuple[int, int]]) -> Batch:
    """Random ids in the given (source, target) lengths; padding holds 0."""
    source_lengths, target_lengths = torch.tensor(lengths).unbind(dim=1)
    shape = len(lengths), int(source_lengths.max())
    source = torch.randint(4, SOURCE_VOCABULARY_SIZE, shape)
    target = torch.randint(4, TARGET_VOCABULARY_SIZE, (len(lengths), int(target_lengths.max()) + 1))
    batch = Batch(
        source=source,
        source_lengths=source_lengths,
        target_input=target[:, :-1],
        target_output=target[:, 1:],
        target_lengths=target_lengths,
        indices=torch.arange(len(lengths)),
    )
    source.masked_fill_(~batch.source_mask, 0)
    target[:, 1:].masked_fill_(~batch.target_mask, 0)
    return batch


def sorted_batches(sizes: Sizes) -> list[Batch]:
    """Some of the batches that bucketing makes: sorted by target, then source length."""
    pairs = sorted(sentence_lengths(), key=lambda pair: pair[::-1])
    starts = [int(share * len(pairs)) - sizes.batch // 2 for share in sizes.buckets]
    return [make_batch(pairs[start : start + sizes.batch]) for start in starts]


def unsorted_batches(sizes: Sizes, count: int) -> list[Batch]:
    """The first batches of the split in random order."""
    pairs = sentence_lengths()
    return [make_batch(pairs[i * sizes.batch : (i + 1) * sizes.batch]) for i in range(count)]


def make_model(name: str, sizes: Sizes) -> EncoderDecoder:
    def rounded(size: int) -> int:
        return -(-size // sizes.vocabulary_multiple) * sizes.vocabulary_multiple

    return build_model(
        Seq2SeqConfig(
            source_vocabulary_size=rounded(SOURCE_VOCABULARY_SIZE),
            target_vocabulary_size=rounded(TARGET_VOCABULARY_SIZE),
            embedding_size=sizes.embedding,
            hidden_size=sizes.hidden,
            readout_size=sizes.readout,
            **DECODERS[name],
        )
    )


class StepLoop(nn.Module):
    """Teacher forcing through the public `step`; naive if it projects the keys at every step."""

    def __init__(self, model: EncoderDecoder, *, projects_keys: bool) -> None:
        super().__init__()
        self.model = model
        self.projects_keys = projects_keys
        self.encode, self.start = model.encode, model.start

    def step(self, tokens: Tensor, state, encoded):
        if self.projects_keys:
            keys = self.model.decoder.attention.project_keys(encoded.memory)
            encoded = encoded._replace(keys=keys)
        return self.model.step(tokens, state, encoded)

    def forward(
        self,
        source: Tensor,
        source_lengths: Tensor,
        target_input: Tensor,
        *,
        target_mask: Tensor | None = None,
    ):
        encoded, state = self.start(self.encode(source, source_lengths))
        outputs = []
        for tokens in target_input.unbind(dim=1):
            outputs.append(self.step(tokens, state, encoded))
            state = outputs[-1].state
        logits = torch.stack([output.logits for output in outputs], dim=1)  # (B, T, V)
        # A loop scores a step's words before it knows which rows have ended: padding is cut after.
        return outputs[-1]._replace(logits=logits if target_mask is None else logits[target_mask])


class BareRecurrences(nn.Module):
    """`nn.GRU` over the source and over the target, and nothing else."""

    def __init__(self, sizes: Sizes, *, bidirectional: bool) -> None:
        super().__init__()
        self.sizes = sizes
        self.encoder = nn.GRU(
            sizes.embedding, sizes.hidden, batch_first=True, bidirectional=bidirectional
        )
        self.decoder = nn.GRU(sizes.embedding, sizes.hidden, batch_first=True)

    def forward(self, source: Tensor, target_input: Tensor) -> Tensor:
        outputs = []
        for recurrence, ids in ((self.encoder, source), (self.decoder, target_input)):
            words = torch.randn(*ids.shape, self.sizes.embedding, device=ids.device)
            outputs.append(recurrence(words)[0].sum())
        return sum(outputs)


class Trainer:
    """One model with its optimiser; trains on batches and tells the rate."""

    def __init__(
        self, model: nn.Module, *, half: bool = False, device: str | torch.device = "cpu"
    ) -> None:
        self.device = torch.device(device)
        self.model = model.to(self.device)
        self.optimiser = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)
        self.precision = mixed_precision(self.device, enabled=half)

    def train(self, batch: Batch) -> None:
        self.optimiser.zero_grad()
        with autocast(self.device, self.precision):
            if isinstance(self.model, BareRecurrences):
                loss = self.model(batch.source, batch.target_input)
            else:
                loss = translation_loss(self.model, batch).total / batch.target_tokens
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()

    def tokens_per_second(self, batches: list[Batch]) -> float:
        """Real target tokens a second (`device_seconds`): forward, backward and update."""
        seconds = device_seconds(lambda: [self.train(batch) for batch in batches], self.device)
        return sum(batch.target_tokens for batch in batches) / seconds

    def operations_per_token(self, batch: Batch) -> float:
        """Floating-point operations of the matrix products, forward and backward."""
        with FlopCounterMode(display=False) as counter:
            self.train(batch)
        return counter.get_total_flops() / batch.target_tokens


Variants = dict[str, Callable[[int], float]]


def training_variants(
    models: dict[str, EncoderDecoder], sizes: Sizes, repetitions: int, *, has_bfloat16: bool
) -> tuple[Variants, dict[str, float]]:
    """What is trained, and how many operations a token of each decoder costs."""
    buckets, mixed = sorted_batches(sizes), unsorted_batches(sizes, repetitions)
    variants: Variants = {}

    def add(name: str, model: nn.Module, *, is_sorted: bool, half: bool = False) -> Trainer:
        trainer = Trainer(model, half=half)
        variants[name] = lambda repetition: trainer.tokens_per_second(
            buckets if is_sorted else mixed[repetition : repetition + 1]
        )
        return trainer

    operations = {}
    for name, model in models.items():
        trainer = add(name, model, is_sorted=True)
        operations[name] = trainer.operations_per_token(buckets[len(buckets) // 2])
        if has_bfloat16:
            add(f"{name} bf16", model, is_sorted=True, half=True)
    for count in (1, 2):
        bare = BareRecurrences(sizes, bidirectional=count == 2)
        add(f"nn.GRU alone, {count}-directional encoder", bare, is_sorted=True)
    add("naive", StepLoop(models["bahdanau"], projects_keys=True), is_sorted=False)
    add("bahdanau unsorted", models["bahdanau"], is_sorted=False)
    add("luong unsorted", models["luong"], is_sorted=False)
    add("its step loop", StepLoop(models["luong"], projects_keys=False), is_sorted=False)
    return variants, operations


def decoding_variants(models: dict[str, EncoderDecoder], sizes: Sizes) -> Variants:
    """Greedy and beam search; nobody may end early, so that all write equally many words."""
    batch = unsorted_batches(replace(sizes, batch=sizes.sentences), 1)[0]
    limits = {"maximum_length": sizes.words, "eos_id": -1}
    variants: Variants = {}

    def add(name: str, search: Callable[[Tensor, Tensor], object], rows: int) -> None:
        source, lengths = batch.source[:rows], batch.source_lengths[:rows]
        variants[name] = lambda _: rows / processor_seconds(lambda: search(source, lengths))

    def beam(model: nn.Module) -> Callable[[Tensor, Tensor], object]:
        return lambda *inputs: beam_search(model, *inputs, beam_size=sizes.beam, **limits)

    def greedy(model: nn.Module) -> Callable[[Tensor, Tensor], object]:
        return lambda *inputs: greedy_search(model, *inputs, **limits)

    for name, model in models.items():
        add(f"{name} greedy", greedy(model), sizes.sentences)
        add(f"{name} beam", beam(model), sizes.sentences)
    naive = StepLoop(models["bahdanau"], projects_keys=True)
    add("naive greedy", greedy(naive), sizes.sentences)
    add("naive beam", beam(naive), sizes.sentences)

    def one_by_one(source: Tensor, lengths: Tensor) -> None:
        for row, length in enumerate(lengths.tolist()):
            beam(models["bahdanau"])(source[row : row + 1, :length], lengths[row : row + 1])

    add("bahdanau beam, one at a time", one_by_one, min(8, sizes.sentences))
    target = batch.source[:, :1].expand(-1, sizes.words)
    for count in (1, 2):
        bare = torch.no_grad()(BareRecurrences(sizes, bidirectional=count == 2).forward)
        add(
            f"nn.GRU alone, {count}-directional encoder",
            lambda source, _, bare=bare: bare(source, target),
            sizes.sentences,
        )
    return variants


def bare_name(decoder: str) -> str:
    count = 2 if DECODERS[decoder].get("bidirectional") else 1
    return f"nn.GRU alone, {count}-directional encoder"


def run(
    sizes: Sizes, repetitions: int, report: Callable[[str], object] = lambda line: None
) -> dict:
    """Measure everything; the result is what `results/decoders.json` holds."""
    torch.manual_seed(0)
    has_bfloat16 = mixed_precision("cpu").dtype is torch.bfloat16
    models = {name: make_model(name, sizes) for name in DECODERS}
    variants, operations = training_variants(models, sizes, repetitions, has_bfloat16=has_bfloat16)
    variants["peak"] = lambda _: matmul_peak(torch.float32, sizes.peak)
    if has_bfloat16:
        variants["peak bf16"] = lambda _: matmul_peak(torch.bfloat16, sizes.peak)
    training = interleave(variants, repetitions, lambda line: report(f"training {line}"))
    decoding = interleave(
        decoding_variants(models, sizes), repetitions, lambda line: report(f"decoding {line}")
    )

    ratios = {}
    trained = [name for name in training if name.removesuffix(" bf16") in DECODERS]
    for name in trained:
        ratios[f"{name} / naive"] = ratio(training, name, "naive")
        bare = bare_name(name.removesuffix(" bf16"))
        ratios[f"{name} / nn.GRU alone"] = ratio(training, name, bare)
    ratios["luong unsorted / its step loop"] = ratio(training, "luong unsorted", "its step loop")
    ratios["bahdanau / bahdanau unsorted"] = ratio(training, "bahdanau", "bahdanau unsorted")
    for name in DECODERS:
        for search in ("greedy", "beam"):
            key = f"{name} {search}"
            ratios[f"{key} / naive {search}"] = ratio(decoding, key, f"naive {search}")
        ratios[f"{name} greedy / nn.GRU alone"] = ratio(decoding, f"{name} greedy", bare_name(name))
    ratios["bahdanau beam / one at a time"] = ratio(
        decoding, "bahdanau beam", "bahdanau beam, one at a time"
    )

    shares = {}
    for name in trained:
        half = " bf16" if name.endswith(" bf16") else ""
        share = ratio(training, name, f"peak{half}")
        cost = operations[name.removesuffix(" bf16")]
        shares[name] = {key: value * cost for key, value in share.items()}
    peaks = {name: summarise(training.pop(name)) for name in list(training) if "peak" in name}
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": describe_commit(),
        "machine": describe_machine(),
        "has_bfloat16": has_bfloat16,
        "sizes": asdict(sizes),
        "repetitions": repetitions,
        "training_tokens_per_second": {k: summarise(v) for k, v in training.items()},
        "decoding_sentences_per_second": {k: summarise(v) for k, v in decoding.items()},
        "ratios": ratios,
        "peak_operations_per_second": peaks,
        "share_of_peak": shares,
        "floors": FLOORS,
    }


def missed_floors(results: dict) -> list[str]:
    """The floors that a run stays below, as sentences; bfloat16's only where the CPU has it."""
    return [
        f"{name} is {results['ratios'][name]['median']:.2f}, the floor is {floor}"
        for name, floor in FLOORS.items()
        if name in results["ratios"] and results["ratios"][name]["median"] < floor
    ]


def show(results: dict) -> None:
    """Print the tables: median (smallest to largest)."""
    for title in (
        "training_tokens_per_second",
        "decoding_sentences_per_second",
        "ratios",
        "share_of_peak",
    ):
        print(f"\n{title.replace('_', ' ')}: median (smallest – largest)")
        for name, value in results[title].items():
            print(
                f"  {name:48s} {value['median']:9.2f}  "
                f"({value['minimum']:.2f} – {value['maximum']:.2f})"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, nothing stored")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if os.environ.get("OMP_NUM_THREADS", "1") != "1":
        parser.error("OMP_NUM_THREADS must be 1 or unset: everything is measured on one thread")
    results = run(QUICK if arguments.quick else Sizes(), arguments.repetitions, print)
    show(results)
    if arguments.quick:
        return
    store(RESULTS, results)
    for line in missed_floors(results):
        print(f"MISSED: {line}")


if __name__ == "__main__":
    main()
