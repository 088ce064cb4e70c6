"""The page's engine: the trained models of this book in plain JavaScript.

Classic scripts without modules, requests or `eval`, so that they also run from a double click. They
fill `globalThis.attentionBook` with `load`, `renderScene`, `scenePixels`, `describeScene` and
`sceneParts`; the models they load are written by `utils.exporting`.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
FILES = (
    "tensors.js",
    "recurrent.js",
    "attention.js",
    "decoders.js",
    "captioning.js",
    "words.js",
    "search.js",
    "models.js",
    "scenes.js",
)
"""In the order in which they must run."""


def engine_script() -> str:
    """The whole engine as one script, without its comment lines and indentation."""
    lines = [
        line.strip()
        for name in FILES
        for line in (FOLDER / name).read_text(encoding="utf-8").splitlines()
    ]
    return "\n".join(line for line in lines if line and not line.startswith("//")) + "\n"
