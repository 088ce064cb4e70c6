"""The command line as a whole: help that teaches, wrong options, exit codes."""

from __future__ import annotations

import subprocess
import sys

import pytest
from running import ROOT, one_line, start

from utils.commands.main import main


@pytest.mark.parametrize(
    ("command", "parts"),
    [
        ([], ["train", "translate", "evaluate", "exit codes", "U+FFFD", "full disk", "Ctrl-C"]),
        (["train"], ["multi30k-bahdanau", "--resume", "examples:", "ATTENTION_BOOK_DATA"]),
        (["translate"], ["--attention", "examples:", "< german.txt"]),
        (["evaluate"], ["--split", "examples:", "BLEU"]),
    ],
)
def test_help_teaches(command, parts, capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*command, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for part in parts:
        assert part in text
    assert max(map(len, text.splitlines())) <= 100


def test_a_wrong_option_is_exit_code_2(capsys) -> None:
    for arguments in (["fly"], ["translate"], ["train", "grammar-fixed", "--speed", "9"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        found = capsys.readouterr()
        assert " --help`" in one_line(found.err) and found.out == ""


def test_python_m_utils_is_this_command_line() -> None:
    process = start("translate", "--model", "no such thing", stdout=subprocess.PIPE)
    output, errors = process.communicate(b"a\n", timeout=600)
    assert (process.returncode, output) == (1, b"")
    one_line(errors.decode())


def test_an_interrupt_while_loading_is_one_line(tmp_path) -> None:
    program = (
        "import runpy, builtins\n"
        "real = builtins.__import__\n"
        "def stop(name, *rest, **named):\n"
        "    if name == 'utils.commands.main': raise KeyboardInterrupt\n"
        "    return real(name, *rest, **named)\n"
        "builtins.__import__ = stop\n"
        "runpy.run_module('utils.__main__', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (130, "error: interrupted\n")
