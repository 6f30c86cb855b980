"""Muon: momentum whose matrix updates are made orthogonal (Jordan et al. 2024).

`torch.optim.Muon` refuses convolutions, which are most of a U-Net; here a kernel counts as the
matrix (out, in · height · width). Vectors, embeddings and the first and last convolution get AdamW,
as the method prescribes. Updates are scaled to AdamW's usual size (0.2 a weight, Liu et al. 2025,
§2.2), so one learning rate serves both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from instruct_imagen.training.sharding import assembled, own_part, part

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_UPDATE_RMS = 0.2


def is_hidden_matrix(name: str, parameter: nn.Parameter) -> bool:
    """True for the weights that Muon updates: matrices and kernels between hidden layers."""
    ends = ("conv_in.", "conv_out.", "marker_", "null_token", ".position_q.", ".position_k.")
    return parameter.ndim >= 2 and not any(end in name for end in ends)


def orthogonalized(matrices: Tensor) -> Tensor:
    """The nearest matrices with singular values of about 1, by Newton-Schulz in bf16.

    Args:
        matrices: (N, rows, columns) floating point, rows ≤ columns.

    Returns:
        The same shape, bf16.
    """
    found = matrices.bfloat16()
    found = found / found.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    a, b, c = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        gram = found @ found.mT
        found = torch.baddbmm(
            found, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), found, beta=a
        )
    return found


def as_matrix(weight: Tensor) -> Tensor:
    """A weight (out, in, …) as (rows, columns) with rows ≤ columns.

    The kernel's own axes come before its input channels: no copy where channels are last in memory.
    """
    if weight.ndim == 4:
        weight = weight.permute(0, 2, 3, 1)
    matrix = weight.reshape(weight.shape[0], -1)
    return matrix.T if matrix.shape[0] > matrix.shape[1] else matrix


def _like_weight(matrix: Tensor, weight: Tensor) -> Tensor:
    """The inverse of `as_matrix`, for a weight of this shape."""
    rows = weight.shape[0]
    if rows > weight.numel() // rows:
        matrix = matrix.T
    if weight.ndim != 4:
        return matrix.reshape(weight.shape)
    out, channels, height, width = weight.shape
    return matrix.reshape(out, height, width, channels).permute(0, 3, 1, 2)


class Muon(torch.optim.Optimizer):
    """Muon for hidden matrices, AdamW for everything else.

    Of weights that processes share out, each keeps its part of the moments; the matrices' updates
    are put together for the orthogonalization, which each process does for itself.

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
            used = [parameter for parameter in group["params"] if parameter.grad is not None]
            if used:
                parts = [part(parameter) for parameter in used]
                torch._foreach_mul_(parts, 1 - group["lr"] * group["weight_decay"])
                (self._matrices if group["matrices"] else self._vectors)(used, group)
        return loss

    def _matrices(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter]["momentum"] = torch.zeros_like(parameter)
        gradients = [part(parameter.grad) for parameter in parameters]
        momenta = [part(self.state[parameter]["momentum"]) for parameter in parameters]
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        updates = list(torch._foreach_lerp(gradients, momenta, group["momentum"]))
        by_shape: dict[torch.Size, list[int]] = {}
        for index, update in enumerate(updates):
            updates[index] = as_matrix(assembled(update, parameters[index]))
            by_shape.setdefault(updates[index].shape, []).append(index)
        for shape, members in by_shape.items():
            stacked = torch.stack([updates[index].bfloat16() for index in members])
            rate = group["lr"] * _UPDATE_RMS * math.sqrt(shape[1])
            for index, update in zip(members, orthogonalized(stacked), strict=True):
                parameter = parameters[index]
                own = own_part(_like_weight(update, parameter), parameter)
                part(parameter).add_(own, alpha=-rate)

    def _vectors(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        slow, fast = group["betas"]
        for parameter in parameters:
            state, gradient = self.state[parameter], part(parameter.grad)
            if not state:
                state["steps"] = 0
                state["mean"] = torch.zeros_like(parameter)
                state["square"] = torch.zeros_like(parameter)
            state["steps"] += 1
            mean, square = part(state["mean"]), part(state["square"])
            mean.lerp_(gradient, 1 - slow)
            square.mul_(fast).addcmul_(gradient, gradient, value=1 - fast)
            root = (square / (1 - fast ** state["steps"])).sqrt_().add_(1e-8)
            rate = group["lr"] / (1 - slow ** state["steps"])
            part(parameter).addcdiv_(mean, root, value=-rate)
