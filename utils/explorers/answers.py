"""Python's engine: what a model does with one sentence, as plain values for the front end.

The JavaScript engine gives the same fields, so the front end does not know who answers. Positions
are in the order in which the reader wrote the sentence, also for a model that reads it reversed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor

from utils.datasets.subwords import SubwordVocabulary, normalise
from utils.datasets.vocabulary import Vocabulary
from utils.decoding import BOS_ID, EOS_ID, SearchTree, beam_search, greedy_search
from utils.models.attention import AttentionOutput
from utils.models.seq2seq import EncoderDecoder

AnyVocabulary = Vocabulary | SubwordVocabulary
LIKELIEST = 5
LONGEST_TO_COMPARE = 40  # letters; the nearest words of a longer one are not searched
_QUOTES = re.compile("[\u2018\u2019]")
_END = re.compile(r"[.,;:!?]+$")
_OWNER = re.compile(r"(.+)('s?)")


def split_words(text: str, vocabulary: Vocabulary) -> list[str]:
    """Typed text → words: lower case, ``'s`` and a last ``'`` apart, end punctuation off."""
    words: list[str] = []
    for word in _QUOTES.sub("'", normalise(text).lower()).split(" "):
        if word not in vocabulary:
            word = _END.sub("", word)
        owner = None if word in vocabulary else _OWNER.fullmatch(word)
        words += owner.groups() if owner else [word]
    return [word for word in words if word]


def nearest_words(word: str, vocabulary: Vocabulary) -> list[str]:
    """Up to three known words that look most like an unknown one."""
    if len(word) > LONGEST_TO_COMPARE:
        return []
    return get_close_matches(word, vocabulary.tokens[4:], n=3, cutoff=0.5)


class TranslationEngine:
    """Answers the front end with a PyTorch model.

    Args:
        model: an encoder–decoder, with or without attention.
        source_vocabulary, target_vocabulary: words or subwords, those it was trained with.
    Raises:
        ValueError: a vocabulary is larger than the model's.
    """

    def __init__(
        self,
        model: EncoderDecoder,
        source_vocabulary: AnyVocabulary,
        target_vocabulary: AnyVocabulary,
    ) -> None:
        for side, vocabulary in (("source", source_vocabulary), ("target", target_vocabulary)):
            size = getattr(model.config, f"{side}_vocabulary_size")
            if len(vocabulary) > size:
                raise ValueError(
                    f"the {side} vocabulary has {len(vocabulary)} entries, the model {size}: pass "
                    "the vocabularies that the model was trained with"
                )
        self.model = model
        self.source_vocabulary = source_vocabulary
        self.target_vocabulary = target_vocabulary

    def tokenize(self, text: str) -> tuple[list[str], list[dict[str, Any]]]:
        """Typed text → words or pieces, and the unknown ones: {index, word, nearest}."""
        vocabulary = self.source_vocabulary
        if isinstance(vocabulary, SubwordVocabulary):
            pieces = vocabulary.pieces(text)
            known = set(vocabulary.tokens)
            return pieces, [
                {"index": index, "word": piece, "nearest": []}
                for index, piece in enumerate(pieces)
                if piece not in known
            ]
        words = split_words(text, vocabulary)
        return words, [
            {"index": index, "word": word, "nearest": nearest_words(word, vocabulary)}
            for index, word in enumerate(words)
            if word not in vocabulary
        ]

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Everything the front end shows about one sentence.

        Args:
            request: `text`; `limit`, words read at most; `beam`; `overrides`, weights (S,) by step
                that take the place of the model's; `reference`, the words of the right translation
                or None.
        Returns:
            `words`, `labels` (with <eos>), `unknown`, `cut` (words left out), `result` and `rows`
            (weights with the reference forced, if the model wrote something else).
        Raises:
            ValueError: there is no word, or a value is out of its range; the reader sees the text.
        """
        words, unknown = self.tokenize(str(request["text"]))
        if not words:
            raise ValueError("There is no word in this sentence. Write one first.")
        limit = int(request.get("limit") or 60)
        cut, words = max(0, len(words) - limit), words[:limit]
        ids = self._ids(words, self.source_vocabulary)
        overrides = {
            int(step): [float(weight) for weight in weights]
            for step, weights in (request.get("overrides") or {}).items()
        }
        result = self.translate(ids, beam=int(request.get("beam") or 1), overrides=overrides)
        reference = request.get("reference")
        forced = None
        if reference and result["words"] != list(reference) and result["steps"][0]["weights"]:
            targets = self._ids(reference, self.target_vocabulary)
            forced = [step["weights"] for step in self._steps(ids, targets[:-1], {})]
        return {
            "words": words,
            "labels": [*words, self.source_vocabulary.tokens[EOS_ID]],
            "unknown": [each for each in unknown if each["index"] < len(words)],
            "cut": cut,
            "result": result,
            "rows": forced,
        }

    @torch.no_grad()
    def translate(
        self, ids: Sequence[int], *, beam: int = 1, overrides: Mapping[int, Sequence[float]]
    ) -> dict[str, Any]:
        """Write a translation and keep every step. Overrides need beam 1."""
        source, lengths = self._source(ids)
        tree = None
        if beam == 1:
            with self._overriding(overrides, len(ids)):
                found = greedy_search(self.model, source, lengths)[0]
        else:
            best, trees = beam_search(self.model, source, lengths, beam_size=beam, keep_tree=True)
            found, tree = best[0][0], trees[0]
        written = [*found.tokens, EOS_ID] if found.finished else found.tokens
        words = self.target_vocabulary.tokens
        return {
            "tokens": found.tokens,
            "words": [words[token] for token in found.tokens],
            "text": self._text(found.tokens),
            "steps": self._steps(ids, written, overrides),
            "score": found.score,
            "finished": found.finished,
            "tree": None if tree is None else self._nodes(tree, written),
        }

    def _text(self, tokens: Sequence[int]) -> str:
        """The translation as a reader reads it: pieces are put together, words stand apart."""
        decoded = self.target_vocabulary.decode(tokens)
        return decoded if isinstance(decoded, str) else " ".join(decoded)

    @torch.no_grad()
    def _steps(
        self, ids: Sequence[int], written: Sequence[int], overrides: Mapping[int, Sequence[float]]
    ) -> list[dict[str, Any]]:
        """What happens at every step while `written` is written."""
        source, lengths = self._source(ids)
        words = self.target_vocabulary.tokens
        was_training = self.model.training
        self.model.eval()
        steps = []
        try:
            with self._overriding(overrides, len(ids)):
                encoded, state = self.model.start(self.model.encode(source, lengths))
                token = BOS_ID
                for target in written:
                    tokens = torch.tensor([token], device=source.device)
                    output = self.model.step(tokens, state, encoded)
                    state, token = output.state, target
                    probabilities = output.logits[0].float().softmax(dim=-1)
                    likeliest = probabilities.topk(min(LIKELIEST, len(words)))
                    steps.append(
                        {
                            "token": target,
                            "word": words[target],
                            "probability": float(probabilities[target]),
                            "probabilities": [
                                {"word": words[index], "probability": probability}
                                for probability, index in zip(
                                    likeliest.values.tolist(),
                                    likeliest.indices.tolist(),
                                    strict=True,
                                )
                            ],
                            **self._look(output.attention),
                        }
                    )
        finally:
            self.model.train(was_training)
        return steps

    def _look(self, looked: AttentionOutput | None) -> dict[str, Any]:
        """Scores, weights, context and centre of one step, in the order of the words."""
        if looked is None:
            return {"scores": [], "weights": [], "context": [], "centre": None}
        scores, weights = (
            self._reorder(row[0].float().tolist()) for row in (looked.scores, looked.weights)
        )
        centre = None if looked.centre is None else float(looked.centre[0])
        if centre is not None and self.model.config.reverse_source:
            centre = max(0.0, len(weights) - 2 - centre)
        return {
            "scores": scores,
            "weights": weights,
            "context": looked.context[0].float().tolist(),
            "centre": centre,
        }

    def _nodes(self, tree: SearchTree, written: Sequence[int]) -> list[dict[str, Any]]:
        """The beam as a list: id, parent, depth, token, word, logProbability, kept, …"""
        words = self.target_vocabulary.tokens
        root = {"id": 0, "parent": None, "depth": 0, "token": BOS_ID, "word": words[BOS_ID]}
        nodes = [root | {"logProbability": 0.0, "finished": False, "beginning": []}]
        before = nodes
        for depth, slots in enumerate(tree.steps, start=1):
            layer = []
            for parent, token, total, finished in slots:
                above = before[parent if depth > 1 else 0]
                layer.append(
                    {
                        "id": len(nodes) + len(layer),
                        "parent": above["id"],
                        "depth": depth,
                        "token": token,
                        "word": words[token],
                        "logProbability": total,
                        "finished": finished,
                        "beginning": [*above["beginning"], token],
                    }
                )
            nodes, before = nodes + layer, layer
        for node in nodes:
            beginning = node.pop("beginning")
            node |= {"kept": True, "best": beginning == list(written[: len(beginning)])}
        return nodes

    @contextmanager
    def _overriding(self, overrides: Mapping[int, Sequence[float]], length: int) -> Iterator[None]:
        """Inside the block the attention gives these weights at these steps."""
        if not overrides:
            yield
            return
        attention = getattr(self.model.decoder, "attention", None)
        if attention is None:
            raise ValueError("this model has no attention whose weights could be changed")
        for step, weights in overrides.items():
            if len(weights) != length:
                raise ValueError(
                    f"step {step} has {len(weights)} weights, the source has {length} positions"
                )
        attend: Callable[..., AttentionOutput] = attention.attend
        calls = iter(range(1_000_000))

        def attend_as_told(query: Tensor, keys: Tensor, values: Tensor, *rest: Any, **named: Any):
            looked = attend(query, keys, values, *rest, **named)
            chosen = overrides.get(next(calls))
            if chosen is None:
                return looked
            weights = torch.tensor(
                [self._reorder(chosen)], dtype=looked.weights.dtype, device=values.device
            )
            context = (weights.to(values.dtype).unsqueeze(1) @ values).squeeze(1)  # (1, D)
            return looked._replace(weights=weights, context=context)

        attention.attend = attend_as_told
        try:
            yield
        finally:
            del attention.attend  # the class's own method shows again

    def _reorder(self, values: Sequence[float]) -> list[float]:
        """Between the order of the words and the model's; <eos> stays last. Its own inverse."""
        if not self.model.config.reverse_source:
            return list(values)
        return [*values[-2::-1], values[-1]]

    def _source(self, ids: Sequence[int]) -> tuple[Tensor, Tensor]:
        device = next(self.model.parameters()).device
        source = torch.tensor([self._reorder(ids)], dtype=torch.int64, device=device)
        return source, torch.tensor([len(ids)], device=device)

    @staticmethod
    def _ids(words: Sequence[str], vocabulary: AnyVocabulary) -> list[int]:
        """Words or pieces → ids, <eos> last."""
        if isinstance(vocabulary, Vocabulary):
            return vocabulary.encode(words)
        known = {piece: index for index, piece in enumerate(vocabulary.tokens)}
        return [*(known.get(piece, vocabulary.unk_id) for piece in words), EOS_ID]
