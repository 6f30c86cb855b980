"""The new cross-attention on the multi-modal context ([Hu24] §3.1, A.2.1), as a processor.

It stands behind the text cross-attention of a diffusers U-Net: the text attention runs unchanged,
then `ContextAttnProcessor` adds its own attention on the encoded references. Its output projection
starts at zero, so that an adapted backbone computes exactly what it did before its first step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from instruct_imagen.model.attention import attend

POSITION_DIM = 32
"""Width of `position_features`: 8 frequencies, sine and cosine, two axes."""


def position_features(height: int, width: int, device: torch.device | str = "cpu") -> Tensor:
    """Two-dimensional sine-cosine features of the cell centres of a grid over the unit square.

    Grids of different sizes share one frame, so a query and a key at the same place of the picture
    have the same features whatever their resolutions.

    Returns:
        (height · width, POSITION_DIM) float32, row by row, each value in [-1, 1].
    """
    per_axis = POSITION_DIM // 4
    frequencies = math.pi * torch.logspace(0, 3, per_axis, base=2.0, device=device)
    rows = (torch.arange(height, device=device) + 0.5) / height
    columns = (torch.arange(width, device=device) + 0.5) / width
    row_angles = rows[:, None, None] * frequencies
    column_angles = columns[None, :, None] * frequencies
    parts = [row_angles.sin(), row_angles.cos(), column_angles.sin(), column_angles.cos()]
    grid = torch.cat([part.expand(height, width, per_axis) for part in parts], dim=-1)
    return grid.reshape(height * width, POSITION_DIM)


def own_place_score(cells: int) -> float:
    """The score that a place begins with at itself, such that its neighbours' is clearly lower.

    It is 8 on a grid of 8 × 8, where a neighbour's is below 5. On a finer grid neighbours' features
    are more alike, and all scores are larger, for the same difference.

    Args:
        cells: Of the context's grid, a side.
    """

    def apart(side: int) -> float:
        frequencies = [2 ** (3 * k / (POSITION_DIM // 4 - 1)) for k in range(POSITION_DIM // 4)]
        return 1 - sum(math.cos(math.pi * one / side) for one in frequencies) / len(frequencies)

    return 8.0 * apart(8) / apart(max(cells, 8))


@dataclass(frozen=True, kw_only=True)
class ContextStates:
    """Keys and values of the context for every site, projected once and used at every step.

    Attributes:
        keys: One (B, heads, S, d) tensor a site.
        values: One (B, heads, S, d) tensor a site.
        bias: (B, 1, 1, S): 0 where a context token exists, -inf where it is padding; token 0 is the
            learned null token, which always exists. None when all exist.
        query_positions: For each number of queries of the U-Net's grids, their position features,
            (N, POSITION_DIM).
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    bias: Tensor | None
    query_positions: dict[int, Tensor]

    def concatenated(self, other: ContextStates) -> ContextStates:
        """The batch of this one followed by that of `other`, which may have fewer tokens."""
        length = max(self.keys[0].shape[2], other.keys[0].shape[2])
        ours, theirs = self._padded(length), other._padded(length)
        return ContextStates(
            keys=tuple(torch.cat(pair) for pair in zip(ours.keys, theirs.keys, strict=True)),
            values=tuple(torch.cat(pair) for pair in zip(ours.values, theirs.values, strict=True)),
            bias=torch.cat([ours.bias, theirs.bias]),
            query_positions={**ours.query_positions, **theirs.query_positions},
        )

    def repeated(self, times: int) -> ContextStates:
        """Each sample's states `times` times, one after the other."""
        if times == 1:
            return self
        bias = self.bias
        return ContextStates(
            keys=tuple(key.repeat_interleave(times, dim=0) for key in self.keys),
            values=tuple(value.repeat_interleave(times, dim=0) for value in self.values),
            bias=None if bias is None else bias.repeat_interleave(times, dim=0),
            query_positions=self.query_positions,
        )

    def _padded(self, length: int) -> ContextStates:
        """The same states with `length` tokens and an explicit bias."""
        batch, _, tokens, _ = self.keys[0].shape
        bias = self.bias
        if bias is None:
            bias = self.keys[0].new_zeros(batch, 1, 1, tokens)
        more = length - tokens
        return ContextStates(
            keys=tuple(nn.functional.pad(key, (0, 0, 0, more)) for key in self.keys),
            values=tuple(nn.functional.pad(value, (0, 0, 0, more)) for value in self.values),
            bias=nn.functional.pad(bias, (0, more), value=-math.inf),
            query_positions=self.query_positions,
        )


