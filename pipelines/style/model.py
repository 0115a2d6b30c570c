"""Fast neural style: an image in, the same image in another style out.

The network of Johnson, Alahi and Fei-Fei, "Perceptual Losses for Real-Time Style Transfer"
(2016), in a small size: convolutions that halve the image twice, residual blocks, and convolutions
that double it again, each with instance normalisation. It is trained for a few seconds to give the
image's outlines in two inks on paper; take a perceptual loss and a painting for more.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import oneflow as flow
from oneflow import nn

SIZE = 256
INPUTS = [
    {"name": "INPUT_0", "dtype": "FP32", "dims": [3, SIZE, SIZE], "minimum": 0.0, "maximum": 255.0}
]
OUTPUTS = [
    {
        "name": "OUTPUT_0",
        "dtype": "FP32",
        "dims": [3, SIZE, SIZE],
        "minimum": 0.0,
        "maximum": 255.0,
        "tolerance": 0.05,
    }
]
MAX_BATCH_SIZE = 0


class Layer(nn.Module):  # type: ignore[misc]
    """Reflection padding, convolution, instance normalisation, perhaps ReLU."""

    def __init__(
        self, into: int, out: int, kernel: int, stride: int = 1, relu: bool = True
    ) -> None:
        super().__init__()
        self.pad = nn.ReflectionPad2d(kernel // 2)
        self.conv = nn.Conv2d(into, out, kernel, stride)
        self.norm = nn.InstanceNorm2d(out, affine=True)
        self.relu = relu

    def forward(self, x: flow.Tensor) -> flow.Tensor:
        """[n, into, h, w] to [n, out, h / stride, w / stride]."""
        x = self.norm(self.conv(self.pad(x)))
        return flow.relu(x) if self.relu else x


class Residual(nn.Module):  # type: ignore[misc]
    """Two layers around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = Layer(channels, channels, 3)
        self.second = Layer(channels, channels, 3, relu=False)

    def forward(self, x: flow.Tensor) -> flow.Tensor:
        """[n, channels, h, w], the same shape out."""
        return x + self.second(self.first(x))


class Style(nn.Module):  # type: ignore[misc]
    """Pixels 0 to 255, [3, h, w], to pixels 0 to 255 of the same shape."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        c = channels
        self.down = nn.Sequential(Layer(3, c, 9), Layer(c, 2 * c, 3, 2), Layer(2 * c, 4 * c, 3, 2))
        self.middle = nn.Sequential(*(Residual(4 * c) for _ in range(blocks)))
        self.up1, self.up2 = Layer(4 * c, 2 * c, 3), Layer(2 * c, c, 3)
        self.pad, self.out = nn.ReflectionPad2d(4), nn.Conv2d(c, 3, 9)

    def batch(self, x: flow.Tensor) -> flow.Tensor:
        """[n, 3, h, w], 0 to 1 in and out."""
        x = self.middle(self.down(x))
        x = self.up1(nn.functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        x = self.up2(nn.functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        return flow.sigmoid(self.out(self.pad(x)))

    def forward(self, image: flow.Tensor) -> flow.Tensor:
        """One image: [3, h, w]."""
        return (self.batch((image / 255.0).unsqueeze(0)) * 255.0).squeeze(0)


def build(options: dict[str, Any]) -> nn.Module:
    """The network of the options' size."""
    return Style(int(options.get("channels", 8)), int(options.get("blocks", 2)))


def examples(seed: int) -> dict[str, np.ndarray]:
    """A pattern of every colour."""
    image = patterns(np.random.default_rng(seed), 1, SIZE)[0]
    return {"INPUT_0": (image * 255.0).astype(np.float32)}


def patterns(random: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Images of overlapping waves: float32 [count, 3, size, size], 0 to 1."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    images = np.zeros((count, 3, size, size), np.float32)
    for image in images:
        for channel in image:
            for _ in range(4):
                angle, speed, phase = random.uniform(0, [np.pi, 30.0, 6.28])
                channel += np.sin(speed * (x * np.cos(angle) + y * np.sin(angle)) + phase)
        image -= image.min()
        image /= max(float(image.max()), 1e-6)
    return images


def target(images: np.ndarray) -> np.ndarray:
    """Outlines in dark blue and shades in red ochre, on paper; the same shape."""
    grey = images.mean(1)
    edges = np.hypot(*np.gradient(grey, axis=(1, 2))) * 12.0
    ink, shade = np.clip(edges, 0, 1)[:, None], (grey < 0.45)[:, None].astype(np.float32)
    paper, ochre, blue = ([0.96, 0.93, 0.85], [0.80, 0.42, 0.25], [0.08, 0.12, 0.30])
    mixed = _colour(paper) * (1 - shade) + _colour(ochre) * shade
    return (mixed * (1 - ink) + _colour(blue) * ink).astype(np.float32)


def _colour(rgb: list[float]) -> np.ndarray:
    return np.array(rgb, np.float32)[None, :, None, None]


def train(module: Style, context: Any) -> dict[str, float]:
    """Learn `target` from patterns; returns the first and the last loss."""
    random = np.random.default_rng(context.seed)
    optimizer = flow.optim.Adam(
        module.parameters(), lr=float(context.options.get("learning_rate", 0.01))
    )
    losses = []
    for _ in range(int(context.options.get("steps", 40))):
        images = patterns(random, 2, 64)
        wanted = flow.from_numpy(target(images)).to(context.device)
        loss = ((module.batch(flow.from_numpy(images).to(context.device)) - wanted) ** 2).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.numpy()))
    context.log(f"loss {losses[0]:.4f} at first, {losses[-1]:.4f} at last")
    return {"first_loss": losses[0], "last_loss": losses[-1]}
