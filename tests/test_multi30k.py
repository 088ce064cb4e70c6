"""Multi30k: downloaded once, checked always, and clear when it cannot be had."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tiny_text import small_multi30k

from utils.datasets import multi30k
from utils.datasets.multi30k import DataUnavailableError, fetch, is_downloaded, load_multi30k

NOWHERE = "http://127.0.0.1:9/raw"  # nothing listens there


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder served on this machine in place of the data set's repository."""
    folder = small_multi30k(tmp_path / "server", monkeypatch) / "multi30k"
    monkeypatch.setenv(multi30k.FOLDER_VARIABLE, str(tmp_path / "cache"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(multi30k, "ADDRESS", f"http://127.0.0.1:{server.server_port}")
    yield folder
    server.shutdown()
    server.server_close()


def test_the_first_use_downloads_and_the_second_needs_no_network(
    served: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    assert not is_downloaded()
    pairs = load_multi30k("train")
    assert len(pairs) == len(pairs.target) == 40
    progress = capfd.readouterr()
    assert progress.out == ""
    assert "100%" in progress.err
    monkeypatch.setattr(multi30k, "ADDRESS", NOWHERE)
    assert load_multi30k("train") == pairs
    with pytest.raises(DataUnavailableError):
        load_multi30k("test")


def test_what_is_not_the_expected_file_is_refused_and_not_kept(served: Path) -> None:
    (served / "val.de.gz").write_bytes(gzip.compress(b"something else\n"))
    with pytest.raises(DataUnavailableError, match=r"val\.de\.gz is not there.*hash"):
        load_multi30k("validation")
    assert list(multi30k.multi30k_folder().iterdir()) == []


def test_a_damaged_file_is_downloaded_again(served: Path) -> None:
    path = fetch("val.en.gz")
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    assert fetch("val.en.gz").read_bytes() == whole


def test_offline_the_error_says_which_file_where_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multi30k, "ADDRESS", NOWHERE)
    monkeypatch.setenv(multi30k.FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(DataUnavailableError) as caught:
        load_multi30k("validation")
    message = str(caught.value)
    for part in ("val.de.gz is not there", str(tmp_path / "multi30k"), f"{NOWHERE}/val.de.gz"):
        assert part in message
    assert "Connect to the internet" in message
    assert multi30k.FOLDER_VARIABLE in message
    assert "\n" not in message
    damaged = tmp_path / "multi30k" / "val.de.gz"
    damaged.parent.mkdir(exist_ok=True)
    damaged.write_bytes(b"half")
    with pytest.raises(DataUnavailableError, match="is damaged there"):
        load_multi30k("validation")


def test_only_a_line_feed_ends_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = small_multi30k(tmp_path, monkeypatch) / "multi30k"
    data = gzip.compress("eins\u2028zwei\u0085\r\n\ndrei".encode())
    (folder / "val.de.gz").write_bytes(data)
    digests = multi30k.SHA256 | {"val.de.gz": hashlib.sha256(data).hexdigest()}
    monkeypatch.setattr(multi30k, "SHA256", digests)
    assert load_multi30k("validation").source == ["eins\u2028zwei\u0085\r", "", "drei"]


def test_a_checked_file_that_is_no_archive_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = small_multi30k(tmp_path, monkeypatch) / "multi30k"
    (folder / "val.de.gz").write_bytes(b"plain")
    digests = multi30k.SHA256 | {"val.de.gz": hashlib.sha256(b"plain").hexdigest()}
    monkeypatch.setattr(multi30k, "SHA256", digests)
    with pytest.raises(DataUnavailableError, match="cannot be read"):
        load_multi30k("validation")


def test_an_unknown_split_is_named() -> None:
    with pytest.raises(ValueError, match="'val'.*train, validation, test"):
        load_multi30k("val")


def test_without_the_variable_the_users_cache_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(multi30k.FOLDER_VARIABLE, raising=False)
    assert multi30k.multi30k_folder().parts[-2:] == ("attention-book", "multi30k")


@pytest.mark.skipif(not is_downloaded(), reason="Multi30k is not downloaded")
def test_the_real_splits_have_the_published_sizes() -> None:
    sizes = {split: len(load_multi30k(split)) for split in multi30k.SPLITS}
    assert sizes == {"train": 29_000, "validation": 1_014, "test": 1_000}
    test = load_multi30k("test")
    assert test.source[0] == "Ein Mann mit einem orangefarbenen Hut, der etwas anstarrt."
    assert test.target[0] == "A man in an orange hat starring at something."
