"""What a command says when it cannot do its work: one line on stderr, and an exit code.

0  done
1  it could not be done: a file that is missing, damaged or unreadable, a full disk, no network
2  the command line is wrong: an option, a preset or a setting that does not exist
130  interrupted by Ctrl-C
"""

from __future__ import annotations

import errno
import sys

import torch

from utils.runtime import select_device

DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130


class UsageError(ValueError):
    """The command line asks for something that does not exist or contradicts itself."""


def chosen_device(name: str) -> torch.device:
    """The device that ``--device`` names.

    Raises:
        UsageError: there is no such device, here or anywhere.
    """
    try:
        return select_device(name)
    except (ValueError, RuntimeError) as error:
        raise UsageError(error) from error


def complain(message: object, code: int) -> int:
    """Write one line on stderr, whatever the message holds, and return the code."""
    print(f"error: {' '.join(str(message).split())}", file=sys.stderr, flush=True)
    return code


def describe(error: BaseException) -> str:
    """An error in words."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
        return "the disk is full: free some space and start the command again"
    if isinstance(error, OSError) and error.strerror:  # without Python's "[Errno 28]"
        place = "" if error.filename is None else f": {str(error.filename)!r}"
        return error.strerror + place
    return str(error) or type(error).__name__
