"""What a command says when it cannot do its work: one line on stderr, and an exit code.

0  done
1  it could not be done: a file that is missing, damaged or unreadable, a full disk, no network
2  the command line is wrong: an option, a preset or a setting that does not exist
130  interrupted by Ctrl-C
"""

from __future__ import annotations

import errno
import os
import sys

DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130


class UsageError(ValueError):
    """The command line asks for something that does not exist or contradicts itself."""


def complain(message: object, code: int) -> int:
    """Write one line on stderr, whatever the message holds, and return the code."""
    print(f"error: {' '.join(str(message).split())}", file=sys.stderr, flush=True)
    return code


def describe(error: BaseException) -> str:
    """An error in words; for one of the system, which file and what to do."""
    if isinstance(error, OSError) and error.errno is not None and not str(error.args[0]).strip():
        return os.strerror(error.errno)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
        return "the disk is full: free some space and start the command again"
    return str(error) or type(error).__name__
