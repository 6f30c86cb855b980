"""Muon: momentum whose matrix updates are made orthogonal (Jordan et al. 2024).

`torch.optim.Muon` refuses convolutions, which are most of a U-Net; here a kernel counts as the
matrix (out, in · height · width). Vectors, embeddings and the first and last convolution get AdamW,
as the method prescribes. Updates are scaled to AdamW's usual size (0.2 a weight, Liu et al. 2025,
§2.2), so one learning rate serves both.

Two things make it cheaper than as published: a polynomial of its own for each iteration, the best
one for what the iterations before it leave (Amsel et al. 2025, "The Polar Express", §4), of which
four do the work of five; and for wide matrices an iteration on Gram matrices alone, begun anew
after two (Dao AI Lab 2026, "Gram Newton-Schulz"). `benchmarks/muon.py` measures both and derives
the polynomials.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from instruct_imagen.training.sharding import assembled, own_part, part

# Odd polynomials a·x + b·x³ + c·x⁵, one an iteration. Each keeps values of up to 1.04 times the
# largest that reach it as near to 1 as is possible (the margin is for rounding in bf16); together
# they lift [0.003, 1] to [0.72, 1.20], and what is smaller up to 264-fold.
COEFFICIENTS = (
    (8.0680, -22.0414, 15.1063),
    (3.9073, -2.6922, 0.4704),
    (3.4493, -2.3967, 0.4412),
    (2.4288, -1.6856, 0.3649),
)
_RESTART = 2  # more iterations on one Gram matrix diverge in bf16 (docs/log.md)
_WIDE = 2  # columns a row from which the Gram form is faster
_UPDATE_RMS = 0.2


def is_hidden_matrix(name: str, parameter: nn.Parameter) -> bool:
    """True for the weights that Muon updates: matrices and kernels between hidden layers."""
    ends = ("conv_in.", "conv_out.", "marker_", "null_token", ".position_q.", ".position_k.")
    return parameter.ndim >= 2 and not any(end in name for end in ends)


def orthogonalized(matrices: Tensor) -> Tensor:
    """The nearest matrices with singular values of about 1, by Newton-Schulz in bf16.

    Singular values below 0.003 of the largest stay smaller in proportion; zero stays zero.

    Args:
        matrices: (N, rows, columns) floating point, rows ≤ columns.

    Returns:
        The same shape, bf16.
    """
    rows, columns = matrices.shape[1:]
    return (gram_form if columns >= _WIDE * rows else plain_form)(matrices.bfloat16())


def plain_form(matrices: Tensor) -> Tensor:
    """`orthogonalized` by iterating on the matrices: per iteration two products with columns."""
    found = matrices
    for number, (a, b, c) in enumerate(COEFFICIENTS):
        gram = found @ found.mT
        if number == 0:
            gram, scale = _normalized(gram)
            found = found * scale
        found = torch.baddbmm(
            found, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), found, beta=a
        )
    return found


def gram_form(matrices: Tensor) -> Tensor:
    """`orthogonalized` by iterating on (rows, rows): two products with columns per restart.

    All factors are polynomials in the Gram matrix, so they commute and are gathered in one.
    """
    found = matrices
    for start in range(0, len(COEFFICIENTS), _RESTART):
        gram = found @ found.mT
        if start == 0:
            gram, scale = _normalized(gram)
            found = found * scale
        gathered = _factor(gram, COEFFICIENTS[start])
        factor = gathered
        for coefficients in COEFFICIENTS[start + 1 : start + _RESTART]:
            gram = gram @ factor @ factor
            factor = _factor(gram, coefficients)
            gathered = gathered @ factor
        found = gathered @ found
    return found


def _factor(gram: Tensor, coefficients: tuple[float, float, float]) -> Tensor:
    """By what an iteration multiplies matrices of this Gram matrix."""
    a, b, c = coefficients
    factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
    factor.diagonal(dim1=1, dim2=2).add_(a)
    return factor


def _normalized(gram: Tensor) -> tuple[Tensor, Tensor]:
    """Gram matrices of norm 1, and (N, 1, 1) factors that make the matrices fit them.

    The norm bounds the square of the largest singular value, closer than the matrix's norm would.
    """
    norm = torch.linalg.vector_norm(gram, dim=(1, 2), keepdim=True, dtype=torch.float32)
    norm = norm.clamp(min=1e-14)  # of a matrix of zeros
    return gram * norm.reciprocal().to(gram.dtype), norm.rsqrt().to(gram.dtype)


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
            if not group["matrices"]:
                self._vectors(used, group)
                continue
            by_shape: dict[tuple[int, ...], list[Tensor]] = {}
            for parameter in used:
                shape = (parameter.shape[0], parameter.numel() // parameter.shape[0])
                by_shape.setdefault(tuple(sorted(shape)), []).append(parameter)
            for shape, members in by_shape.items():
                self._matrices(shape, members, group)
        return loss

    def _matrices(
        self, shape: tuple[int, ...], parameters: list[Tensor], group: dict[str, Any]
    ) -> None:
        """Updates weights that are matrices of one shape, whose products are made together."""
        device = parameters[0].device
        stacked = torch.empty((len(parameters), *shape), dtype=torch.bfloat16, device=device)
        # One weight after the other, so that what its operations share stays in the cache and
        # nothing of the network's size is allocated.
        for place, parameter in zip(stacked, parameters, strict=True):
            state, gradient = self.state[parameter], part(parameter.grad)
            if not state:
                state["momentum"] = torch.zeros_like(parameter)
            momentum = part(state["momentum"]).lerp_(gradient, 1 - group["momentum"])
            update = torch.lerp(gradient, momentum, group["momentum"])
            place.copy_(as_matrix(assembled(update, parameter)))
        rate = group["lr"] * _UPDATE_RMS * math.sqrt(shape[1])
        for update, parameter in zip(orthogonalized(stacked), parameters, strict=True):
            own = own_part(_like_weight(update, parameter), parameter)
            part(parameter).mul_(1 - group["lr"] * group["weight_decay"]).add_(own, alpha=-rate)

    def _vectors(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        slow, fast = group["betas"]
        for parameter in parameters:
            part(parameter).mul_(1 - group["lr"] * group["weight_decay"])
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
