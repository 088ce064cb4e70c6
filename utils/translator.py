"""A trained translator: raw text in, text out, with the attention between the pieces.

`load_translator` finds a model by its folder, or by its name among the models that come with the
book (``book/models``).
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from utils.checkpoints import CheckpointError, load_model, load_weights
from utils.datasets.batching import AnyVocabulary, pad_sequences
from utils.datasets.subwords import KIND as SUBWORDS
from utils.datasets.subwords import SPACE, SubwordVocabulary
from utils.datasets.vocabulary import Vocabulary
from utils.decoding import Hypothesis, beam_search, greedy_search
from utils.models.seq2seq import EncoderDecoder, Seq2SeqConfig, build_model

MODELS = Path(__file__).resolve().parents[1] / "book" / "models"
"""The models that come with the book, a folder each."""

# Lines that are read before the first of them is translated: sorting them by length saves work.
LOOK_AHEAD = 512
# More pieces than this are translated in parts: memory stays small, and no model of the book was
# trained on longer sentences.
LONGEST_SOURCE = 256
# A batch is as many sentences as have so many pieces together, and at least one sentence.
PIECES_A_BATCH = 2048


@dataclass(frozen=True)
class Translation:
    """One translated line.

    text: the translation, "" for a line without words. source_pieces, target_pieces: what the
    model read and wrote, <eos> last. weights: (target pieces, source pieces) attention, or None
    without attention. score: mean log-probability of a piece, in nats. finished: False if the
    limit of 2 · source pieces + 10 cut the translation off. parts: the parts of a line that was
    too long to be translated at once; the line itself then has no weights.
    """

    text: str
    source_pieces: list[str]
    target_pieces: list[str]
    weights: Tensor | None
    score: float
    finished: bool
    parts: tuple[Translation, ...] = ()


EMPTY = Translation("", [], [], None, 0.0, True)


class Translator:
    """A model with its two vocabularies.

    Args:
        model: an encoder–decoder; its config says whether it reads the source reversed.
        source_vocabulary, target_vocabulary: words or subwords.
        card: where the model comes from, or None.
    """

    def __init__(
        self,
        model: EncoderDecoder,
        source_vocabulary: AnyVocabulary,
        target_vocabulary: AnyVocabulary,
        *,
        card: Mapping[str, Any] | None = None,
    ) -> None:
        self.model = model
        self.source_vocabulary = source_vocabulary
        self.target_vocabulary = target_vocabulary
        self.card = card

    def translate(
        self, lines: Sequence[str], *, beam_size: int = 5, batch_size: int = 64
    ) -> list[Translation]:
        """Translate some lines at once; the result has their order.

        Args:
            lines: raw text, or words separated by spaces for a model of words. A line of more than
                `LONGEST_SOURCE` pieces is cut after each sentence, a sentence as long as that after
                a word, and translated part by part.
            beam_size: 1 writes the likeliest piece each time.
            batch_size: sentences translated together, at most; it changes speed alone.
        """
        cut = [self._encode(line) for line in lines]
        parts = [part for line in cut for part in line]
        found: list[Translation] = [EMPTY] * len(parts)
        # alike lengths side by side: then hardly a place of a batch is padding
        order = sorted(range(len(parts)), key=lambda row: len(parts[row]))
        for rows in _cut(order, [len(ids) for ids in parts], batch_size):
            sources = [parts[row] for row in rows]
            for row, hypothesis in zip(rows, self._search(sources, beam_size), strict=True):
                found[row] = self._describe(parts[row], hypothesis)
        ready = iter(found)
        return [_join([next(ready) for _ in line]) for line in cut]

    def stream(
        self,
        lines: Iterable[str],
        *,
        beam_size: int = 5,
        batch_size: int = 64,
        look_ahead: int = LOOK_AHEAD,
    ) -> Iterator[Translation]:
        """Translate any number of lines in constant memory: one translation a line, in order.

        Args:
            look_ahead: lines read before the first of them is translated.
        """
        lines = iter(lines)
        while chunk := list(islice(lines, look_ahead)):
            yield from self.translate(chunk, beam_size=beam_size, batch_size=batch_size)

    def _encode(self, line: str) -> list[list[int]]:
        """A line's parts as ids, in the order in which the model reads them; none without words."""
        vocabulary = self.source_vocabulary
        words = line if isinstance(vocabulary, SubwordVocabulary) else line.split()
        parts, ids = [], vocabulary.encode(words, add_eos=False)
        for start, end in pairwise(_cuts([vocabulary.tokens[index] for index in ids])):
            part = ids[start:end]
            if self.model.config.reverse_source:
                part.reverse()
            parts.append([*part, vocabulary.eos_id])
        return parts

    def _search(self, sources: list[list[int]], beam_size: int) -> list[Hypothesis]:
        device = next(self.model.parameters()).device
        source, lengths = (part.to(device) for part in pad_sequences(sources))
        if beam_size == 1:
            return greedy_search(self.model, source, lengths)
        return [best[0] for best in beam_search(self.model, source, lengths, beam_size=beam_size)]

    def _describe(self, source: list[int], hypothesis: Hypothesis) -> Translation:
        text = self.target_vocabulary.decode(hypothesis.tokens)
        written = [*hypothesis.tokens, *([self.target_vocabulary.eos_id] * hypothesis.finished)]
        weights = hypothesis.weights
        if self.model.config.reverse_source:  # shown in the order in which it was written
            source = [*source[-2::-1], source[-1]]
            if weights is not None:
                weights = torch.cat([weights[:, :-1].flip(1), weights[:, -1:]], dim=1)
        return Translation(
            text=text if isinstance(text, str) else " ".join(text),
            source_pieces=[self.source_vocabulary.tokens[index] for index in source],
            target_pieces=[self.target_vocabulary.tokens[index] for index in written],
            weights=weights,
            score=hypothesis.log_probability / len(written),
            finished=hypothesis.finished,
        )


