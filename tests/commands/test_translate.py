"""`translate`: any bytes in, as many lines out, and nothing lost when something goes wrong."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from running import one_line, start
from tiny_text import raw_pairs, tiny_translator

from utils import checkpoints
from utils import translator as translator_module
from utils.commands import translate as translate_module
from utils.commands.main import main

HOSTILE = {
    "plain": b"The girl reads.\nThe boy sleeps.\n",
    "no line end at the end": b"The girl reads.\nThe boy",
    "empty lines": b"\n\nThe girl.\n\n",
    "nothing": b"",
    "windows": b"The girl reads.\r\n\r\nThe boy.\r\n",
    "byte order mark": b"\xef\xbb\xbfThe girl reads.\n",
    "invalid": b"\xff\xfe\x80 girl \xc3\n\xf0\x9f\n",
    "zero bytes and controls": b"The\x00girl\x1b[31m reads\x0b.\n\x00\n",
    "emoji and scripts": "🙂👩‍👩‍👧 女の子 девочка بنت\n\u2028\u2029\n".encode(),
    "old line ends": b"one\rtwo\x0cthree\x85four\n",
    "a thousand words": b"girl " * 1000 + b"\nThe boy.\n",
    "one endless word": b"x" * 3000 + b"\n",
    "special symbols": "<eos> <pad> <bos> <unk> ▁\n".encode(),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_there_are_as_many_lines_out_as_in(name, model, stdin, capsysbinary, monkeypatch) -> None:
    monkeypatch.setattr(translator_module, "LONGEST_SOURCE", 64)  # untrained: never ends by itself
    data = HOSTILE[name]
    stdin(data)
    assert main(["translate", "--model", str(model), "--beam", "1"]) == 0
    found = capsysbinary.readouterr()
    assert found.err == b""
    lines = data.count(b"\n") + (not data.endswith(b"\n") and data != b"")
    assert found.out.count(b"\n") == lines
    assert found.out == b"" or found.out.endswith(b"\n")
    found.out.decode("utf-8")
    assert b"\r" not in found.out


def test_an_empty_line_stays_empty_and_line_ends_do_not_matter(model, stdin, capsysbinary) -> None:
    outputs = []
    for end in (b"\n", b"\r\n"):
        stdin(end.join([b"The girl reads.", b"", b" ", b"The boy."]) + end)
        assert main(["translate", "--model", str(model)]) == 0
        outputs.append(capsysbinary.readouterr().out)
    assert outputs[0] == outputs[1]
    assert outputs[0].split(b"\n")[1:3] == [b"", b""]
    assert outputs[0].split(b"\n")[0] != b""


def test_the_beam_and_the_batch(model, stdin, capsysbinary) -> None:
    text = "\n".join(raw_pairs(5, seed=4).source).encode()
    outputs = {}
    for options in ((), ("--beam", "1"), ("--batch-size", "1"), ("--beam", "5")):
        stdin(text)
        assert main(["translate", "--model", str(model), *options]) == 0
        outputs[options] = capsysbinary.readouterr().out
    assert outputs[()] == outputs["--batch-size", "1"] == outputs["--beam", "5"]
    assert outputs[()] != outputs["--beam", "1"]


def test_attention_is_written_for_every_line(
    model, stdin, capsysbinary, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(translator_module, "LONGEST_SOURCE", 40)
    path = tmp_path / "looks.json"
    stdin("The girl reads.\n\nLa fille 🙂\n".encode() + b"The boy sleeps. " * 30)
    arguments = ["translate", "--model", str(model), "--beam", "2", "--attention", str(path)]
    assert main(arguments) == 0
    entries = json.loads(path.read_text(encoding="utf-8"))
    numbers = [entry["line"] for entry in entries]
    assert numbers[:3] == [1, 2, 3] and set(numbers[3:]) == {4} and len(numbers) > 4
    assert entries[1]["weights"] is None and entries[1]["source"] == []
    for entry in entries[:1] + entries[2:]:
        assert len(entry["weights"]) == len(entry["target"])
        assert all(len(row) == len(entry["source"]) for row in entry["weights"])
        assert all(abs(sum(row) - 1) < 0.01 for row in entry["weights"])
    lines = capsysbinary.readouterr().out.decode().splitlines()
    assert entries[0]["translation"] == lines[0]
    stdin(b"")
    assert main(arguments) == 0
    assert json.loads(path.read_text()) == []


def test_a_typed_line_is_answered_before_the_next(model, monkeypatch, capsysbinary) -> None:
    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    ahead = []
    stream = translator_module.Translator.stream

    def spy(self, lines, **options):
        ahead.append(options["look_ahead"])
        return stream(self, lines, **options)

    monkeypatch.setattr(translator_module.Translator, "stream", spy)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Terminal(b"The girl.\n")))
    assert main(["translate", "--model", str(model)]) == 0
    assert ahead == [1]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line(model) -> None:
    with open("/dev/full", "wb") as full:
        process = start("translate", "--model", model, "--beam", "1", stdout=full)
        _, errors = process.communicate(b"The girl.\nThe boy.\n", timeout=600)
    assert process.returncode == 1
    assert "could not write line 1 (No space left on device)" in one_line(errors.decode())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_under_the_attention_loses_no_translation(
    model, stdin, capsysbinary, tmp_path, monkeypatch
) -> None:
    looks = tmp_path / "looks.json"
    looks.write_text("older")
    text = "".join(line + "\n" for line in raw_pairs(40, seed=4).source)

    def open_full(path, mode, **keywords):
        with open(path, mode, **keywords):  # the temporary file appears, its bytes find no room
            return open("/dev/full", mode.replace("x", "w"), **keywords)

    for buffering in (1, -1):  # full while a line is written, and full only at the end
        monkeypatch.setattr(
            checkpoints, "open", partial(open_full, buffering=buffering), raising=False
        )
        stdin(text.encode())
        command = ["translate", "--model", str(model), "--beam", "1", "--attention", str(looks)]
        assert main(command) == 1
        found = capsysbinary.readouterr()
        assert found.out.count(b"\n") == 40
        message = one_line(found.err.decode())
        assert f"could not write '{looks}' (No space left on device)" in message
    assert [path.name for path in tmp_path.iterdir()] == ["looks.json"]
    assert looks.read_text() == "older"


def test_a_reader_that_leaves_is_no_error(model) -> None:
    process = start("translate", "--model", model, "--beam", "1", stdout=subprocess.PIPE)
    process.stdout.close()  # as `head` does when it has seen enough
    _, errors = process.communicate(b"The girl.\n" * 2000, timeout=600)
    assert process.returncode == 1
    assert errors == b""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGINT")
def test_ctrl_c_leaves_whole_lines_and_a_whole_file(model, tmp_path) -> None:
    looks, output = tmp_path / "looks.json", tmp_path / "out.txt"
    with open(output, "wb") as file:
        process = start(
            "translate", "--model", model, "--beam", "1", "--attention", looks, stdout=file
        )
        process.stdin.write(b"The girl reads.\n" * 513)  # and the 514th never comes
        process.stdin.flush()
        deadline = time.monotonic() + 600
        while output.read_bytes().count(b"\n") < 512 and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        errors = process.stderr.read().decode()
        assert process.wait(timeout=600) == 130
    process.stdin.close()
    process.stderr.close()
    assert "interrupted; the lines written so far are whole" in one_line(errors)
    text = output.read_bytes()
    assert text.count(b"\n") == 512 and text.endswith(b"\n")
    assert len(json.loads(looks.read_text())) == 512


def test_a_full_disk_under_any_other_file_is_said(monkeypatch, capsys) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(translate_module, "open_translator", full)
    assert main(["translate", "--model", "any"]) == 1
    assert "the disk is full: free some space" in one_line(capsys.readouterr().err)


def test_the_entries_of_a_line_in_parts_share_its_number() -> None:
    translator = tiny_translator()
    whole = translator.translate(["The girl. " * 40], beam_size=1)[0]
    found = translate_module.entries(7, whole)
    assert [entry["line"] for entry in found] == [7] * len(whole.parts or [whole])
