"""Words to numbers and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

PAD, UNK, BOS, EOS = "<pad>", "<unk>", "<bos>", "<eos>"
SPECIAL_TOKENS = (PAD, UNK, BOS, EOS)
FORMAT_VERSION = 1


class Vocabulary:
    """A fixed, ordered set of words, each with an id.

    Ids 0 to 3 are always the special symbols: padding, unknown word, begin and
    end of sentence. The words follow in the order given.

    A special symbol that turns up *inside a text* is not special: it is encoded as
    an unknown word. Otherwise a sentence that quotes `<eos>` would end there.

    Args:
        words: the words, without the special symbols, each once.
    Raises:
        ValueError: a word is empty, holds white space, occurs twice, or is one of
            the special symbols.
        TypeError: a word is not a string, or `words` is one string.
    """

    pad_id, unk_id, bos_id, eos_id = range(4)

    def __init__(self, words: Iterable[str] = ()) -> None:
        words = _words(words, "words")
        for position, word in enumerate(words):
            if word in SPECIAL_TOKENS:
                raise ValueError(
                    f"word {position} is {word!r}, which every vocabulary has already: leave it out"
                )
            if not word or word.split() != [word]:
                raise ValueError(
                    f"word {position} is {word!r}; expected a word without white space: "
                    "split the sentences first"
                )
        self.tokens: tuple[str, ...] = SPECIAL_TOKENS + words
        self._ids = {token: index for index, token in enumerate(self.tokens)}
        if len(self._ids) < len(self.tokens):
            repeated = sorted(word for word, count in Counter(words).items() if count > 1)
            raise ValueError(f"repeated words {repeated[:5]}: give each word once")

    @classmethod
    def from_sentences(
        cls, sentences: Iterable[Sequence[str]], *, minimum_count: int = 1
    ) -> Vocabulary:
        """Collects the words of tokenised sentences, most frequent first.

        Words of equal frequency stand in alphabetical order, so that the same
        sentences in any order give the same ids.

        Args:
            sentences: each a sequence of words; an empty sentence adds nothing.
            minimum_count: a rarer word is left out (and will be encoded as unknown), ≥ 1.
        Raises:
            ValueError: `minimum_count` is below 1.
            TypeError: a sentence is one string instead of a sequence of words.
        """
        if minimum_count < 1:
            raise ValueError(f"minimum_count is {minimum_count}; expected 1 or more")
        counts: Counter[str] = Counter()
        for index, sentence in enumerate(sentences):
            counts.update(_words(sentence, f"sentence {index}"))
        for special in SPECIAL_TOKENS:  # in a text they are ordinary, unknown words
            counts.pop(special, None)
        kept = [word for word, count in counts.items() if count >= minimum_count]
        return cls(sorted(kept, key=lambda word: (-counts[word], word)))

    def encode(self, tokens: Sequence[str], *, add_eos: bool = True) -> list[int]:
        """Gives the id of each word; unknown words get `unk_id`.

        An empty sentence gives `[eos_id]`, or `[]` without `add_eos`.
        """
        words = _words(tokens, "tokens")
        ids = [self._ids.get(word, self.unk_id) for word in words]
        # Ids below 4 can only come from special symbols written in the text.
        ids = [index if index >= len(SPECIAL_TOKENS) else self.unk_id for index in ids]
        return [*ids, self.eos_id] if add_eos else ids

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Gives the words back: stops at the first EOS, drops PAD and BOS.

        Args:
            ids: integers in [0, len(self)); a one-dimensional tensor or array will do.
        Raises:
            ValueError: an id is outside the vocabulary.
        """
        return written_tokens(ids, self.tokens)

    def unknown(self, tokens: Sequence[str]) -> list[str]:
        """Lists the words that `encode` would turn into `<unk>`, each once, in order."""
        return list(dict.fromkeys(word for word in _words(tokens, "tokens") if word not in self))

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, word: object) -> bool:
        """Whether `word` is an ordinary word of the vocabulary (special symbols are not)."""
        return self._ids.get(word, 0) >= len(SPECIAL_TOKENS)  # type: ignore[arg-type]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.tokens == other.tokens

    def __hash__(self) -> int:
        return hash(self.tokens)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} tokens)"

    def to_dict(self) -> dict:
        """Gives a value that JSON can store; `from_dict` reads it."""
        return {"version": FORMAT_VERSION, "tokens": list(self.tokens)}

    @classmethod
    def from_dict(cls, data: Mapping) -> Vocabulary:
        """Reads what `to_dict` wrote.

        Raises:
            ValueError: `data` is not such a value; the message says what is wrong with it.
        """
        if not isinstance(data, Mapping) or not {"version", "tokens"} <= set(data):
            raise ValueError(
                f"expected a mapping with 'version' and 'tokens', got {_shorten(data)}"
            )
        if data["version"] != FORMAT_VERSION:
            raise ValueError(
                f"vocabulary format {data['version']!r}; this code reads {FORMAT_VERSION}"
            )
        tokens = data["tokens"]
        if not isinstance(tokens, (list, tuple)) or not all(isinstance(t, str) for t in tokens):
            raise ValueError(f"'tokens' must be a list of strings, got {_shorten(tokens)}")
        if tuple(tokens[: len(SPECIAL_TOKENS)]) != SPECIAL_TOKENS:
            raise ValueError(
                f"'tokens' must begin with {list(SPECIAL_TOKENS)}, "
                f"got {list(tokens[: len(SPECIAL_TOKENS)])}"
            )
        return cls(tokens[len(SPECIAL_TOKENS) :])


def written_tokens(ids: Iterable[int], tokens: Sequence[str]) -> list[str]:
    """The tokens of some ids up to the first EOS, without PAD and BOS; UNK is shown.

    Raises:
        ValueError: an id has no token.
    """
    pad_id, _, bos_id, eos_id = range(len(SPECIAL_TOKENS))
    written = []
    for position, index in enumerate(ids):
        index = int(index)
        if not 0 <= index < len(tokens):
            raise ValueError(
                f"id {index} at position {position} is outside the vocabulary; expected 0 to "
                f"{len(tokens) - 1}: do model and vocabulary belong together?"
            )
        if index == eos_id:
            break
        if index not in (pad_id, bos_id):
            written.append(tokens[index])
    return written


def _words(sentence: Iterable[str], name: str) -> tuple[str, ...]:
    if isinstance(sentence, str):
        raise TypeError(f"{name} is one string, {_shorten(sentence)}; expected words: use .split()")
    words = tuple(sentence)
    for position, word in enumerate(words):
        if not isinstance(word, str):
            raise TypeError(f"{name}: item {position} is {word!r}; expected a string")
    return words


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
