"""Photographs with captions in the Karpathy JSON format, on a small set made here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pytest import approx

from utils.captioning_loss import CaptionLoss
from utils.datasets.batching import BucketedBatches
from utils.datasets.photographs import Photographs, read_karpathy_json, read_photograph
from utils.metrics import bleu_against_any
from utils.models.captioning import CaptioningConfig, build_captioning_model
from utils.training import fit
from utils.training_config import TrainingConfig

CAPTIONS = {
    "one.png": ["a dog on a floor", "a brown dog"],
    "two.jpg": ["a red sign"],
    "three.png": ["a boat in the water"],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures of different shape and mode, and their captions."""
    generator = np.random.default_rng(0)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name, size, mode in zip(CAPTIONS, [(40, 64), (64, 40), (33, 33)], ("RGB", "L", "RGBA"),
                                strict=True):  # fmt: skip
        pixels = generator.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).convert(mode).save(pictures / name)
    write(tmp_path, entries())
    return tmp_path


def entries() -> dict:
    splits = dict(zip(CAPTIONS, ("train", "restval", "test"), strict=True))
    return {
        "dataset": "tiny",
        "images": [
            {
                "filename": name,
                "split": splits[name],
                "imgid": number,
                "sentences": [{"tokens": text.split(), "raw": text} for text in texts],
            }
            for number, (name, texts) in enumerate(CAPTIONS.items())
        ],
    }


def write(folder: Path, content: object) -> Path:
    path = folder / "captions.json"
    path.write_text(json.dumps(content))
    return path


def load(folder: Path, **changes) -> Photographs:
    options = {"image_size": 32, "splits": ("train", "restval")} | changes
    return Photographs(folder / "pictures", folder / "captions.json", **options)


def test_entries_are_captions_and_share_their_picture(folder: Path) -> None:
    data = load(folder)
    assert data.captions == [tuple(t.split()) for n in ("one.png", "two.jpg") for t in CAPTIONS[n]]
    assert data.image_indices == [0, 0, 1]
    assert (data.image(0) == data.image(1)).all() and data.image(0).shape == (32, 32, 3)
    assert data.references(1) == data.captions[:2]
    assert bleu_against_any(data.captions, [data.references(k) for k in range(3)]) == approx(100)
    batch = data.collate([0, 2])
    assert batch.images.shape == (2, 3, 32, 32) and 0 <= batch.images.min() <= batch.images.max()
    assert batch.images.max() <= 1


def test_other_splits_are_read_with_the_training_vocabulary(folder: Path) -> None:
    train = load(folder)
    others = {"splits": ("test",), "vocabulary": train.vocabulary}
    with pytest.raises(ValueError, match="vocabulary") as error:
        load(folder, **others)
    for named in ("three.png", "captions.json: images[2].sentences[0].tokens", "'boat'"):
        assert named in str(error.value)
    test = load(folder, **others, unknown_words="replace")
    encoded = test.collate([0]).target_output[0].tolist()
    assert encoded[0] == train.vocabulary.encode(["a"], add_eos=False)[0]
    assert encoded[1] == train.vocabulary.unk_id, "boat is no word of the training captions"
    rare = load(folder, minimum_count=2)  # what the caller chose to leave out is no mistake
    assert rare.collate([1]).target_output[0].tolist().count(rare.vocabulary.unk_id) == 1
    with pytest.raises(ValueError, match=r"one.png .*\['on', 'floor'\]"):
        load(folder, minimum_count=2, unknown_words="error")


def test_a_picture_is_cut_to_its_central_square(tmp_path: Path) -> None:
    pixels = np.zeros((16, 48, 3), dtype=np.uint8)
    pixels[:, 16:32] = 200
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    assert (read_photograph(tmp_path / "wide.png", image_size=16) == 200).all()


def test_a_picture_taken_with_the_camera_on_its_side_is_turned_upright(tmp_path: Path) -> None:
    pixels = np.zeros((16, 16, 3), dtype=np.uint8)
    pixels[:8] = 200  # the upper half of what is stored is the right half of what was seen
    notes = Image.Exif()
    notes[0x0112] = 6  # "Orientation": turn by 90 degrees clockwise
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=notes)
    upright = read_photograph(tmp_path / "turned.png", image_size=16)
    assert (upright[:, 8:] == 200).all() and (upright[:, :8] == 0).all()


def test_a_model_trains_on_photographs(folder: Path) -> None:
    data = load(folder)
    torch.manual_seed(0)
    model = build_captioning_model(
        CaptioningConfig(
            vocabulary_size=len(data.vocabulary), image_size=32, channels=(4, 8, 16),
            hidden_size=32, attention_size=16,
        )
    )  # fmt: skip
    batches = BucketedBatches(data, batch_size=3)
    history = fit(
        model, batches, None, TrainingConfig(epochs=40, learning_rate=1e-2), progress=False,
        compute_loss=CaptionLoss(),
    )  # fmt: skip
    assert history.train_loss[-1] < 0.5 * history.train_loss[0]


def test_coco_keeps_pictures_in_folders_named_by_filepath(folder: Path) -> None:
    content = entries()
    (folder / "pictures" / "train2014").mkdir()
    (folder / "pictures" / "one.png").rename(folder / "pictures" / "train2014" / "one.png")
    content["images"][0]["filepath"] = "train2014"
    write(folder, content)
    assert load(folder, splits=("train",)).paths[0].parent.name == "train2014"


# --- bad input ------------------------------------------------------------------------------------


