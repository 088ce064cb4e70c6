"""Seeds, devices, mixed precision and random states."""

import random
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import torch

from utils.runtime import (
    DEVICE_VARIABLE,
    Precision,
    autocast,
    mixed_precision,
    random_state,
    seed_everything,
    select_device,
    set_random_state,
)

ROOT = Path(__file__).parents[1]


def draw() -> list[float]:
    """One number from each generator."""
    return [random.random(), random.gauss(), float(numpy.random.rand()), torch.rand(1).item()]


def test_a_seed_repeats_every_generator():
    seed_everything(7)
    first = draw()
    seed_everything(8)
    other = draw()
    seed_everything(7)
    assert draw() == first
    assert all(a != b for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "7", True, None])
def test_a_bad_seed_is_named(seed):
    with pytest.raises(ValueError, match="seed must be an integer from 0"):
        seed_everything(seed)


def test_random_states_are_bytes_and_come_back():
    seed_everything(3)
    random.gauss()  # leaves a second number waiting inside the generator
    numpy.random.normal()
    state = random_state()
    assert {"torch", "python", "numpy"} <= state.keys()
    assert all(value.dtype == torch.uint8 and value.ndim == 1 for value in state.values())
    first, normal = draw(), float(numpy.random.normal())
    seed_everything(4)
    set_random_state(state)
    assert (draw(), float(numpy.random.normal())) == (first, normal)


def test_states_of_absent_gpus_are_passed_over():
    state = random_state()
    set_random_state({**state, "cuda.63": state["torch"]})


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.delenv(DEVICE_VARIABLE, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def two_gpus(no_gpu, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.usefixtures("no_gpu")
def test_auto_without_gpu_is_the_cpu():
    assert select_device() == torch.device("cpu")
    assert select_device(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.usefixtures("two_gpus")
def test_cuda_comes_first(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert select_device() == torch.device("cuda")
    assert select_device("cuda:1") == torch.device("cuda:1")
    assert select_device("cpu") == torch.device("cpu")


@pytest.mark.usefixtures("no_gpu")
def test_mps_comes_second(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert select_device() == torch.device("mps")


@pytest.mark.usefixtures("two_gpus")
def test_the_environment_overrides_auto_and_nothing_else(monkeypatch):
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu")
    assert select_device() == torch.device("cpu")
    assert select_device("cuda") == torch.device("cuda")
    monkeypatch.setenv(DEVICE_VARIABLE, "")
    assert select_device() == torch.device("cuda")


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps"])
def test_a_gpu_asked_for_where_there_is_none(name, monkeypatch):
    with pytest.raises(RuntimeError, match=f"device '{name}' was asked for, but .*use 'auto'"):
        select_device(name)
    monkeypatch.setenv(DEVICE_VARIABLE, name)
    with pytest.raises(RuntimeError, match=f"asked for by {DEVICE_VARIABLE}"):
        select_device()


@pytest.mark.usefixtures("no_gpu")
def test_the_reason_why_there_is_no_cuda(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(RuntimeError, match="no CUDA support"):
        select_device("cuda")
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    with pytest.raises(RuntimeError, match="no CUDA GPU or driver"):
        select_device("cuda")


@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_number_that_does_not_exist():
    with pytest.raises(RuntimeError, match="only 2 device"):
        select_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CPU", "tpu:0", "cuda:-1"])
def test_an_unknown_device_is_named(name):
    with pytest.raises(ValueError, match=f"unknown device '{name}'"):
        select_device(name)


@pytest.mark.parametrize(
    ("capability", "expected"),
    [
        ((7, 5), Precision(torch.float16, uses_scaler=True)),
        ((8, 0), Precision(torch.bfloat16)),
        ((9, 0), Precision(torch.bfloat16)),
    ],
)
def test_precision_on_cuda_follows_the_hardware(capability, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert mixed_precision("cuda") == expected
    assert mixed_precision("cuda", enabled=False) == Precision()


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True, "avx512_bf16": False}, torch.bfloat16),
        ({"avx512_f": True}, None),
        ({}, None),
    ],
)
def test_precision_on_the_cpu_follows_the_hardware(capabilities, expected, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert mixed_precision("cpu") == Precision(expected)
    assert mixed_precision("cpu", enabled=False) == Precision()


@pytest.mark.parametrize("answer", [True, False])
def test_precision_on_the_cpu_with_an_older_torch(answer, monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: answer, raising=False)
    assert mixed_precision("cpu").dtype == (torch.bfloat16 if answer else None)
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    assert mixed_precision("cpu") == Precision()


def test_no_mixed_precision_on_mps():
    assert mixed_precision("mps") == Precision()


def test_autocast_changes_products_and_only_inside():
    a = torch.ones(2, 2)
    with autocast("cpu", Precision(torch.bfloat16)):
        assert (a @ a).dtype == torch.bfloat16
    with autocast("cpu", Precision()):
        assert (a @ a).dtype == torch.float32
    assert (a @ a).dtype == torch.float32


def test_importing_changes_no_global_state():
    modules = "runtime checkpoints metrics losses history training_config training".split()
    program = f"""
import random, numpy, torch
def state():
    return (
        torch.get_num_threads(), torch.get_default_dtype(), torch.get_rng_state().tolist(),
        random.getstate(), numpy.random.get_state()[1].tolist(), torch.is_grad_enabled(),
        torch.backends.cudnn.benchmark, torch.are_deterministic_algorithms_enabled(),
    )
before = state()
for name in {modules}:
    __import__("utils." + name)
assert state() == before
import sys
assert "matplotlib" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
