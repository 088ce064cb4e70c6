"""Training: the loss, the loop, early stopping, exact resume, and what goes wrong."""

import dataclasses
import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from utils.checkpoints import CheckpointError
from utils.datasets.batching import BucketedBatches, ParallelDataset
from utils.datasets.vocabulary import Vocabulary
from utils.history import History
from utils.losses import LossOutput, evaluate_loss, translation_loss
from utils.models.seq2seq import Seq2SeqConfig, build_model
from utils.training import fit
from utils.training_config import TrainingConfig, learning_rate_at

VOCABULARY_SIZE = 12


@dataclass(frozen=True)
class TinyBatch:
    """What `fit` needs of a batch."""

    source: Tensor
    source_lengths: Tensor
    target_input: Tensor
    target_output: Tensor
    target_mask: Tensor

    @property
    def target_tokens(self) -> int:
        return int(self.target_mask.sum())

    def to(self, device: torch.device) -> "TinyBatch":
        return TinyBatch(**{name: value.to(device) for name, value in vars(self).items()})


def make_batch(size: int, length: int, seed: int) -> TinyBatch:
    """Copy task: the target is the source."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, length + 1, (size,), generator=generator)
    lengths[0] = length
    mask = torch.arange(length) < lengths[:, None]
    source = torch.randint(4, VOCABULARY_SIZE, (size, length), generator=generator) * mask
    shifted = torch.cat([torch.full((size, 1), 2), source[:, :-1]], dim=1)
    return TinyBatch(source, lengths, shifted, source, mask)


def make_noise(seed: int = 100) -> TinyBatch:
    """Targets that have nothing to do with the source: soon the loss on them rises."""
    batch, other = make_batch(5, 3, seed), make_batch(5, 3, seed + 1)
    return TinyBatch(**{**vars(batch), "target_output": other.target_output})


class TinyBatches:
    """Six small batches, in an order that is a function of the epoch."""

    def __init__(self, count: int = 6, seed: int = 0) -> None:
        self.batches = [make_batch(4, 2 + i % 3, seed + i) for i in range(count)]
        self.epoch = 0
        self.fail_at: tuple[int, int] | None = None
        self.failure: BaseException = RuntimeError("the cable was pulled")

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[TinyBatch]:
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(self.epoch))
        for position, index in enumerate(order.tolist()):
            if self.fail_at == (self.epoch, position):
                raise self.failure
            yield self.batches[index]


class Output(NamedTuple):
    logits: Tensor


class TinyModel(nn.Module):
    """Reads target and source words through one embedding; has dropout and a buffer."""

    def __init__(self, dropout: float = 0.3) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY_SIZE, 16)
        self.recurrent = nn.GRU(32, 16, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.readout = nn.Linear(16, VOCABULARY_SIZE)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(
        self,
        source: Tensor,
        source_lengths: Tensor,
        target_input: Tensor,
        *,
        target_mask: Tensor | None = None,
    ) -> Output:
        if self.training:
            self.calls += 1
        inputs = torch.cat([self.embedding(source), self.embedding(target_input)], dim=-1)
        states, _ = self.recurrent(self.dropout(inputs))
        logits = self.readout(self.dropout(states))
        return Output(logits if target_mask is None else logits[target_mask])


def make_model(seed: int = 3, dropout: float = 0.3) -> TinyModel:
    torch.manual_seed(seed)
    return TinyModel(dropout)


def weights_equal(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def train(model, batches=None, validation="default", *, directory=None, resume=False, **settings):
    """`fit` with the defaults of these tests."""
    compute_loss = settings.pop("compute_loss", translation_loss)
    config = TrainingConfig(**{"epochs": 3, "learning_rate": 0.02, **settings})
    validation = [make_batch(5, 3, 100)] if validation == "default" else validation
    return fit(
        model,
        TinyBatches() if batches is None else batches,
        validation,
        config,
        checkpoint_directory=directory,
        resume=resume,
        progress=False,
        compute_loss=compute_loss,
    )


# --- the loss -------------------------------------------------------------------------------------


def test_loss_is_the_sum_over_real_tokens_by_hand():
    model, batch = make_model().eval(), make_batch(3, 4, 0)
    loss = translation_loss(model, batch)
    logits = model(batch.source, batch.source_lengths, batch.target_input).logits
    total, count = 0.0, 0
    for row in range(3):
        for position in range(int(batch.source_lengths[row])):
            distribution = torch.log_softmax(logits[row, position].double(), dim=0)
            total -= distribution[batch.target_output[row, position]].item()
            count += 1
    assert loss.tokens == count
    assert loss.total.item() == pytest.approx(total, rel=1e-6)


def test_evaluate_loss_weighs_tokens_and_not_batches():
    model = make_model().eval()
    short, long = make_batch(1, 1, 0), make_batch(8, 4, 1)
    parts = [translation_loss(model, batch) for batch in (short, long)]
    expected = sum(p.total.item() for p in parts) / sum(p.tokens for p in parts)
    unweighted = sum(p.total.item() / p.tokens for p in parts) / 2
    assert evaluate_loss(model, [short, long]) == pytest.approx(expected)
    assert abs(expected - unweighted) > 1e-3  # else this test could not fail


def test_evaluate_loss_leaves_mode_gradients_and_random_numbers_alone():
    model = make_model().train()
    state = torch.get_rng_state()
    first = evaluate_loss(model, [make_batch(2, 3, 0)])
    assert first == evaluate_loss(model, [make_batch(2, 3, 0)])
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_evaluate_loss_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="no target tokens"):
        evaluate_loss(make_model(), [])


def test_label_smoothing_is_for_training_only():
    model, batch = make_model(dropout=0.0), make_batch(3, 4, 0)
    plain = translation_loss(model, batch).total
    assert translation_loss(model, batch, label_smoothing=0.2).total > plain
    assert torch.equal(translation_loss(model.eval(), batch, label_smoothing=0.2).total, plain)


# --- the configuration ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs must be an integer of at least 1, not 0"),
        ({"epochs": 2.5}, "epochs must be"),
        ({"epochs": True}, "epochs must be"),
        ({"learning_rate": 0.0}, "learning_rate must be a finite number above 0"),
        ({"learning_rate": math.nan}, "learning_rate must be"),
        ({"learning_rate": "fast"}, "learning_rate must be .* not 'fast'"),
        ({"clip_norm": -1.0}, r"clip_norm must be .* \(or None\), not -1.0"),
        ({"patience": 0}, "patience must be"),
        ({"schedule": "exponential"}, "constant, linear, cosine"),
        ({"warmup_steps": -1}, "warmup_steps must be"),
        ({"label_smoothing": 1.0}, "label_smoothing must be"),
        ({"time_limit_seconds": 0}, "time_limit_seconds must be"),
        ({"weight_decay": -0.1}, "weight_decay must be"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**{"epochs": 1, **settings})


def test_config_is_frozen_and_json():
    config = TrainingConfig(epochs=2)
    with pytest.raises(AttributeError):
        config.epochs = 3
    assert TrainingConfig(**json.loads(json.dumps(vars(config)))) == config


def test_schedules_by_hand():
    linear = TrainingConfig(epochs=1, learning_rate=1.0, schedule="linear", warmup_steps=3)
    rates = [learning_rate_at(step, linear, 7) for step in range(8)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1.0, 0.75, 0.5, 0.25, 0.0])
    cosine = TrainingConfig(epochs=1, learning_rate=1.0, schedule="cosine", final_learning_rate=0.2)
    rates = [learning_rate_at(step, cosine, 4) for step in (0, 2, 4, 9)]
    assert rates == pytest.approx([1.0, 0.6, 0.2, 0.2])
    assert learning_rate_at(99, TrainingConfig(epochs=1, learning_rate=0.5), 4) == 0.5


def test_fit_uses_the_schedule():
    constant, decayed = make_model(dropout=0.0), make_model(dropout=0.0)
    train(constant)
    train(decayed, schedule="linear")
    assert not weights_equal(constant, decayed)


# --- the loop -------------------------------------------------------------------------------------


def test_training_learns_and_the_history_says_so():
    model = make_model(dropout=0.0)
    validation = [make_batch(5, 3, 100)]
    before = evaluate_loss(model, validation)
    history = train(model, validation=validation, epochs=15)
    assert history.epochs == 15
    assert history.train_loss[-1] < 0.5 * history.train_loss[0]
    assert evaluate_loss(model, validation) < before
    for values in (history.validation_loss, history.seconds, history.tokens_per_second):
        assert len(values) == 15
        assert all(value > 0 for value in values)
    assert history.stopped == "epochs"
    assert not model.training
    assert History.from_dict(json.loads(json.dumps(history.to_dict()))) == history


def test_one_step_is_adam_on_the_mean_over_tokens():
    model, reference = make_model(dropout=0.0), make_model(dropout=0.0)
    batch = make_batch(4, 4, 0)
    train(model, [batch], None, epochs=1, clip_norm=0.1)
    optimizer = torch.optim.Adam(reference.parameters(), lr=0.02)
    loss = translation_loss(reference.train(), batch)
    (loss.total / loss.tokens).backward()
    norm = nn.utils.clip_grad_norm_(reference.parameters(), 0.1)
    optimizer.step()
    assert norm > 0.1  # else clipping would not be tested
    for own, expected in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(own, expected, rtol=0, atol=1e-7)


def test_without_validation_batches():
    history = train(make_model(), validation=None)
    assert history.validation_loss == [] and history.best_loss is None


def test_the_best_weights_come_back():
    model = make_model(dropout=0.0)
    validation = [make_noise()]
    history = train(model, validation=validation, epochs=10)
    assert history.best_loss < history.validation_loss[-1] - 0.1
    assert evaluate_loss(model, validation) == pytest.approx(history.best_loss, abs=1e-7)


def test_patience_stops_after_that_many_validations_without_gain():
    history = train(make_model(dropout=0.0), validation=[make_noise()], epochs=100, patience=3)
    assert history.stopped == "patience"
    assert history.epochs < 100
    best = history.validation_loss.index(min(history.validation_loss))
    assert history.epochs - 1 - best == 3


def test_validation_inside_epochs():
    history = train(make_model(), epochs=2, validate_every=4)
    assert [entry["step"] for entry in history.validations] == [4, 6, 8, 12]
    assert len(history.validation_loss) == 2


def test_time_limit_cuts_the_epoch_short():
    history = train(make_model(), epochs=10_000, time_limit_seconds=0.3)
    assert history.stopped == "time"
    assert sum(history.seconds) < 3
    assert history.epochs == len(history.validation_loss) > 0


def test_fit_takes_other_losses_with_penalty_and_metrics():
    def compute_loss(model, batch):
        loss = translation_loss(model, batch)
        penalty = 10 * model.readout.weight.square().mean()
        return LossOutput(loss.total, loss.tokens, penalty, {"double": 2 * loss.total.detach()})

    plain, punished = make_model(dropout=0.0), make_model(dropout=0.0)
    train(plain)
    history = train(punished, compute_loss=compute_loss)
    assert history.metrics["double"] == pytest.approx([2 * loss for loss in history.train_loss])
    assert punished.readout.weight.square().mean() < 0.9 * plain.readout.weight.square().mean()


def test_label_smoothing_reaches_the_loss():
    plain, smooth = make_model(dropout=0.0), make_model(dropout=0.0)
    first = train(plain, epochs=1)
    second = train(smooth, epochs=1, label_smoothing=0.3)
    assert second.train_loss[0] > first.train_loss[0]
    assert not weights_equal(plain, smooth)


def test_frozen_parameters_stay():
    model = make_model()
    model.embedding.weight.requires_grad_(False)
    before = model.embedding.weight.clone()
    train(model)
    assert torch.equal(model.embedding.weight, before)


def test_no_progress_bar_means_no_output(capfd):
    train(make_model())
    assert capfd.readouterr() == ("", "")


def test_the_progress_bar_shows_what_was_promised(capfd):
    fit(make_model(), TinyBatches(), [make_batch(5, 3, 1)], TrainingConfig(epochs=2))
    out, err = capfd.readouterr()
    assert out == ""
    for part in ("epoch 2/2", "loss ", "validation ", "tokens/s", "left"):
        assert part in err


# --- resuming -------------------------------------------------------------------------------------


def uninterrupted(**settings) -> tuple[TinyModel, History]:
    model = make_model()
    return model, train(model, **settings)


def losses(history: History) -> tuple:
    return history.train_loss, history.validation_loss, history.validations, history.best_step


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("fail_at", [(1, 0), (1, 4), (2, 5)])
@pytest.mark.parametrize("failure", [RuntimeError("the cable was pulled"), KeyboardInterrupt()])
def test_resume_is_exact(tmp_path, fail_at, failure, schedule):
    settings = {"epochs": 4, "schedule": schedule, "validate_every": 4}
    expected, expected_history = uninterrupted(**settings)
    batches = TinyBatches()
    batches.fail_at, batches.failure = fail_at, failure
    with pytest.raises(type(failure)):
        train(make_model(), batches, directory=tmp_path, **settings)
    torch.manual_seed(999)  # a new process has other random states and other weights
    model = make_model(seed=4)
    history = train(model, directory=tmp_path, resume=True, **settings)
    assert weights_equal(model, expected)
    assert losses(history) == losses(expected_history)


def test_resume_keeps_early_stopping_and_best_weights(tmp_path):
    settings = {"epochs": 60, "patience": 4, "validation": [make_noise()]}
    expected, expected_history = uninterrupted(**settings)
    stop = expected_history.epochs - 2  # after the best epoch, before patience runs out
    batches = TinyBatches()
    batches.fail_at = (stop, 1)
    with pytest.raises(RuntimeError, match="cable"):
        train(make_model(), batches, directory=tmp_path, **settings)
    model = make_model(seed=4)
    history = train(model, directory=tmp_path, resume=True, **settings)
    assert history.stopped == "patience"
    assert losses(history) == losses(expected_history)
    assert weights_equal(model, expected)


def test_resume_after_the_time_ran_out_goes_on_inside_the_epoch(tmp_path, monkeypatch):
    expected, expected_history = uninterrupted(epochs=3)
    clock = [0.0]
    monkeypatch.setattr("utils.training.time.perf_counter", lambda: clock[0])

    def one_second_a_step(model, batch):
        clock[0] += model.training
        return translation_loss(model, batch)

    first = train(
        make_model(),
        directory=tmp_path,
        epochs=3,
        time_limit_seconds=8.5,
        compute_loss=one_second_a_step,
    )
    assert first.stopped == "time"
    assert first.seconds == [6.0, 3.0]  # the second epoch was cut in the middle
    position = json.loads((tmp_path / "training.json").read_text())["state"]["position"]
    assert (position["epoch"], position["batch"]) == (1, 3)
    model = make_model(seed=4)
    history = train(model, directory=tmp_path, resume=True, epochs=3)
    assert weights_equal(model, expected)
    assert losses(history) == losses(expected_history)


def test_resume_can_train_longer(tmp_path):
    expected, _ = uninterrupted(epochs=4)
    train(make_model(), directory=tmp_path, epochs=2)
    model = make_model(seed=4)
    assert train(model, directory=tmp_path, resume=True, epochs=4).epochs == 4
    assert weights_equal(model, expected)


def test_resume_of_a_finished_run_gives_its_result_again(tmp_path):
    model = make_model()
    history = train(model, directory=tmp_path)
    again = make_model(seed=4)
    assert losses(train(again, directory=tmp_path, resume=True)) == losses(history)
    assert weights_equal(model, again)


def test_resume_without_a_state_starts(tmp_path):
    expected, _ = uninterrupted()
    model = make_model()
    train(model, directory=tmp_path / "new", resume=True)
    assert weights_equal(model, expected)


def test_resume_of_another_run_is_refused(tmp_path):
    train(make_model(), directory=tmp_path)
    with pytest.raises(CheckpointError, match=r"learning_rate was 0.02 and is now 0.5"):
        train(make_model(), directory=tmp_path, resume=True, learning_rate=0.5)
    with pytest.raises(CheckpointError, match="an epoch had 6 batches and has 5 now"):
        train(make_model(), TinyBatches(5), directory=tmp_path, resume=True)
    with pytest.raises(CheckpointError, match="epochs was 3 and is now 4"):
        other = tmp_path / "cosine"
        train(make_model(), directory=other, schedule="cosine")
        train(make_model(), directory=other, resume=True, schedule="cosine", epochs=4)


def test_resume_of_another_model_is_refused(tmp_path):
    train(make_model(), directory=tmp_path)
    model = make_model()
    model.readout = nn.Linear(16, 7)
    with pytest.raises(CheckpointError, match=r"'readout.weight' has shape \(12, 16\)"):
        train(model, directory=tmp_path, resume=True)


def test_an_existing_run_is_not_overwritten(tmp_path):
    train(make_model(), directory=tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(FileExistsError, match="resume=True"):
        train(make_model(), directory=tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_incomplete_state_is_a_clear_error(tmp_path):
    train(make_model(), directory=tmp_path)
    path = tmp_path / "training.json"
    content = json.loads(path.read_text())
    del content["state"]["position"]
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="incomplete.*position"):
        train(make_model(), directory=tmp_path, resume=True)


# --- what goes wrong ------------------------------------------------------------------------------


def poisoned(epoch_of_poison: int, what: str):
    """A loss that turns bad in the third step of an epoch (from 0; six steps each)."""
    calls = iter(range(1000))

    def compute_loss(model, batch):
        loss = translation_loss(model, batch)
        bad = model.training and next(calls) == 6 * epoch_of_poison + 2
        if bad and what == "loss":
            return loss._replace(total=loss.total * math.nan)
        if bad and what == "gradient":
            model.readout.bias.register_hook(lambda gradient: gradient * math.inf)
        return loss

    return compute_loss


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_nan_is_named_and_the_checkpoint_survives(tmp_path, what):
    compute_loss = poisoned(1, what)
    reference = tmp_path / "reference"
    train(make_model(), directory=reference, epochs=1)
    model, run = make_model(), tmp_path / "run"
    message = f"the {what} is not finite in epoch 2, step 9 .*Lower learning_rate"
    with pytest.raises(FloatingPointError, match=message):
        train(model, directory=run, epochs=3, compute_loss=compute_loss)
    assert all(value.isfinite().all() for value in model.state_dict().values())
    (saved,), (expected,) = run.glob("training-*"), reference.glob("training-*")
    assert saved.read_bytes() == expected.read_bytes()


def test_nan_in_validation():
    def compute_loss(model, batch):
        loss = translation_loss(model, batch)
        return loss if model.training else loss._replace(total=loss.total * math.nan)

    with pytest.raises(FloatingPointError, match="validation loss is nan after step 6"):
        train(make_model(), compute_loss=compute_loss)


def test_contradicting_arguments():
    with pytest.raises(ValueError, match="no training batches"):
        train(make_model(), [])
    with pytest.raises(ValueError, match="patience needs validation_batches"):
        train(make_model(), validation=None, patience=2)
    with pytest.raises(ValueError, match="needs the checkpoint_directory"):
        train(make_model(), resume=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA GPU")
def test_a_gpu_asked_for_where_there_is_none():
    with pytest.raises(RuntimeError, match="no CUDA|no CUDA GPU"):
        fit(make_model(), TinyBatches(), None, TrainingConfig(epochs=1), device="cuda")


def test_mixed_precision_trains(monkeypatch):
    from utils import training
    from utils.runtime import Precision

    monkeypatch.setattr(training, "mixed_precision", lambda *_: Precision(torch.bfloat16))
    model = make_model(dropout=0.0)
    history = train(model, epochs=10, mixed_precision=True)
    assert history.train_loss[-1] < 0.8 * history.train_loss[0]
    assert all(value.dtype == torch.float32 for value in model.parameters())


# --- with the real models and batches -------------------------------------------------------------

DECODERS = [("cho", None), ("sutskever", None), ("bahdanau", "additive"), ("luong", "general")]


def make_translator(decoder: str, attention: str | None, seed: int = 3) -> nn.Module:
    torch.manual_seed(seed)
    sizes = {"source_vocabulary_size": 12, "target_vocabulary_size": 12}
    return build_model(
        Seq2SeqConfig(
            **sizes,
            embedding_size=6,
            hidden_size=7,
            decoder=decoder,
            attention=attention,
            bidirectional=decoder != "sutskever",
            dropout=0.3,
        )
    )


def make_pairs(count: int, seed: int = 0) -> ParallelDataset:
    words = list("abcdefgh")
    generator = random.Random(seed)
    sources = [generator.choices(words, k=generator.randint(1, 6)) for _ in range(count)]
    vocabulary = Vocabulary(words)
    return ParallelDataset(sources, [list(reversed(s)) for s in sources], vocabulary, vocabulary)


@pytest.mark.parametrize(("decoder", "attention"), DECODERS)
def test_real_models_resume_exactly_with_dropout_and_shuffled_batches(tmp_path, decoder, attention):
    def run(seed, **arguments):
        model = make_translator(decoder, attention, seed)
        batches = BucketedBatches(make_pairs(40), batch_size=8, seed=5)
        validation = BucketedBatches(make_pairs(9, seed=1), batch_size=4, shuffle=False)
        return model, train(model, batches, validation, **arguments)

    def interrupted(model, batch):
        if model.training and next(steps) == 7:  # the third batch of the second epoch
            raise RuntimeError("the cable was pulled")
        return translation_loss(model, batch)

    expected, expected_history = run(3)
    steps = iter(range(100))
    with pytest.raises(RuntimeError, match="cable"):
        run(3, directory=tmp_path, compute_loss=interrupted)
    model, history = run(4, directory=tmp_path, resume=True)
    assert losses(history) == losses(expected_history)
    assert weights_equal(model, expected)


@pytest.mark.parametrize(("decoder", "attention"), DECODERS)
@given(seed=st.integers(0, 999), more=st.integers(1, 4), junk=st.integers(0, 11))
@settings(max_examples=10, deadline=None)
def test_padding_changes_neither_loss_nor_gradients(decoder, attention, seed, more, junk):
    model = make_translator(decoder, attention, seed).double().eval()
    batch = make_pairs(5, seed).collate(range(5))
    padded = dataclasses.replace(
        batch,
        **{
            name: functional.pad(getattr(batch, name), (0, more), value=junk)
            for name in ("source", "target_input", "target_output")
        },
    )
    results = []
    for each in (batch, padded):
        model.zero_grad()
        loss = translation_loss(model, each)
        loss.total.backward()
        results.append((loss, [p.grad.clone() for p in model.parameters()]))
    (plain, gradients), (other, other_gradients) = results
    assert plain.tokens == other.tokens
    torch.testing.assert_close(other.total, plain.total, rtol=0, atol=1e-9)
    torch.testing.assert_close(other_gradients, gradients, rtol=0, atol=1e-9)


def test_the_loss_of_a_batch_is_that_of_its_sentences():
    model, pairs = make_translator("bahdanau", "additive").double().eval(), make_pairs(6)
    together = translation_loss(model, pairs.collate(range(6)))
    alone = [translation_loss(model, pairs.collate([i])) for i in range(6)]
    assert together.tokens == sum(loss.tokens for loss in alone)
    torch.testing.assert_close(together.total, sum(loss.total for loss in alone), rtol=0, atol=1e-9)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("mixed_precision", [False, True])
def test_training_and_resuming_on_a_gpu(tmp_path, mixed_precision):
    def run(epochs, **arguments):
        model = make_translator("bahdanau", "additive")
        config = TrainingConfig(epochs=epochs, mixed_precision=mixed_precision)
        batches = BucketedBatches(make_pairs(40), batch_size=8)
        history = fit(model, batches, batches, config, device="cuda", progress=False, **arguments)
        return model, history

    expected, expected_history = run(4)
    run(2, checkpoint_directory=tmp_path)
    model, history = run(4, checkpoint_directory=tmp_path, resume=True)
    assert all(parameter.is_cuda for parameter in model.parameters())
    assert history.train_loss == pytest.approx(expected_history.train_loss, abs=1e-3)
    assert history.train_loss[-1] < history.train_loss[0]
    assert evaluate_loss(model, BucketedBatches(make_pairs(40), batch_size=8)) < 2.5