class ContextAttnProcessor(nn.Module):
    """A text cross-attention followed by cross-attention on the context.

    Args:
        base: The processor that computes the text attention; it is called unchanged.
        site: Index into `ContextStates.keys` and `values`.
        query_dim: Channels of the hidden states.
        context_dim: Channels of the context tokens.
        heads: Attention heads; `query_dim` must be a multiple.
        cells: Of the context's grid, a side; see `own_place_score`.
    """

    def __init__(
        self, base: object, *, site: int, query_dim: int, context_dim: int, heads: int, cells: int
    ) -> None:
        super().__init__()
        if query_dim % heads:
            raise ValueError(f"query_dim {query_dim} is not a multiple of heads {heads}")
        self.base = base
        self.site = site
        self.heads = heads
        self.cells = cells
        self.norm = nn.LayerNorm(query_dim)
        self.to_q = nn.Linear(query_dim, query_dim, bias=False)
        self.to_k = nn.Linear(context_dim, query_dim, bias=False)
        self.to_v = nn.Linear(context_dim, query_dim, bias=False)
        self.to_out = nn.Linear(query_dim, query_dim)
        self.position_q = nn.Linear(POSITION_DIM, query_dim, bias=False)
        self.position_k = nn.Linear(POSITION_DIM, query_dim, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Zero output; every other head starts by looking at its own place in the references.

        Layout conditions (edge, mask, depth, content) are answered place by place. Starting half of
        the heads there spares the model from discovering it. Heads narrower than `POSITION_DIM`
        see the first of its features only, those of the row.
        """
        nn.init.zeros_(self.to_out.weight)
        nn.init.zeros_(self.to_out.bias)
        width = self.to_q.out_features // self.heads
        score = own_place_score(self.cells)
        gain = math.sqrt(score / (POSITION_DIM / 2) * math.sqrt(width))
        for layer in (self.position_q, self.position_k):
            nn.init.normal_(layer.weight, std=0.02)
            with torch.no_grad():
                for head in range(0, self.heads, 2):
                    rows = layer.weight[head * width : (head + 1) * width]
                    rows.copy_(gain * torch.eye(width, POSITION_DIM))

    def _split(self, states: Tensor) -> Tensor:
        """(B, N, C) to (B, heads, N, C / heads)."""
        return states.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def project(self, tokens: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the context tokens.

        Args:
            tokens: (B, S, context_dim).
            positions: (S, POSITION_DIM), zero for tokens without a place.

        Returns:
            Two tensors (B, heads, S, d).
        """
        places = positions.to(self.position_k.weight.dtype)
        keys = self.to_k(tokens) + self.position_k(places)
        return self._split(keys), self._split(self.to_v(tokens))

    def __call__(
        self,
        attn: nn.Module,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        context: ContextStates | None = None,
    ) -> Tensor:
        """The text attention's output plus the context's.

        Args:
            attn: The diffusers `Attention` that this processor serves.
            hidden_states: (B, N, C) or (B, C, H, W).
            encoder_hidden_states: Text states.
            attention_mask: Bias of the text states.
            temb: As in diffusers.
            context: Keys and values of all sites, or None for no context at all.

        Returns:
            Same shape as `hidden_states`.
        """
        output = self.base(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        if context is None:
            return output
        tokens = hidden_states
        if hidden_states.ndim == 4:
            tokens = hidden_states.flatten(2).transpose(1, 2)
        query = self.to_q(self.norm(tokens))
        places = context.query_positions[tokens.shape[1]].to(self.position_q.weight.dtype)
        query = query + self.position_q(places)
        attended = attend(
            self._split(query), context.keys[self.site], context.values[self.site], context.bias
        )
        added = self.to_out(attended.transpose(1, 2).flatten(2))
        if hidden_states.ndim == 4:
            added = added.transpose(1, 2).reshape(hidden_states.shape)
        return output + added
