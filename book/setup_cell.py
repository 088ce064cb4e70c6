# @title Setup: find the book's code, or fetch it { display-mode: "form" }
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY_URL = ""  # written by `make repository URL=…`, the same in every notebook
NEEDED = {  # module: package
    "torch": "torch",
    "numpy": "numpy",
    "pandas": "pandas",
    "matplotlib": "matplotlib",
    "seaborn": "seaborn",
    "sklearn": "scikit-learn",
    "safetensors": "safetensors",
    "PIL": "pillow",
    "sacrebleu": "sacrebleu",
    "sentencepiece": "sentencepiece",
    "pooch": "pooch",
    "tqdm": "tqdm",
    "ipywidgets": "ipywidgets",
    "anywidget": "anywidget",
}


def is_root(folder):
    return (folder / "_toc.yml").is_file() and (folder / "utils" / "runtime.py").is_file()


here = Path.cwd()
root = next(filter(is_root, [here, *here.parents, here / "attention-book"]), None)
if root is None:
    if not REPOSITORY_URL:
        raise RuntimeError(
            f"The book's code was not found in {here} or above it, and this copy does not know "
            "its repository's address. Open the notebook inside a clone of the book."
        )
    root = here / "attention-book"
    subprocess.run(["git", "clone", "--depth", "1", REPOSITORY_URL, str(root)], check=True)
if root not in here.parents and root != here:
    os.chdir(root / "book")  # stored results and pictures are found relative to the notebook
if str(root) not in sys.path:
    sys.path.insert(0, str(root))

# Only what is missing is installed, at the book's versions: Colab's own torch stays as it is.
missing = [name for module, name in NEEDED.items() if importlib.util.find_spec(module) is None]
if missing:
    lines = (root / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = {line.split("==")[0]: line for line in lines if "==" in line}
    packages = [pins.get(name, name) for name in missing]
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *packages], check=True)
    importlib.invalidate_caches()