def _cuts(pieces: Sequence[str]) -> list[int]:
    """Where the parts of a line begin, and its end; a line that is not too long is one part."""
    cuts, word = [0] * bool(pieces), 0
    for place in range(1, len(pieces) if len(pieces) > LONGEST_SOURCE else 0):
        if pieces[place].startswith(SPACE):
            word = place
        # a model of single sentences would end after the first and leave out the others
        if word == place and pieces[place - 1].endswith((".", "!", "?")):
            cuts.append(place)
        elif place - cuts[-1] == LONGEST_SOURCE:
            cuts.append(word if word > cuts[-1] else place)
    return [*cuts, len(pieces)]


def _join(parts: list[Translation]) -> Translation:
    """The translation of a line from those of its parts."""
    if len(parts) < 2:
        return parts[0] if parts else EMPTY
    return Translation(
        text=" ".join(part.text for part in parts if part.text),
        source_pieces=[piece for part in parts for piece in part.source_pieces],
        target_pieces=[piece for part in parts for piece in part.target_pieces],
        weights=None,
        score=sum(part.score * len(part.target_pieces) for part in parts)
        / sum(len(part.target_pieces) for part in parts),
        finished=all(part.finished for part in parts),
        parts=tuple(parts),
    )


def _cut(order: Sequence[int], lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Cut rows in order of length into batches of few enough sentences and pieces."""
    batch: list[int] = []
    for row in order:
        if batch and (len(batch) == batch_size or (len(batch) + 1) * lengths[row] > PIECES_A_BATCH):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def released_models() -> list[str]:
    """The names of the models that come with the book."""
    return sorted(path.parent.name for path in MODELS.glob("*/model.json"))


def find_model(name: str | os.PathLike[str]) -> Path:
    """The folder of a model: a path, or the name of a model that comes with the book.

    Raises:
        CheckpointError: there is no such model; the nearest names are listed.
    """
    given = Path(name)
    if (given / "model.json").exists():
        return given
    if (MODELS / given.name / "model.json").exists() and given.name == os.fspath(name):
        return MODELS / given.name
    known = released_models()
    near = difflib.get_close_matches(os.fspath(name), known, n=3, cutoff=0.4) or known
    advice = f"models that come with the book: {', '.join(near)}" if near else "train one first"
    raise CheckpointError(
        f"no model {os.fspath(name)!r}: neither a folder with a model.json nor a name in "
        f"{str(MODELS)!r}; {advice}"
    )


def load_translator(
    name: str | os.PathLike[str], *, device: str | torch.device = "cpu"
) -> Translator:
    """Load a translator by folder or name, after checking that its files are whole.

    Raises:
        CheckpointError: there is no such model, it is damaged, or it does not translate.
    """
    folder = find_model(name)
    saved = load_model(folder)
    if not {"source", "target"} <= saved.vocabularies.keys():
        raise CheckpointError(
            f"{str(folder)!r} holds no translator: its vocabularies are "
            f"{sorted(saved.vocabularies)}, expected 'source' and 'target'"
        )
    try:
        vocabularies = [read_vocabulary(saved.vocabularies[side]) for side in ("source", "target")]
        model = build_model(Seq2SeqConfig.from_dict(saved.config))
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"the model in {str(folder)!r} cannot be built: {error}") from error
    load_weights(model, saved.state_dict, source=folder)
    return Translator(model.to(device).eval(), *vocabularies, card=saved.card)


def read_vocabulary(data: Mapping[str, Any]) -> AnyVocabulary:
    """The vocabulary, of words or of subwords, that `to_dict` stored."""
    kind = SubwordVocabulary if data.get("kind") == SUBWORDS else Vocabulary
    return kind.from_dict(data)
