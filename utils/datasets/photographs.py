"""Photographs from a folder, with captions in the Karpathy JSON format.

That is the format in which the captions of COCO, Flickr8k and Flickr30k are passed around: one
JSON object with a list `images`; each entry has `filename` (for COCO also `filepath`, a folder),
`split`, and `sentences`, each with its `tokens`.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from utils.datasets.captioned_images import CaptionedImages
from utils.datasets.vocabulary import Vocabulary

SPLITS = ("train", "restval", "val", "test")


class Photographs(CaptionedImages):
    """Photographs and their captions; one entry per caption, so five for a COCO picture.

    A picture is cut to its central square and scaled to `image_size`. Pictures are read when a
    batch needs them, so a set may be larger than memory; `check_files` decodes every file once
    beforehand, so that a corrupt one is found before training and not during it.

    Args:
        folder: holds the pictures. captions_file: the JSON.
        splits: which entries to take, from `SPLITS`.
        image_size: side in pixels of the square pictures.
        vocabulary: None builds one from these captions.
        minimum_count: rarer words become UNK when the vocabulary is built here.
        unknown_words: "replace" or "error", as in `CaptionedImages`. None: replace what
            minimum_count leaves out, but refuse words that a given vocabulary lacks.
        check_files: read every file now.
    Raises:
        FileNotFoundError: the folder, the JSON or a picture is missing.
        ValueError: no pictures, a JSON without the expected fields, a word that the given
            vocabulary lacks, a file that is not a picture; file and field are named.
    """

    def __init__(
        self,
        folder: str | Path,
        captions_file: str | Path,
        *,
        splits: Iterable[str] = ("train", "restval"),
        image_size: int,
        vocabulary: Vocabulary | None = None,
        minimum_count: int = 1,
        unknown_words: str | None = None,
        check_files: bool = True,
    ) -> None:
        folder, splits = Path(folder), tuple(splits)
        if image_size < 8:
            raise ValueError(f"image_size={image_size}: expected at least 8 pixels.")
        unknown_splits = [split for split in splits if split not in SPLITS]
        if unknown_splits or not splits:
            raise ValueError(f"splits={splits!r}: expected one or more of {SPLITS}.")
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder}: no such folder of photographs.")
        if not any(folder.iterdir()):
            raise ValueError(f"{folder}: the folder of photographs is empty.")
        entries = read_karpathy_json(captions_file)
        numbers = [number for number, entry in enumerate(entries) if entry[1] in splits]
        chosen = [entries[number] for number in numbers]
        if not chosen:
            found = sorted({split for _, split, _ in entries})
            raise ValueError(
                f"{captions_file}: no images of split {splits}; it has the splits {found}."
            )
        self.paths = [folder / relative for relative, _, _ in chosen]
        self.image_size = image_size
        missing = [path for path in self.paths if not path.is_file()]
        if missing:
            raise FileNotFoundError(
                f"{missing[0]}: named in {captions_file}, but not there "
                f"({len(missing)} of {len(self.paths)} photographs are missing)."
            )
        captions = [tokens for _, _, sentences in chosen for tokens in sentences]
        self._captions_of = [sentences for _, _, sentences in chosen]
        owners = [number for number, entry in enumerate(chosen) for _ in entry[2]]
        if unknown_words is None:
            unknown_words = "replace" if vocabulary is None else "error"
        if vocabulary is None:
            vocabulary = Vocabulary.from_sentences(captions, minimum_count=minimum_count)
        super().__init__(
            captions,
            image_indices=owners,
            names=[
                f"{path} ({captions_file}: images[{number}].sentences[{place}].tokens)"
                for path, number, entry in zip(self.paths, numbers, chosen, strict=True)
                for place in range(len(entry[2]))
            ],
            vocabulary=vocabulary,
            unknown_words=unknown_words,
        )
        if check_files:
            for path in self.paths:
                read_photograph(path, image_size=image_size)

    def image(self, index: int) -> np.ndarray:
        return read_photograph(self.paths[self.image_indices[index]], image_size=self.image_size)

    def references(self, index: int) -> list[tuple[str, ...]]:
        """All captions of the picture that entry `index` shows."""
        return list(self._captions_of[self.image_indices[index]])


def read_photograph(path: str | Path, *, image_size: int) -> np.ndarray:
    """Decode a file into its central square, (image_size, image_size, 3) uint8.

    A camera's note that the picture lies on its side is heeded.

    Raises ValueError for a file that is not a complete picture, or whose mode has no RGB meaning.
    """
    try:
        with Image.open(path) as file:
            file.load()
            picture = ImageOps.exif_transpose(file)
    except Exception as error:  # over a corrupt file Pillow's readers raise errors of many kinds
        raise ValueError(f"{path}: cannot be read as a picture ({error}).") from error
    if picture.mode not in ("RGB", "RGBA", "L", "LA", "P", "CMYK"):
        raise ValueError(
            f"{path}: mode {picture.mode}, expected 8-bit colour or grey "
            "(RGB, RGBA, L, LA, P or CMYK). Convert the file."
        )
    side = min(picture.size)
    if side < 8:
        raise ValueError(f"{path}: {picture.size} pixels, expected at least 8 × 8.")
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = picture.convert("RGB").resize(
        (image_size, image_size),
        Image.Resampling.BILINEAR,
        box=(left, top, left + side, top + side),
    )
    return np.asarray(square, dtype=np.uint8)


def read_karpathy_json(path: str | Path) -> list[tuple[Path, str, list[tuple[str, ...]]]]:
    """[(path of the picture below its folder, split, captions as tuples of words), …].

    Raises FileNotFoundError if the file is missing; ValueError, naming file, entry and field, if it
    is not JSON or an expected field is missing or of another type.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such caption file.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not JSON in UTF-8 ({error}).") from error
    images = _field(content, "images", list, f"{path}")
    if not images:
        raise ValueError(f"{path}: the field 'images' is an empty list.")
    entries = []
    for number, image in enumerate(images):
        where = f"{path}: images[{number}]"
        filename = _field(image, "filename", str, where)
        split = _field(image, "split", str, where)
        below = _field(image, "filepath", str, where) if "filepath" in image else ""
        relative = Path(below) / filename
        if relative.is_absolute() or ".." in relative.parts:
            raise ValueError(f"{where}: the file name {str(relative)!r} leaves the folder.")
        sentences = _field(image, "sentences", list, where)
        captions = []
        for place, sentence in enumerate(sentences):
            tokens = _field(sentence, "tokens", list, f"{where}.sentences[{place}]")
            if not tokens or not all(_is_word(token) for token in tokens):
                raise ValueError(
                    f"{where}.sentences[{place}]: 'tokens' must be a list of one or more strings, "
                    f"none of them empty or with white space; it is {tokens!r:.80}."
                )
            captions.append(tuple(tokens))
        if not captions:
            raise ValueError(f"{where}: the field 'sentences' is an empty list.")
        entries.append((relative, split, captions))
    return entries


def _is_word(token: object) -> bool:
    return isinstance(token, str) and token.split() == [token]


def _field(container: object, name: str, kind: type, where: str) -> object:
    if not isinstance(container, dict) or name not in container:
        raise ValueError(f"{where}: the field {name!r} is missing.")
    if not isinstance(container[name], kind):
        raise ValueError(
            f"{where}: the field {name!r} is a {type(container[name]).__name__}, "
            f"expected a {kind.__name__}."
        )
    return container[name]
