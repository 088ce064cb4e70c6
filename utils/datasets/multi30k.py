"""Multi30k, task 1: captions of photographs in German and their English translations.

29,000 pairs to train on, 1,014 to validate on, 1,000 to test on (``test_2016_flickr``). The files
come from the data set's public repository at one commit, each checked by its SHA-256. They are
kept in a folder, so that the second use needs no network.

Source: Elliott, Frank, Sima'an and Specia 2016, "Multi30K: Multilingual English-German Image
Descriptions", arXiv:1605.00459. The captions of Flickr30k belong to their authors and are for
research and teaching; the repository states no licence of its own for the translations.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

COMMIT = "a3d2e0d26b56f3846f66a952536ffed4e401d05a"
ADDRESS = f"https://raw.githubusercontent.com/multi30k/dataset/{COMMIT}/data/task1/raw"
FOLDER_VARIABLE = "ATTENTION_BOOK_DATA"
"""Environment variable: the folder that holds ``multi30k/train.de.gz`` and the others."""

SPLITS = {"train": "train", "validation": "val", "test": "test_2016_flickr"}
LANGUAGES = ("de", "en")
SHA256 = {
    "train.de.gz": "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6",
    "train.en.gz": "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f",
    "val.de.gz": "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a",
    "val.en.gz": "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28",
    "test_2016_flickr.de.gz": "9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8",
    "test_2016_flickr.en.gz": "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9",
}


class DataUnavailableError(OSError):
    """A file of the data set is neither in its folder nor to be had from the network."""


@dataclass(frozen=True)
class TextPairs:
    """Sentences as they were written: `source[i]` (German) says what `target[i]` (English) says."""

    source: list[str]
    target: list[str]

    def __len__(self) -> int:
        return len(self.source)


def load_multi30k(split: str) -> TextPairs:
    """Read a split, after downloading what is not there yet (1.3 MB for all of them).

    Args:
        split: "train", "validation" or "test" (test_2016_flickr).
    Raises:
        ValueError: there is no such split.
        DataUnavailableError: a file is not there and cannot be downloaded; the message says which,
            where it was looked for and how to get it.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; expected one of {', '.join(SPLITS)}")
    source, target = (_read(fetch(f"{SPLITS[split]}.{language}.gz")) for language in LANGUAGES)
    return TextPairs(source, target)


def multi30k_folder() -> Path:
    """Where the files are kept: ``$ATTENTION_BOOK_DATA/multi30k``, else the user's cache folder."""
    given = os.environ.get(FOLDER_VARIABLE)
    if given:
        return Path(given) / "multi30k"
    import pooch

    return Path(pooch.os_cache("attention-book")) / "multi30k"


def is_downloaded() -> bool:
    """Whether every file is in its folder, whole, so that no network is needed."""
    folder = multi30k_folder()
    return all(_has_digest(folder / name, digest) for name, digest in SHA256.items())


def fetch(name: str) -> Path:
    """The path of one file; downloads it, with a progress bar, if it is not there or damaged.

    The download goes to a temporary name and takes the real one when it is whole and checked.

    Raises:
        DataUnavailableError: as for `load_multi30k`.
    """
    folder = multi30k_folder()
    path, address = folder / name, f"{ADDRESS}/{name}"
    if _has_digest(path, SHA256[name]):
        return path
    import pooch  # here, because it takes a while to import and is rarely needed

    state = "is damaged there" if path.exists() else "is not there"
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("WARNING")  # its notes about paths belong into no notebook
    try:
        pooch.retrieve(
            address,
            known_hash=f"sha256:{SHA256[name]}",
            fname=name,
            path=folder,
            downloader=pooch.HTTPDownloader(progressbar=True, timeout=30),
        )
    # pooch lets through what requests raises (an OSError), and a ValueError for a wrong hash.
    except (OSError, ValueError) as error:
        reason = _first_line(error)
        raise DataUnavailableError(
            f"Multi30k's file {name} {state} (looked in {str(folder)!r}), and it could not be "
            f"downloaded from {address} ({reason}). Connect to the internet and try again, or get "
            f"that file elsewhere and put it into {str(folder)!r}, or set {FOLDER_VARIABLE} to a "
            f"folder that holds multi30k/{name}."
        ) from error
    finally:
        logger.setLevel(level)
    return path


def _has_digest(path: Path, digest: str) -> bool:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == digest
    except OSError:
        return False


def _first_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."


def _read(path: Path) -> list[str]:
    """The lines of a checked file. Only a line feed ends a line: other breaks are text."""
    try:
        text = gzip.decompress(path.read_bytes()).decode("utf-8")
    except (OSError, EOFError, zlib.error) as error:
        raise DataUnavailableError(f"{str(path)!r} cannot be read ({error}); delete it") from error
    return text.removesuffix("\n").split("\n")
