"""The command line: what goes in and out, exit codes, and what a reader is told."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from tiny_text import raw_pairs, save_translator, small_multi30k, tiny_translator

from utils import checkpoints
from utils import translator as translator_module
from utils.checkpoints import load_model
from utils.commands import translate as translate_module
from utils.commands.files import decoded_lines, read_lines
from utils.commands.main import main
from utils.datasets import multi30k
from utils.history import ProgressBar
from utils.translator import load_translator

ROOT = Path(__file__).resolve().parents[1]
SMALL = [
    *("--set", "train_size=48"), *("--set", "validation_size=8"),
    *("--set", "hidden_size=8"), *("--set", "embedding_size=6"),
]  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved tiny translator."""
    return save_translator(tmp_path_factory.mktemp("models") / "tiny", tiny_translator())


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch):
    """A function that sets what stdin gives."""

    def give(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return give


def one_line(text: str) -> str:
    """The one line on stderr that says what went wrong."""
    assert text.startswith("error: ") and text.count("\n") == 1, text
    return text


def start(*arguments: object, **streams: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "utils", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # a shell that runs tests in the background ignores Ctrl-C, and children inherit that
        preexec_fn=_heed_interrupts if os.name == "posix" else None,
        **streams,
    )


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


# --- translate ------------------------------------------------------------------------------------

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


# --- models that are not there, or damaged --------------------------------------------------------


def copy_of(model: Path, folder: Path) -> Path:
    folder.mkdir()
    for path in model.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.mark.parametrize("command", [["translate"], ["evaluate", "--split", "test"]])
def test_a_missing_model_lists_the_nearest(
    command, model, tmp_path, monkeypatch, stdin, capsys
) -> None:
    small_multi30k(tmp_path / "data", monkeypatch)
    monkeypatch.setattr(translator_module, "MODELS", model.parent)
    stdin(b"a\n")
    assert main([*command, "--model", "tinny"]) == 1
    found = capsys.readouterr()
    assert "no model 'tinny'" in one_line(found.err) and found.err.rstrip().endswith(": tiny")
    assert found.out == ""


def test_a_damaged_model_says_how(model, tmp_path, stdin, capsys) -> None:
    stdin(b"a\n")
    truncated = copy_of(model, tmp_path / "truncated")
    weights = next(truncated.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-10])
    assert main(["translate", "--model", str(truncated)]) == 1
    assert "is truncated or replaced" in one_line(capsys.readouterr().err)

    changed = copy_of(model, tmp_path / "changed")
    weights = next(changed.glob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert main(["translate", "--model", str(changed)]) == 1
    assert "SHA-256" in one_line(capsys.readouterr().err)

    index = copy_of(model, tmp_path / "index") / "model.json"
    content = json.loads(index.read_text())
    content["vocabularies"]["source"]["sha256"] = "0" * 64
    index.write_text(json.dumps(content))
    assert main(["translate", "--model", str(index.parent)]) == 1
    assert "the subword model is damaged" in one_line(capsys.readouterr().err)

    index.write_text(index.read_text()[:100])
    assert main(["translate", "--model", str(index.parent)]) == 1
    assert "not valid JSON" in one_line(capsys.readouterr().err)


# --- evaluate -------------------------------------------------------------------------------------


def test_evaluate_prints_one_json_object(model, tmp_path, capsys) -> None:
    translator = load_translator(model)
    source = raw_pairs(6, seed=4).source
    expected = [each.text for each in translator.translate(source, beam_size=2)]
    (tmp_path / "a.txt").write_text("\n".join(source) + "\n")
    (tmp_path / "b.txt").write_text("\n".join(expected) + "\n")
    kept = tmp_path / "kept.txt"
    arguments = ["evaluate", "--model", str(model), "--source", str(tmp_path / "a.txt")]
    arguments += ["--reference", str(tmp_path / "b.txt"), "--beam", "2"]
    assert main([*arguments, "--translations", str(kept)]) == 0
    found = capsys.readouterr()
    assert found.err == ""
    result = json.loads(found.out)
    assert (result["bleu"], result["chrf"]) == (100.0, 100.0)
    assert (result["sentences"], result["beam_size"]) == (6, 2)
    assert result["sentences_per_second"] > 0
    assert "case:mixed" in result["bleu_signature"] and "tok:13a" in result["bleu_signature"]
    assert "nc:6" in result["chrf_signature"]
    assert kept.read_text().splitlines() == expected


def test_evaluate_takes_a_split_or_compressed_files(model, tmp_path, monkeypatch, capsys) -> None:
    folder = small_multi30k(tmp_path, monkeypatch) / "multi30k"
    options = ["evaluate", "--model", str(model), "--beam", "1"]
    assert main([*options, "--split", "test"]) == 0
    first = json.loads(capsys.readouterr().out)
    names = [folder / f"test_2016_flickr.{language}.gz" for language in ("de", "en")]
    assert main([*options, "--source", str(names[0]), "--reference", str(names[1])]) == 0
    second = json.loads(capsys.readouterr().out)
    assert first["sentences"] == 5
    assert {k: v for k, v in first.items() if "second" not in k} == {
        k: v for k, v in second.items() if "second" not in k
    }
    names[0].write_bytes(names[0].read_bytes()[:-9])
    assert main([*options, "--source", str(names[0]), "--reference", str(names[1])]) == 1
    assert "truncated" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--source", "two.txt", "--reference", "one.txt"], 1, "has 2 lines and .* has 1"),
        (["--source", "none.txt", "--reference", "one.txt"], 1, "none.txt.*No such file"),
        (["--source", "empty.txt", "--reference", "empty.txt"], 1, "has no lines"),
        (["--source", "one.txt"], 2, "belong together"),
        (["--reference", "one.txt", "--split", "test"], 2, "--split instead of both"),
        ([], 2, "give --source and --reference"),
        (["--source", "one.txt", "--reference", "one.txt", "--beam", "0"], 2, "--beam must be"),
        (["--source", "one.txt", "--reference", "one.txt", "--device", "gpu"], 2, "unknown device"),
    ],
)
def test_evaluate_refuses(options, code, message, model, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in (("one.txt", "a\n"), ("two.txt", "a\nb\n"), ("empty.txt", "")):
        (tmp_path / name).write_text(text)
    assert main(["evaluate", "--model", str(model), *options]) == code
    found = capsys.readouterr()
    assert re.search(message, one_line(found.err))
    assert found.out == ""


def test_lines_of_bytes() -> None:
    raw = [b"\xef\xbb\xbfa\r\n", b"\xef\xbb\xbfb\n", b"c\r\r\n", b"\r", b"d"]
    assert list(decoded_lines(raw)) == ["a", "\ufeffb", "c\r", "", "d"]


def test_a_folder_is_not_a_file(tmp_path) -> None:
    with pytest.raises(OSError, match="cannot be read"):
        read_lines(tmp_path)


# --- train ----------------------------------------------------------------------------------------


def train(*arguments: object) -> int:
    return main(["train", *map(str, arguments)])


def test_train_saves_a_model_that_translates(tmp_path, capsys, stdin) -> None:
    output = tmp_path / "model"
    options = ["grammar-bahdanau", "--output", output, "--epochs", 2, "--seed", 5, *SMALL]
    assert train(*options, "--progress", "none") == 0
    found = capsys.readouterr()
    scores = json.loads(found.out)["validation"]
    assert {"validation_loss", "exact_match", "bleu"} <= scores.keys()
    assert "grammar-bahdanau: saved in" in found.err

    card = load_model(output).card
    assert card["scores"]["validation"] == scores
    assert card["command"] == (
        "python -m utils train grammar-bahdanau --set train_size=48 --set validation_size=8 "
        "--set hidden_size=8 --set embedding_size=6 --seed 5 --epochs 2"
    )
    assert {"licence", "source"} <= card["data"].keys()
    assert card["machine"]["threads"] == 1 and card["commit"] and card["date"]
    assert card["training"]["epochs"] == 2 and card["training"]["seconds"] > 0
    lines = [json.loads(line) for line in (output / "history.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert {"train_loss", "validation_loss", "seconds", "tokens_per_second"} <= lines[0].keys()
    left = sorted(path.name.split("-")[0] for path in output.iterdir())
    assert left == ["history.jsonl", "model.json", "weights"]

    assert train(*options, "--resume") == 0
    assert "already trained" in capsys.readouterr().err
    assert train(*options, "--resume", "--set", "dropout=0.25") == 2
    assert "with other settings" in one_line(capsys.readouterr().err)
    assert train(*options) == 2
    assert "already holds a model" in one_line(capsys.readouterr().err)
    before = (output / "model.json").read_text()
    assert train(*options, "--replace", "--set", "dropout=0.25", "--progress", "none") == 0
    assert (output / "model.json").read_text() != before
    stdin(b"the girl reads .\n")
    assert main(["translate", "--model", str(output), "--beam", "1"]) == 0


def test_weights_are_stored_in_half_precision_and_scored_like_that(tmp_path, capsys) -> None:
    assert train("grammar-fixed", "--output", tmp_path / "m", "--epochs", 1, *SMALL) == 0
    saved = load_model(tmp_path / "m")
    assert {str(value.dtype) for value in saved.state_dict.values()} == {"torch.float16"}
    assert saved.card["weights"] == "float16"


class Killed(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("preset", ["grammar-luong-feeding", "multi30k-bahdanau"])
def test_a_stopped_run_goes_on_as_if_never_stopped(preset, tmp_path, monkeypatch, capsys) -> None:
    small_multi30k(tmp_path / "data", monkeypatch, train=48)
    options = [preset, "--epochs", 3, "--progress", "none", "--set", "dropout=0.2"]
    if preset.startswith("multi30k"):
        for change in ("source_pieces=110", "target_pieces=110", "hidden_size=8"):
            options += ["--set", change]
        for change in ("embedding_size=6", "readout_size=6", "subword_dropout=0.1"):
            options += ["--set", change]
    else:
        options += SMALL
    assert train(*options, "--output", tmp_path / "whole") == 0

    updates = ProgressBar.update
    calls = 0

    def stop(self: ProgressBar, **values: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        updates(self, **values)

    stopped = tmp_path / "stopped"
    monkeypatch.setattr(ProgressBar, "update", stop)
    assert train(*options, "--output", stopped) == 130
    assert "the same command with --resume goes on" in capsys.readouterr().err
    monkeypatch.setattr(ProgressBar, "update", updates)
    assert (stopped / "training" / "history.jsonl").read_text().count("\n") >= 1
    assert train(*options, "--output", stopped) == 2
    assert "add --resume" in one_line(capsys.readouterr().err)
    assert train(*options, "--output", stopped, "--resume") == 0

    whole, resumed = (load_model(tmp_path / name) for name in ("whole", "stopped"))
    assert whole.state_dict.keys() == resumed.state_dict.keys()
    for name, value in whole.state_dict.items():
        assert value.equal(resumed.state_dict[name]), name
    histories = [
        [json.loads(line)["train_loss"] for line in (folder / "history.jsonl").open()]
        for folder in (tmp_path / "whole", stopped)
    ]
    assert histories[0] == histories[1] and len(histories[0]) == 3


def test_both_stages_of_hard_attention_are_trained(tmp_path, capsys) -> None:
    options = ["--set", "train_size=32", "--set", "test_size=4", "--set", "hidden_size=8"]
    assert train("scenes-hard", "--output", tmp_path / "m", "--epochs", 1, *options) == 0
    lines = [json.loads(line) for line in (tmp_path / "m" / "history.jsonl").open()]
    assert [(line["stage"], line["epoch"]) for line in lines] == [(1, 1), (2, 1)]
    assert load_model(tmp_path / "m").vocabularies.keys() == {"caption"}


def test_progress_as_lines_names_the_preset(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(ProgressBar, "seconds_between_lines", 0.0)
    options = ["--output", tmp_path / "m", "--epochs", 1, *SMALL, "--progress", "lines"]
    assert train("grammar-luong", *options) == 0
    lines = capsys.readouterr().err.splitlines()
    steps = [line for line in lines if "step" in line]
    assert len(steps) >= 2
    assert re.fullmatch(
        r"grammar-luong: epoch 1/1, step 1/2, loss [\d.]+, [\d,]+ tokens/s, \d\d:\d\d left",
        steps[0],
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["multi30k-bahdana"], "did you mean multi30k-bahdanau"),
        (["grammar-fixed", "--set", "dropot=1"], "no setting 'dropot'; nearest: dropout"),
        (["grammar-fixed", "--set", "dropout"], "NAME=VALUE, not 'dropout'"),
        (["grammar-fixed", "--epochs", "0"], "epochs must be an integer of at least 1"),
        (["grammar-fixed", "--device", "cuda:99"], "device 'cuda:99'"),
        (["grammar-fixed", "--threads", "0"], "--threads must be at least 1"),
    ],
)
def test_train_refuses(arguments, message, tmp_path, capsys) -> None:
    assert train(*arguments, "--output", tmp_path / "m") == 2
    assert message in one_line(capsys.readouterr().err)
    assert not (tmp_path / "m").exists()


def test_without_data_and_network_train_says_how_to_get_it(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(multi30k, "ADDRESS", "http://127.0.0.1:9")
    monkeypatch.setenv(multi30k.FOLDER_VARIABLE, str(tmp_path))
    assert train("multi30k-fixed", "--output", tmp_path / "m") == 1
    assert "train.de.gz is not there" in one_line(capsys.readouterr().err)


def test_a_diverging_run_is_one_line(tmp_path, capsys) -> None:
    options = ["--set", "learning_rate=1e30", "--set", "clip_norm=1e30", "--epochs", 3]
    options += ["--set", "warmup_steps=0"]
    output = tmp_path / "m"
    assert train("grammar-fixed", "--output", output, *options, *SMALL, "--progress", "none") == 1
    assert "is not finite" in capsys.readouterr().err.splitlines()[-1]


def test_tensorboard_is_optional(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    options = ["--output", tmp_path / "m", "--tensorboard", tmp_path / "board", *SMALL]
    assert train("grammar-fixed", "--epochs", 1, *options) == 2
    assert "pip install tensorboard" in capsys.readouterr().err


def test_tensorboard_gets_the_curves(tmp_path, capsys, monkeypatch) -> None:
    import types

    written = []

    class Writer:
        def __init__(self, folder: Path) -> None:
            self.folder = folder

        def __enter__(self):
            return self

        def __exit__(self, *_: object) -> None:
            written.append("closed")

        def add_scalar(self, name: str, value: float, epoch: int) -> None:
            written.append((name, epoch))

        def flush(self) -> None:
            pass

    stand_in = types.ModuleType("torch.utils.tensorboard")
    stand_in.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", stand_in)
    options = ["--output", tmp_path / "m", "--tensorboard", tmp_path / "board", *SMALL]
    assert train("grammar-fixed", "--epochs", 2, *options) == 0
    assert ("validation_loss", 1) in written and ("train_loss", 2) in written
    assert written[-1] == "closed"


# --- help -----------------------------------------------------------------------------------------


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


def test_the_entries_of_a_line_in_parts_share_its_number() -> None:
    translator = tiny_translator()
    whole = translator.translate(["The girl. " * 40], beam_size=1)[0]
    found = translate_module.entries(7, whole)
    assert [entry["line"] for entry in found] == [7] * len(whole.parts or [whole])
