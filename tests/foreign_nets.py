"""Networks as other packages write them, small: what a user names as package.module:callable."""

import torch
import torch.nn.functional as F
from torch import nn

SIZE = (32, 48)


def _stem(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.Hardswish(inplace=True),
    )


class LiteAspp(nn.Module):
    """A gate over a low map, a side branch, and a dictionary, as torchvision's LR-ASPP has them."""

    def __init__(self, num_classes: int = 21, channels: int = 8, weights: str | None = "REMOTE"):
        super().__init__()
        if weights:
            raise RuntimeError("tests fetch nothing")
        self.stem = _stem(channels)
        self.deep = nn.Sequential(
            nn.Conv2d(channels, channels, 3, stride=2, padding=1), nn.BatchNorm2d(channels),
            nn.ReLU(),
        )  # fmt: skip
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels, 1), nn.Sigmoid()
        )
        self.low = nn.Conv2d(channels, num_classes, 1)
        self.high = nn.Conv2d(channels, num_classes, 1)
        self.auxiliary = nn.Conv2d(channels, num_classes, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        low = self.stem(x)
        high = self.deep(low)
        high = high * self.gate(high)
        high = F.interpolate(high, size=low.shape[-2:], mode="bilinear", align_corners=False)
        scores = self.low(low) + self.high(high)
        out = F.interpolate(scores, size=x.shape[-2:], mode="bilinear", align_corners=False)
        return {"aux": self.auxiliary(low), "out": out}


class SameConv2d(nn.Conv2d):
    """A convolution of a package's own, which no tool knows by its type."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(F.pad(x, (1, 1, 1, 1)), self.weight, self.bias, self.stride)


class NormAct(nn.BatchNorm2d):
    """A batch norm that brings its activation, as timm's does."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.act = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self._check_input_dim(x)
        x = F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.training,
            self.momentum, self.eps,
        )  # fmt: skip
        return self.act(x)


class SmallUNet(nn.Module):
    """A U-Net that looks at shapes in Python, with layers of its own, and gives a tuple."""

    def __init__(self, classes: int = 1, channels: int = 8) -> None:
        super().__init__()
        self.down = SameConv2d(3, channels, 3, stride=2, bias=False)
        self.norm = NormAct(channels)
        self.middle = nn.Conv2d(channels, channels, 3, padding=1)
        self.up = nn.ConvTranspose2d(channels, channels, 2, stride=2)
        self.side = nn.Conv2d(3, channels, 1)
        self.head = nn.Conv2d(2 * channels, classes, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        height, width = x.shape[-2:]
        if height % 4 or width % 4:
            raise RuntimeError(f"{height}x{width} is no multiple of 4")
        deep = self.middle(self.norm(self.down(x)))
        for _ in range(len(x.shape) - 3):
            deep = deep + 0.5
        wide = self.up(deep)
        if wide.size(2) != height:
            wide = wide[..., :height, :width]
        return self.head(torch.cat([wide, self.side(x)], dim=1)), deep


class Checked(nn.Module):
    """Looks at types, which tracing cannot answer; torch.export can."""

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Conv2d(8, num_classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not isinstance(x, torch.Tensor):
            raise TypeError("a tensor is needed")
        y = F.relu(self.norm(self.body(x)))
        return self.head(y + F.avg_pool2d(y, 3, 1, 1))


class DataDependent(nn.Module):
    """A part that looks at the values of its input: it can only stay whole."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 0.5 if float(x.abs().max()) > 1e6 else x


class WithPart(nn.Module):
    """A network one part of which nobody can follow."""

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 8, 3, padding=1)
        self.part = DataDependent()
        self.head = nn.Conv2d(8, num_classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.part(self.body(x)))


class Lost(nn.Module):
    """Looks at values in its own forward."""

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, num_classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.head(x)
        return y if float(y.mean()) > -1e9 else -y


def fixed_stride() -> nn.Module:
    """A builder without an argument for the classes."""
    return nn.Sequential(nn.Conv2d(3, 3, 4, stride=4))


def video() -> nn.Module:
    """A network that gives five axes."""
    return nn.Sequential(nn.Conv2d(3, 3, 1), nn.Unflatten(1, (3, 1)))


def a_number() -> int:
    """No network at all."""
    return 3
