"""Muon: momentum whose matrix updates are made orthogonal (Jordan et al. 2024).

`torch.optim.Muon` refuses convolutions, which are most of a U-Net; here a kernel counts as the
matrix (out, in · height · width). Vectors, embeddings and the first and last convolution get AdamW,
as the method prescribes. Updates are scaled to AdamW's usual size (0.2 a weight, Liu et al. 2025,
§2.2), so one learning rate serves both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_UPDATE_RMS = 0.2


def is_hidden_matrix(name: str, parameter: nn.Parameter) -> bool:
    """True for the weights that Muon updates: matrices and kernels between hidden layers."""
    ends = ("conv_in.", "conv_out.", "marker_", "null_token", ".position_q.", ".position_k.")
    return parameter.ndim >= 2 and not any(end in name for end in ends)


def orthogonalized(update: Tensor) -> Tensor:
    """The nearest matrix with singular values of about 1, by Newton-Schulz in bf16.

    Args:
        update: (out, in, …) floating point.

    Returns:
        The same shape, bf16.
    """
    kernel_last = update.ndim == 4
    matrix = update.movedim(1, -1) if kernel_last else update  # a view where channels are last
    folded = matrix.shape
    matrix = matrix.reshape(folded[0], -1).bfloat16()
    tall = matrix.shape[0] > matrix.shape[1]
    if tall:
        matrix = matrix.T
    matrix = matrix / matrix.norm().clamp(min=1e-7)
    a, b, c = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        gram = matrix @ matrix.T
        matrix = torch.addmm(matrix, torch.addmm(gram, gram, gram, beta=b, alpha=c), matrix, beta=a)
    if tall:
        matrix = matrix.T
    matrix = matrix.reshape(folded)
    return matrix.movedim(-1, 1) if kernel_last else matrix


class Muon(torch.optim.Optimizer):
    """Muon for hidden matrices, AdamW for everything else.

    Args:
        named_parameters: Of the network.
        lr: Of both.
        momentum: Of Muon (Nesterov).
        betas: Of AdamW.
        weight_decay: Decoupled, of both.
    """

    def __init__(
        self,
        named_parameters: Iterable[tuple[str, nn.Parameter]],
        *,
        lr: float,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.01,
    ) -> None:
        matrices, others = [], []
        for name, parameter in named_parameters:
            (matrices if is_hidden_matrix(name, parameter) else others).append(parameter)
        groups = [
            {"params": matrices, "momentum": momentum, "matrices": True},
            {"params": others, "betas": betas, "matrices": False},
        ]
        groups = [group for group in groups if group["params"]]
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update of all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            update = self._matrix if group["matrices"] else self._vector
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    update(parameter, parameter.grad, group)
        return loss

    def _matrix(self, parameter: Tensor, gradient: Tensor, group: dict) -> None:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(gradient, 1 - group["momentum"])
        update = orthogonalized(gradient.lerp(state["momentum"], group["momentum"]))
        rows = parameter.shape[0]
        scale = _UPDATE_RMS * math.sqrt(max(rows, parameter.numel() // rows))
        parameter.add_(update, alpha=-group["lr"] * scale)

    def _vector(self, parameter: Tensor, gradient: Tensor, group: dict) -> None:
        state = self.state[parameter]
        if not state:
            state["steps"] = 0
            state["mean"] = torch.zeros_like(parameter)
            state["square"] = torch.zeros_like(parameter)
        state["steps"] += 1
        slow, fast = group["betas"]
        state["mean"].lerp_(gradient, 1 - slow)
        state["square"].mul_(fast).addcmul_(gradient, gradient, value=1 - fast)
        root = (state["square"] / (1 - fast ** state["steps"])).sqrt_().add_(1e-8)
        rate = group["lr"] / (1 - slow ** state["steps"])
        parameter.addcdiv_(state["mean"], root, value=-rate)
