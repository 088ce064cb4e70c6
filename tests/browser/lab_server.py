"""A real JupyterLab on 127.0.0.1 with settings of its own, and a notebook with every explorer."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from browsing import ROOT
from nbformat import v4, write

NOTEBOOK = "explorers.ipynb"
CELLS = {
    "models": """from explorer_pages import SOURCE, TARGET, lively_captioner, lively_model
from utils.explorers import explore, explore_captions, explore_cell, explore_window

model, vocabularies = lively_model("additive"), (SOURCE, TARGET)
others = {"fixed": lively_model("fixed"), "local": lively_model("local")}""",
    "translation": "explore(model, vocabularies)",
    "beside": "explore(model, vocabularies, beside=others)",
    "captions": "explore_captions(*lively_captioner())",
    "window": "explore_window()",
    "cell": "explore_cell()",
}
OPTIONS = {
    "ServerApp.ip": "127.0.0.1",
    "ServerApp.port_retries": 0,
    "ServerApp.open_browser": False,
    "ServerApp.allow_root": True,
    "IdentityProvider.token": "",
    "PasswordIdentityProvider.hashed_password": "",
    "LabApp.extension_manager": "readonly",
    "LabApp.news_url": None,
    "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
}
SETTINGS = {"apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False}}
PATIENCE = 180  # seconds; a busy machine is slow, not wrong


def free_port() -> int:
    """A port that nobody listens to."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def write_notebook(folder: Path) -> None:
    """The notebook, not executed."""
    cells = [v4.new_code_cell(source, id=name) for name, source in CELLS.items()]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    write(notebook, folder / NOTEBOOK)


def write_settings(folder: Path) -> None:
    """What a user would choose in the settings editor."""
    for name, values in SETTINGS.items():
        path = folder / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")


@contextmanager
def running_lab(folder: Path) -> Iterator[str]:
    """JupyterLab in this folder while the block lasts; gives the notebook's address.

    It reads no configuration of the user, and asks no other host for anything.
    """
    work, port = folder / "work", free_port()
    work.mkdir()
    write_notebook(work)
    write_settings(folder / "settings")
    names = "CONFIG DATA RUNTIME".split()
    own = {f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in names}
    own |= {
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "IPYTHONDIR": str(folder / "ipython"),
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, Path(__file__).parent))),
        "OMP_NUM_THREADS": "1",
    }
    chosen = [f"--{name}={value}" for name, value in OPTIONS.items()]
    command = [sys.executable, "-m", "jupyterlab", *chosen, f"--ServerApp.port={port}"]
    address = f"http://127.0.0.1:{port}"
    with (folder / "log.txt").open("w", encoding="utf-8") as log:
        server = subprocess.Popen(
            [*command, f"--ServerApp.root_dir={work}"],
            cwd=work,
            env=os.environ | own,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_for(server, f"{address}/api/status", folder / "log.txt")
            yield f"{address}/lab/tree/{NOTEBOOK}"
        finally:
            server.terminate()  # it ends its kernels
            try:
                server.wait(timeout=60)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def wait_for(server: subprocess.Popen, address: str, log: Path) -> None:
    """Ask until the server answers; its own words if it does not."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text(encoding='utf-8')[-3000:]}")