def change(path: str, value: object = None) -> dict:
    """The entries with one field replaced, or removed if the value is None."""
    content = entries()
    *parents, last = [int(key) if key.isdigit() else key for key in path.split("/")]
    place = content
    for key in parents:
        place = place[key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "'images' is missing"),
        (change("images"), "'images' is missing"),
        (change("images", {}), "'images' is a dict, expected a list"),
        (change("images", []), "'images' is an empty list"),
        (change("images/1/filename"), r"images\[1\]: the field 'filename' is missing"),
        (change("images/1/split", 3), r"images\[1\]: the field 'split' is a int"),
        (change("images/2/sentences"), r"images\[2\]: the field 'sentences' is missing"),
        (change("images/2/sentences", []), r"images\[2\]: the field 'sentences' is an empty"),
        (change("images/0/sentences/1/tokens"), r"images\[0\].sentences\[1\].*'tokens' is missing"),
        (change("images/0/sentences/1/tokens", []), r"sentences\[1\]: 'tokens' must be"),
        (change("images/0/sentences/1/tokens", [1]), r"sentences\[1\]: 'tokens' must be"),
        (change("images/0/sentences/1/tokens", ["a", ""]), r"sentences\[1\]: .*\['a', ''\]"),
        (change("images/0/sentences/1/tokens", ["a dog"]), r"sentences\[1\]: .*white space"),
        (change("images/0/filename", "../secret.png"), "leaves the folder"),
    ],
)
def test_a_json_without_the_expected_fields_is_named(folder, content, message) -> None:
    path = write(folder, content)
    with pytest.raises(ValueError, match=message) as error:
        read_karpathy_json(path)
    assert "captions.json" in str(error.value)


def test_files_that_are_missing_or_not_json_are_named(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing.json"):
        read_karpathy_json(folder / "nothing.json")
    (folder / "captions.json").write_text("{")
    with pytest.raises(ValueError, match="captions.json: not JSON"):
        load(folder)
    with pytest.raises(FileNotFoundError, match="elsewhere"):
        Photographs(folder / "elsewhere", folder / "captions.json", image_size=32)
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match="empty: the folder of photographs is empty"):
        Photographs(folder / "empty", folder / "captions.json", image_size=32)


def test_a_missing_picture_is_named(folder: Path) -> None:
    (folder / "pictures" / "two.jpg").unlink()
    with pytest.raises(FileNotFoundError, match="two.jpg.*1 of 2"):
        load(folder)


def test_corrupt_files_are_found_before_training(folder: Path) -> None:
    path = folder / "pictures" / "one.png"
    whole = path.read_bytes()
    huge = whole[:16] + (100_000).to_bytes(4, "big") * 2 + whole[24:]  # Pillow fears a bomb
    netpbm = b"P6 4^ 40 255\n" + bytes(100)  # Pillow's int() fails on 4^, and names no file
    for broken in (b"", b"not a picture", whole[: len(whole) // 2], huge, netpbm):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match="one.png: cannot be read"):
            load(folder)
    load(folder, check_files=False)  # the caller's choice: found when a batch needs it
    with pytest.raises(ValueError, match="one.png: cannot be read"):
        load(folder, check_files=False).collate([0])


def test_pictures_of_another_mode_or_size_are_named(folder: Path) -> None:
    path = folder / "pictures" / "one.png"
    Image.fromarray(np.zeros((16, 16), dtype=np.uint16)).save(path)
    with pytest.raises(ValueError, match="one.png: mode I;16"):
        load(folder)
    Image.new("RGB", (4, 40)).save(path)
    with pytest.raises(ValueError, match=r"one.png: \(4, 40\) pixels"):
        load(folder)


def test_bad_choices_are_named(folder: Path) -> None:
    with pytest.raises(ValueError, match="image_size=0"):
        load(folder, image_size=0)
    with pytest.raises(ValueError, match=r"splits=\('dev',\)"):
        load(folder, splits=("dev",))
    with pytest.raises(ValueError, match=r"no images of split \('val',\).*'test'"):
        load(folder, splits=("val",))
    with pytest.raises(ValueError, match="unknown_words='drop'"):
        load(folder, unknown_words="drop")


def test_a_picture_that_breaks_during_training_loses_no_checkpoint(folder: Path) -> None:
    data = load(folder)
    batches = BucketedBatches(data, batch_size=1)
    config = CaptioningConfig(
        vocabulary_size=len(data.vocabulary), image_size=32, channels=(2, 2, 2), hidden_size=4
    )
    training = TrainingConfig(epochs=3, seed=1)

    class Breaking:
        """Batches whose second epoch meets a file that broke after the check."""

        def set_epoch(self, epoch: int) -> None:
            batches.set_epoch(epoch)
            if epoch == 1 and not mended:
                (folder / "pictures" / "one.png").write_bytes(b"")

        def __len__(self) -> int:
            return len(batches)

        def __iter__(self):
            return iter(batches)

    def train(directory: Path, **changes):
        torch.manual_seed(0)
        model = build_captioning_model(config)
        history = fit(
            model, Breaking(), None, training, checkpoint_directory=directory, progress=False,
            compute_loss=CaptionLoss(), **changes,
        )  # fmt: skip
        return model, history

    whole = (folder / "pictures" / "one.png").read_bytes()
    mended = False
    with pytest.raises(ValueError, match="one.png"):
        train(folder / "run")
    mended = True
    (folder / "pictures" / "one.png").write_bytes(whole)
    resumed, history = train(folder / "run", resume=True)
    straight, _ = train(folder / "other")
    assert history.epochs == 3
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
