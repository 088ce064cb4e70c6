"""Convolutional encoders: a picture in, a grid of vectors out, with a known receptive field.

Any module that maps (B, 3, H, W) to (B, C, rows, columns) can stand in their place.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Convolution(NamedTuple):
    """One convolution: kernel and stride in pixels of its own input; padding follows from them."""

    channels: int
    kernel: int
    stride: int

    @property
    def padding(self) -> int:
        # Even kernels go with stride 2 and odd ones with stride 1, so that the middle of a
        # vector's receptive field is the middle of its cell, not half a cell beside it.
        return (self.kernel - self.stride) // 2


class ReceptiveField(NamedTuple):
    """In pixels: `size` is the side of what one vector sees, `stride` the side of its cell."""

    size: int
    stride: int


def receptive_field(layers: Sequence[Convolution]) -> ReceptiveField:
    """Receptive field of stacked convolutions: size grows by (kernel - 1) · stride so far."""
    size, stride = 1, 1
    for layer in layers:
        size += (layer.kernel - 1) * stride
        stride *= layer.stride
    return ReceptiveField(size, stride)


class ConvolutionalEncoder(nn.Module):
    """Convolution, batch normalisation and ReLU, layer after layer; no pooling.

    Source: the place of the VGG network in Xu et al. 2015, arXiv:1502.03044, section 3.1.1.
    Deviations: small, and trained from scratch together with the decoder.

    Args:
        layers: from picture to grid; kernel - stride must be even and not negative.
    Attributes:
        channels: C of the grid. field: its `ReceptiveField`.
    Raises:
        ValueError: no layers, or a layer whose padding would shift its cells.
    """

    def __init__(self, layers: Sequence[Convolution]) -> None:
        super().__init__()
        if not layers:
            raise ValueError("An encoder needs at least one layer, got none.")
        modules: list[nn.Module] = []
        channels = 3
        for number, layer in enumerate(layers):
            if layer.kernel < layer.stride or (layer.kernel - layer.stride) % 2:
                raise ValueError(
                    f"layer {number}: kernel {layer.kernel} with stride {layer.stride}: kernel - "
                    "stride must be 0, 2, 4, …, so that cells and receptive fields share a centre."
                )
            modules += [
                nn.Conv2d(channels, layer.channels, layer.kernel, layer.stride, layer.padding,
                          bias=False),
                nn.BatchNorm2d(layer.channels),
                nn.ReLU(),
            ]  # fmt: skip
            channels = layer.channels
        self.layers = nn.Sequential(*modules)
        self.channels = channels
        self.field = receptive_field(layers)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) float, 0–1 → (B, C, H / stride, W / stride)."""
        images = (images * 2 - 1).contiguous(memory_format=torch.channels_last)  # a fifth faster
        return self.layers(images)


def stride_eight_layers(
    channels: Sequence[int], *, context_layers: int, context_kernel: int
) -> tuple[Convolution, ...]:
    """Three layers of kernel 4 and stride 2, then `context_layers` on the grid of 8-pixel cells.

    With context_kernel 1 a vector sees 22 pixels; each context layer of kernel 3 adds 16.
    `channels`: of the three layers; the context layers keep the last.
    """
    if len(channels) != 3:
        raise ValueError(f"channels={tuple(channels)}: expected three numbers, one per layer.")
    down = [Convolution(count, kernel=4, stride=2) for count in channels]
    context = [Convolution(channels[-1], context_kernel, stride=1)] * context_layers
    return (*down, *context)


class ResidualEncoder(nn.Module):
    """A small residual network: stride 8, two residual blocks of two 3 × 3 convolutions.

    Source: He et al. 2016, arXiv:1512.03385, figure 2. Deviations: three layers of stride 2 in
    place of its stem.

    Attributes:
        channels: C of the grid. field: its `ReceptiveField`.
    """

    def __init__(self, *, channels: int, blocks: int) -> None:
        super().__init__()
        down = stride_eight_layers(
            (channels // 4, channels // 2, channels), context_layers=0, context_kernel=1
        )
        self.stem = ConvolutionalEncoder(down)
        self.blocks = nn.ModuleList(_ResidualBlock(channels) for _ in range(blocks))
        self.channels = channels
        self.field = receptive_field((*down, *[Convolution(channels, 3, 1)] * (2 * blocks)))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) float, 0–1 → (B, C, H / 8, W / 8)."""
        grid = self.stem(images)
        for block in self.blocks:
            grid = block(grid)
        return grid


class _ResidualBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, grid: Tensor) -> Tensor:
        return (grid + self.change(grid)).relu()
