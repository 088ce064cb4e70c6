"""Lines in and lines out: any bytes in, whole lines out, never more in memory than needed."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from pathlib import Path


def decoded_lines(raw: Iterable[bytes]) -> Iterator[str]:
    """Lines of bytes as text without their ends.

    Only a line feed ends a line, so that there are as many as other tools count; a carriage
    return before it goes too. Bytes that are not UTF-8 become U+FFFD. A byte order mark at the
    very beginning is dropped.
    """
    for number, line in enumerate(raw):
        if number == 0:
            line = line.removeprefix(b"\xef\xbb\xbf")
        yield line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", errors="replace")


def read_lines(path: Path) -> list[str]:
    """All lines of a file, which may be compressed (``.gz``).

    Raises:
        OSError: it cannot be read; the message names it.
    """
    try:
        opened = gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb")
        with opened as file:
            return list(decoded_lines(file))
    except EOFError as error:
        raise OSError(f"{str(path)!r} is truncated ({error})") from error
    except OSError as error:
        raise OSError(f"{str(path)!r} cannot be read: {error.strerror or error}") from error
