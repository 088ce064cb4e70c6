"""`translate` holds a window of its input, never the whole.

Few lines by default; `ATTENTION_BOOK_LINES=100000 pytest tests/test_translate_memory.py -s` takes
two minutes.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_text import raw_pairs, save_translator, tiny_translator

ROOT = Path(__file__).resolve().parents[1]
LINES = int(os.environ.get("ATTENTION_BOOK_LINES", "1500"))
LIMIT = 1.5e9  # bytes


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="needs wait4")
def test_memory_does_not_grow_with_the_input(tmp_path: Path) -> None:
    save_translator(tmp_path / "m", tiny_translator())
    sentences = raw_pairs(50, seed=8).source
    text = tmp_path / "in.txt"
    with open(text, "w", encoding="utf-8") as file:
        file.writelines(sentences[number % 50] + "\n" for number in range(LINES))

    peaks = []
    for lines in (LINES // 3, LINES):
        part = tmp_path / "part.txt"
        with open(text, encoding="utf-8") as whole, open(part, "w", encoding="utf-8") as file:
            file.writelines(line for _, line in zip(range(lines), whole, strict=False))
        command = [sys.executable, "-m", "utils", "translate", "--model", tmp_path / "m"]
        with open(part, "rb") as source, open(tmp_path / "out.txt", "wb") as output:
            process = subprocess.Popen(
                [*command, "--beam", "1"], cwd=ROOT, stdin=source, stdout=output
            )
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        assert (tmp_path / "out.txt").read_bytes().count(b"\n") == lines
        unit = 1 if sys.platform == "darwin" else 1024
        peaks.append(usage.ru_maxrss * unit)
    print(f"peak memory: {peaks[0] / 1e6:.0f} MB, then {peaks[1] / 1e6:.0f} MB, {LINES} lines")
    assert max(peaks) <= LIMIT
    assert peaks[1] < 1.2 * peaks[0]
