"""A tiny raw-text corpus and a stand-in for Multi30k's files, shared by the translation tests."""

import gzip
import hashlib
from pathlib import Path

import pytest
import torch

from utils.checkpoints import save_model
from utils.datasets import multi30k
from utils.datasets.grammar import Grammar
from utils.datasets.multi30k import TextPairs
from utils.datasets.subwords import SubwordVocabulary
from utils.models.seq2seq import Seq2SeqConfig, build_model
from utils.translator import Translator


def raw_pairs(count: int, *, seed: int = 0) -> TextPairs:
    """Sentences of the book's grammar as raw text: a capital first, a full stop last."""
    examples = Grammar(minimum_length=4, maximum_length=9).sample(count, seed=seed)
    texts = [
        [" ".join(words).capitalize().removesuffix(" .") + "." for words in (e.source, e.target)]
        for e in examples
    ]
    return TextPairs(*map(list, zip(*texts, strict=True)))


def tiny_translator(
    *, size: int = 120, dtype: torch.dtype = torch.float32, **changes: object
) -> Translator:
    """An untrained translator of subwords; weights large enough to write different words."""
    pairs = raw_pairs(60)
    vocabularies = [
        SubwordVocabulary.train(side, size=size) for side in (pairs.source, pairs.target)
    ]
    torch.manual_seed(3)
    settings = {
        "embedding_size": 8,
        "hidden_size": 12,
        "decoder": "bahdanau",
        "attention": "additive",
        "bidirectional": True,
        **changes,
    }
    config = Seq2SeqConfig(source_vocabulary_size=size, target_vocabulary_size=size, **settings)
    model = build_model(config).to(dtype).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 3
    return Translator(model, *vocabularies)


def save_translator(
    folder: Path, translator: Translator, *, card: dict[str, object] | None = None
) -> Path:
    """Save a translator as a model's folder; gives the folder back."""
    save_model(
        folder,
        translator.model,
        config=translator.model.config.to_dict(),
        vocabularies={
            "source": translator.source_vocabulary,
            "target": translator.target_vocabulary,
        },
        card=card,
    )
    return folder


def small_multi30k(folder: Path, monkeypatch: pytest.MonkeyPatch, *, train: int = 40) -> Path:
    """A cache folder with few sentences in Multi30k's layout, which the loader takes for real."""
    (folder / "multi30k").mkdir(parents=True)
    digests = {}
    for seed, (split, count) in enumerate(
        {"train": train, "val": 6, "test_2016_flickr": 5}.items()
    ):
        pairs = raw_pairs(count, seed=seed)
        for language, lines in (("de", pairs.source), ("en", pairs.target)):
            name = f"{split}.{language}.gz"
            data = gzip.compress("".join(line + "\n" for line in lines).encode(), mtime=0)
            (folder / "multi30k" / name).write_bytes(data)
            digests[name] = hashlib.sha256(data).hexdigest()
    monkeypatch.setattr(multi30k, "SHA256", digests)
    monkeypatch.setenv(multi30k.FOLDER_VARIABLE, str(folder))
    return folder
