"""`evaluate`: one JSON object, and what it refuses; also missing and damaged models and files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from running import one_line
from tiny_text import raw_pairs, small_multi30k

from utils import translator as translator_module
from utils.commands.files import decoded_lines, read_lines
from utils.commands.main import main
from utils.translator import load_translator


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
