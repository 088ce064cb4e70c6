"""Images with captions as a data set, whatever the images come from.

`CaptionedImages` is what training sees: encoded captions, and a picture for each. `RenderedScenes`
draws its pictures, `utils.datasets.photographs.Photographs` reads them from a folder.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from utils.datasets.batching import length_mask, pad_sequences
from utils.datasets.scene_rendering import render_all
from utils.datasets.scenes import (
    MAXIMUM_BOX_SHARE,
    Box,
    Scene,
    SceneConfig,
    caption_words,
    describe,
)
from utils.datasets.vocabulary import Vocabulary


@dataclass(frozen=True)
class CaptionBatch:
    """Pictures and their captions, padded to the longest.

    images: (B, 3, H, W) float32, 0–1.  target_input: (B, T) int64, BOS y_1 … y_n.
    target_output: (B, T) int64, y_1 … y_n EOS.  target_lengths: (B,) int64, n + 1.
    indices: (B,) int64, places in the data set.
    """

    images: Tensor
    target_input: Tensor
    target_output: Tensor
    target_lengths: Tensor
    indices: Tensor

    def __len__(self) -> int:
        return self.images.shape[0]

    @property
    def target_mask(self) -> Tensor:
        """(B, T) bool, True where a caption has a word or its EOS."""
        return length_mask(self.target_lengths, self.target_output.shape[1])

    @property
    def target_tokens(self) -> int:
        return int(self.target_lengths.sum())

    def to(self, device: torch.device | str) -> "CaptionBatch":
        names = ("images", "target_input", "target_output", "target_lengths", "indices")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


class CaptionedImages:
    """Base of the data sets of pictures with captions: subclasses provide `image`.

    One entry is one caption; several entries may share a picture.

    Args:
        captions: N captions, each a sequence of words.
        image_indices: for each caption the number of its picture.
        names: what to call each caption's picture in an error.
        vocabulary: must hold every word unless unknown_words is "replace".
        unknown_words: "error", or "replace" to encode such words as UNK.
    Raises:
        ValueError: no captions, an empty caption, or a word outside the vocabulary (all named).
    """

    def __init__(
        self,
        captions: Sequence[Sequence[str]],
        *,
        image_indices: Sequence[int],
        names: Sequence[str],
        vocabulary: Vocabulary,
        unknown_words: str = "error",
    ) -> None:
        if unknown_words not in ("error", "replace"):
            raise ValueError(f'unknown_words={unknown_words!r}: expected "error" or "replace".')
        if not captions:
            raise ValueError("A data set needs at least one captioned picture, got none.")
        if not len(captions) == len(image_indices) == len(names):
            raise ValueError(
                f"{len(captions)} captions, {len(image_indices)} image indices and {len(names)} "
                "names: expected as many of each."
            )
        for words, name in zip(captions, names, strict=True):
            if not words:
                raise ValueError(f"{name}: the caption has no words.")
            unknown = vocabulary.unknown(words)
            if unknown and unknown_words == "error":
                raise ValueError(
                    f"{name}: caption words {unknown} are not in the vocabulary of "
                    f"{len(vocabulary)}. Build it from these captions, or pass "
                    'unknown_words="replace".'
                )
        self.captions = [tuple(words) for words in captions]
        self.image_indices = list(image_indices)
        self.names = list(names)
        self.vocabulary = vocabulary
        self._encoded = [vocabulary.encode(words) for words in captions]

    def __len__(self) -> int:
        return len(self.captions)

    def image(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 picture of entry `index`."""
        raise NotImplementedError

    def collate(self, indices: Sequence[int]) -> CaptionBatch:
        """The named entries as one batch.

        Raises ValueError when no index is given, or a picture is not (H, W, 3) uint8 of the size of
        the batch's first.
        """
        indices = [int(index) for index in indices]
        if not indices:
            raise ValueError("collate got no indices: a batch needs at least one picture.")
        pictures = np.stack(self._checked_images(indices))
        images = torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous().float() / 255
        captions = [self._encoded[index] for index in indices]
        target_output, target_lengths = pad_sequences(captions)
        target_input, _ = pad_sequences(
            [[self.vocabulary.bos_id, *caption[:-1]] for caption in captions]
        )
        return CaptionBatch(
            images=images,
            target_input=target_input,
            target_output=target_output,
            target_lengths=target_lengths,
            indices=torch.tensor(indices, dtype=torch.int64, device="cpu"),
        )

    def _checked_images(self, indices: Sequence[int]) -> list[np.ndarray]:
        pictures = [np.asarray(self.image(index)) for index in indices]
        size = pictures[0].shape[:2]
        for index, picture in zip(indices, pictures, strict=True):
            # Floats from 0 to 1 would be divided by 255 below, and be black without a word.
            if picture.dtype != np.uint8 or picture.shape != (*size, 3):
                raise ValueError(
                    f"{self.names[index]}: the picture is {picture.dtype} of shape {picture.shape},"
                    f" expected uint8, 0 to 255, of shape (height, width, 3), and all of a batch"
                    f" of one size (its first: {size})."
                )
        return pictures

    def lengths(self, index: int) -> tuple[int, int]:
        """(1, caption length with EOS): what `BucketedBatches` sorts by; pictures are all alike."""
        return 1, len(self._encoded[index])


class RenderedScenes(CaptionedImages):
    """Scenes as a data set: every picture is drawn once, 12 kB each.

    Raises ValueError as `CaptionedImages`, and if a box covers more than 10 % of its picture.
    """

    def __init__(self, scenes: Sequence[Scene], *, vocabulary: Vocabulary) -> None:
        self.scenes = list(scenes)
        self.descriptions = [describe(scene) for scene in scenes]
        for number, (scene, description) in enumerate(
            zip(self.scenes, self.descriptions, strict=True)
        ):
            _require_small_boxes(number, scene.image_size, description.boxes)
        super().__init__(
            [description.words for description in self.descriptions],
            image_indices=range(len(self.scenes)),
            names=[f"scene {number}" for number in range(len(self.scenes))],
            vocabulary=vocabulary,
        )
        self.pictures = render_all(self.scenes)

    def image(self, index: int) -> np.ndarray:
        return self.pictures[index]

    def word_boxes(self, index: int) -> tuple[Box | None, ...]:
        """For each word of a caption the box of the object it speaks of, or None."""
        return self.descriptions[index].word_boxes


def _require_small_boxes(number: int, image_size: int, boxes: Sequence[Box]) -> None:
    for place, box in enumerate(boxes, 1):
        share = (box.right - box.left) * (box.bottom - box.top) / image_size**2
        if share > MAXIMUM_BOX_SHARE:
            raise ValueError(
                f"scene {number}: the box of object {place} covers {100 * share:.1f} % of the "
                f"picture, expected at most {100 * MAXIMUM_BOX_SHARE:.0f} %: pointing at a large "
                "box proves nothing."
            )


def scene_vocabulary(config: SceneConfig) -> Vocabulary:
    """The closed vocabulary of a setting's captions."""
    return Vocabulary(caption_words(config))
