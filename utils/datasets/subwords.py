"""Subwords: frequent words stay whole, rare ones fall into pieces, so that no word is unknown.

Byte-pair encoding starts from single characters and joins the pair that is most frequent in the
training text, again and again; every join makes a new piece. To cut a new text the joins are
repeated in the order in which they were learnt.

Source: Sennrich, Haddow and Birch 2016, "Neural Machine Translation of Rare Words with Subword
Units", arXiv:1508.07909, section 3.2; made by SentencePiece (Kudo and Richardson 2018,
arXiv:1808.06226). Deviations: a piece may begin with the space before its word, written "▁", and
no piece crosses a word; so the text can be put together again without further rules.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import threading
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from types import ModuleType

from utils.datasets.vocabulary import SPECIAL_TOKENS, written_tokens

SPACE = "\u2581"  # "▁", how a piece shows the space before its word
KIND = "subwords"
FORMAT_VERSION = 1

# All that separates words: control characters, every kind of space, and the mark "▁" itself.
# Spelt out, because languages disagree about what \s is and a browser must cut the same pieces.
_GAP = re.compile(
    "[\\x00-\\x20\\x7f-\\xa0\\u1680\\u2000-\\u200b\\u2028\\u2029\\u202f\\u205f\\u2581\\u3000\\ufeff]+"
)
_SURROGATE = re.compile("[\\ud800-\\udfff]")


def normalise(text: str) -> str:
    """Bring a text into the one form that is cut into pieces.

    Half characters (lone surrogates) become U+FFFD, then Unicode's composed form NFC, then every
    run of spaces and control characters becomes one space, none at the ends.
    """
    text = unicodedata.normalize("NFC", _SURROGATE.sub("\ufffd", text))
    return _GAP.sub(" ", text).strip(" ")


def _sentencepiece() -> ModuleType:
    """The library; asked for late, so that chapters without subwords run where it is missing."""
    import sentencepiece

    return sentencepiece


class SubwordVocabulary:
    """Pieces of words, each with an id; encodes raw text and puts raw text together again.

    Ids 0 to 3 are padding, unknown, begin and end of sentence, as in `Vocabulary`. A special symbol
    written in a text is ordinary text.

    Args:
        model: SentencePiece's model, as bytes.
    Raises:
        ValueError: the bytes are no such model, or its special symbols have other ids.
    """

    pad_id, unk_id, bos_id, eos_id = range(4)

    def __init__(self, model: bytes) -> None:
        self.model = bytes(model)
        self._processor = _sentencepiece().SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(self.model)
        except (RuntimeError, OSError) as error:
            raise ValueError(f"not a SentencePiece model ({error}); train it again") from error
        count = self._processor.get_piece_size()
        self.tokens: tuple[str, ...] = tuple(self._processor.id_to_piece(i) for i in range(count))
        if self.tokens[: len(SPECIAL_TOKENS)] != SPECIAL_TOKENS:
            raise ValueError(
                f"the model's first pieces are {list(self.tokens[:4])}; expected "
                f"{list(SPECIAL_TOKENS)}: train it with SubwordVocabulary.train"
            )

    @classmethod
    def train(cls, sentences: Iterable[str], *, size: int) -> SubwordVocabulary:
        """Learn the pieces from raw sentences. The same sentences give the same pieces.

        Args:
            sentences: the training split alone: pieces learnt from test sentences would know them.
            size: pieces, the special symbols counted.
        Raises:
            ValueError: there is no text, or it is too small for so many pieces, or `size` does not
                even hold every character once.
            TypeError: `sentences` is one string.
        """
        if isinstance(sentences, str):
            raise TypeError("sentences is one string; expected one string for each sentence")
        lines = [line for line in map(normalise, sentences) if line]
        if not lines:
            raise ValueError("there is no text to learn pieces from; pass at least one sentence")
        model = io.BytesIO()
        try:
            _sentencepiece().SentencePieceTrainer.train(
                sentence_iterator=iter(lines),
                model_writer=model,
                model_type="bpe",
                vocab_size=size,
                normalization_rule_name="identity",  # `normalise` has done it
                character_coverage=1.0,  # every character of the training text has a piece
                byte_fallback=False,
                max_sentence_length=1_000_000,
                num_threads=1,
                **{f"{name}_id": i for i, name in enumerate(("pad", "unk", "bos", "eos"))},
                **{f"{name[1:-1]}_piece": name for name in SPECIAL_TOKENS},
                minloglevel=2,
            )
        except (RuntimeError, OSError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(
                f"{size} pieces cannot be learnt from {len(lines)} sentences ({reason}): choose "
                "another size"
            ) from error
        return cls(model.getvalue())

    def encode(self, text: str, *, add_eos: bool = True) -> list[int]:
        """Cut a raw text into pieces and give their ids; unknown characters get `unk_id`.

        A text without anything but spaces gives `[eos_id]`, or `[]` without `add_eos`.

        Raises:
            TypeError: `text` is not one string.
        """
        ids = self._processor.encode(normalise(_text(text)), out_type=int)
        return [*ids, self.eos_id] if add_eos else ids

    def encode_varied(
        self, texts: Sequence[str], *, dropout: float, seed: int, add_eos: bool = True
    ) -> list[list[int]]:
        """Cut texts with some joins left out at random: a model then sees a word cut in many ways.

        Source: Provilkov, Emelianenko and Voita 2020, "BPE-Dropout", arXiv:1910.13267, section 3.
        Deviations: none.

        Args:
            dropout: share of the possible joins that are left out, 0–1.
            seed: the same texts, share and seed give the same pieces.
        """
        lines = [normalise(_text(text)) for text in texts]
        found: list[list[int]] = []

        def cut() -> None:
            _sentencepiece().set_random_generator_seed(seed)
            found.extend(
                self._processor.encode(lines, enable_sampling=True, alpha=dropout, num_threads=1)
            )

        # The library's generator belongs to a thread and is seeded when the thread first draws.
        worker = threading.Thread(target=cut)
        worker.start()
        worker.join()
        if len(found) != len(lines):
            raise RuntimeError("the subwords could not be cut; see the error above")
        return [[*ids, self.eos_id] if add_eos else ids for ids in found]

    def pieces(self, text: str) -> list[str]:
        """The pieces of a raw text, for display; "▁" is the space before a word."""
        return self._processor.encode(normalise(_text(text)), out_type=str)

    def decode(self, ids: Iterable[int]) -> str:
        """Put the text together: stops at the first EOS, drops PAD and BOS, shows UNK.

        Raises:
            ValueError: an id is outside the vocabulary.
        """
        return "".join(written_tokens(ids, self.tokens)).replace(SPACE, " ").strip(" ")

    def scored_pieces(self) -> list[tuple[str, float]]:
        """All pieces with their scores, in the order of their ids: all that `segment` needs.

        The score of a piece is minus the number of the join that made it; special symbols have 0.
        """
        return [(piece, self._processor.get_score(i)) for i, piece in enumerate(self.tokens)]

    def __len__(self) -> int:
        return len(self.tokens)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SubwordVocabulary) and self.model == other.model

    def __hash__(self) -> int:
        return hash(self.model)

    def __repr__(self) -> str:
        return f"SubwordVocabulary({len(self)} pieces)"

    def to_dict(self) -> dict:
        """Gives a value that JSON can store, with the hash of the model; `from_dict` reads it."""
        return {
            "version": FORMAT_VERSION,
            "kind": KIND,
            "sha256": hashlib.sha256(self.model).hexdigest(),
            "model": base64.b64encode(self.model).decode("ascii"),
        }

    @classmethod
    def from_dict(cls, data: Mapping) -> SubwordVocabulary:
        """Reads what `to_dict` wrote.

        Raises:
            ValueError: `data` is not such a value, or it was changed after it was written.
        """
        if not isinstance(data, Mapping) or not {"version", "sha256", "model"} <= set(data):
            raise ValueError("expected a mapping with 'version', 'kind', 'sha256' and 'model'")
        if data["version"] != FORMAT_VERSION or data.get("kind") != KIND:
            raise ValueError(
                f"vocabulary format {data['version']!r} of kind {data.get('kind')!r}; this code "
                f"reads {FORMAT_VERSION} of kind {KIND!r}"
            )
        try:
            model = base64.b64decode(data["model"], validate=True)
        except (TypeError, ValueError) as error:
            raise ValueError(f"'model' is not base64 ({error})") from error
        if hashlib.sha256(model).hexdigest() != data["sha256"]:
            raise ValueError("the subword model is damaged: its SHA-256 is not the one beside it")
        return cls(model)


def segment(text: str, scored_pieces: Sequence[tuple[str, float]]) -> list[str]:
    """Cut a text as `SubwordVocabulary.pieces` does, in the plainest way: the rule, for a port.

    Every space becomes "▁" and one stands before the text. From single characters on, the two
    neighbours whose joint piece has the highest score are joined, the leftmost of several, until
    no two neighbours make a piece. Neighbouring unknown characters then become one unknown piece.

    Args:
        text: raw text.
        scored_pieces: as `SubwordVocabulary.scored_pieces` gives them.
    """
    special = len(SPECIAL_TOKENS)
    scores = dict(scored_pieces[special:])
    text = normalise(text)
    found = list(SPACE + text.replace(" ", SPACE)) if text else []
    while True:
        joins = [(scores.get(a + b), -i) for i, (a, b) in enumerate(pairwise(found))]
        joins = [join for join in joins if join[0] is not None]
        if not joins:
            break
        index = -max(joins)[1]
        found[index : index + 2] = [found[index] + found[index + 1]]
    merged: list[str] = []
    for piece in found:
        if piece not in scores and merged and merged[-1] not in scores:
            merged[-1] += piece
        else:
            merged.append(piece)
    return merged


def _text(text: object) -> str:
    if not isinstance(text, str):
        raise TypeError(f"text is {type(text).__name__}; expected one string, not split into words")
    return text
