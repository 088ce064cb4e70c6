"""Where and how the computation runs: seeds, devices, mixed precision, random states.

Importing this module changes nothing; only calling its functions does.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy
import torch
from torch import Tensor

DEVICE_VARIABLE = "ATTENTION_BOOK_DEVICE"
"""Environment variable that replaces ``"auto"`` in `select_device`."""


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch (the CPU and every GPU) with one number.

    Args:
        seed: 0 … 2**32 - 1, the range that NumPy accepts.
    Raises:
        ValueError: the seed is not an integer in that range.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ValueError(f"seed must be an integer from 0 to 2**32 - 1, not {seed!r}")
    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)  # also seeds CUDA and MPS, lazily where they are not yet in use


def select_device(preference: str | torch.device = "auto") -> torch.device:
    """Choose the device: a CUDA GPU, else an Apple GPU (mps), else the CPU.

    Args:
        preference: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or ``"mps"``. For ``"auto"``
            the environment variable ``ATTENTION_BOOK_DEVICE`` is asked first.
    Raises:
        ValueError: the name is none of these.
        RuntimeError: the device asked for is not there.
    """
    name, origin = str(preference), "asked for"
    if name == "auto":
        name, origin = os.environ.get(DEVICE_VARIABLE) or "auto", f"asked for by {DEVICE_VARIABLE}"
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")

    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (":" in name and not index.isdecimal()):
        raise ValueError(
            f"unknown device {name!r} ({origin}); use 'auto', 'cpu', 'cuda', 'cuda:0' or 'mps'"
        )
    advice = "use 'auto' or 'cpu' to run without it"
    if kind == "cuda" and not torch.cuda.is_available():
        reason = (
            "this build of torch has no CUDA support"
            if torch.version.cuda is None
            else "torch finds no CUDA GPU or driver"
        )
        raise RuntimeError(f"device {name!r} was {origin}, but {reason}; {advice}")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise RuntimeError(
            f"device {name!r} was {origin}, but torch finds no Apple GPU (mps); {advice}"
        )
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if index and int(index) >= count:
        raise RuntimeError(
            f"device {name!r} was {origin}, but there are only {count} device(s) of this kind, "
            f"numbered from 0; {advice}"
        )
    return torch.device(name)


@dataclass(frozen=True)
class Precision:
    """How to compute on one device.

    Attributes:
        dtype: the type autocast uses for matrix products, or None for float32 throughout.
        uses_scaler: whether gradients must be scaled to stay inside float16's range.
    """

    dtype: torch.dtype | None = None
    uses_scaler: bool = False


def mixed_precision(device: torch.device | str, enabled: bool = True) -> Precision:
    """Choose the mixed precision that pays on a device.

    bfloat16 where the hardware multiplies in it: CUDA from compute capability 8.0 on, and CPUs
    with AVX512-BF16 or AMX. Older CUDA GPUs take float16 with gradient scaling. Elsewhere, and
    where `enabled` is False, float32.
    """
    device = torch.device(device)
    if not enabled:
        return Precision()
    if device.type == "cuda":
        if torch.cuda.get_device_capability(device) >= (8, 0):
            return Precision(torch.bfloat16)
        return Precision(torch.float16, uses_scaler=True)
    if device.type == "cpu" and _cpu_has_bfloat16():
        return Precision(torch.bfloat16)
    return Precision()


def _cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies matrices in bfloat16 natively; False where torch cannot say.

    torch would also emulate bfloat16 on CPUs without it, which is slower than float32.
    """
    if hasattr(torch.cpu, "get_capabilities"):
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    # Releases of torch before get_capabilities() only have this private question.
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(supported and supported())


def autocast(
    device: torch.device | str, precision: Precision
) -> AbstractContextManager[object | None]:
    """Context in which matrix products run in `precision.dtype`; does nothing for None."""
    if precision.dtype is None:
        return nullcontext()
    return torch.autocast(torch.device(device).type, dtype=precision.dtype)


def random_state() -> dict[str, Tensor]:
    """The state of every random number generator that `seed_everything` seeds.

    Returns:
        Names to uint8 vectors on the CPU, which can be stored beside weights.
    """
    state = {"torch": torch.get_rng_state()}
    version, words, gauss = random.getstate()
    state["python"] = _to_bytes([version, list(words), gauss])
    name, keys, position, has_gauss, cached = numpy.random.get_state()
    state["numpy"] = _to_bytes([name, keys.tolist(), int(position), int(has_gauss), float(cached)])
    if torch.cuda.is_available():
        for index, value in enumerate(torch.cuda.get_rng_state_all()):
            state[f"cuda.{index}"] = value
    if torch.backends.mps.is_available():
        state["mps"] = torch.mps.get_rng_state()
    return state


def set_random_state(state: Mapping[str, Tensor]) -> None:
    """Put the generators back to where `random_state` found them.

    States of GPUs that this machine does not have are passed over.
    """
    torch.set_rng_state(state["torch"])
    version, words, gauss = _from_bytes(state["python"])
    random.setstate((version, tuple(words), gauss))
    name, keys, position, has_gauss, cached = _from_bytes(state["numpy"])
    keys = numpy.array(keys, dtype=numpy.uint32)
    numpy.random.set_state((name, keys, position, has_gauss, cached))
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        if f"cuda.{index}" in state:
            torch.cuda.set_rng_state(state[f"cuda.{index}"], index)
    if "mps" in state and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])


def _to_bytes(value: object) -> Tensor:
    """A JSON value as a uint8 vector."""
    text = bytearray(json.dumps(value).encode("ascii"))
    return torch.frombuffer(text, dtype=torch.uint8).clone()


def _from_bytes(value: Tensor) -> list:
    return json.loads(bytes(value.tolist()).decode("ascii"))
