"""The one place that chooses how attention is computed, by device.

`scaled_dot_product_attention` has a slow backward on CPU at our short lengths (64 queries, up to
200 keys, 32 wide); two batched matrix products and a softmax made a whole training step about 1.4
times faster there (docs/log.md). On an accelerator its fused kernels win.
"""

from __future__ import annotations

import torch
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None) -> Tensor:
    """Softmax attention.

    Args:
        query: (B, heads, N, d), floating point.
        key: (B, heads, S, d).
        value: (B, heads, S, d).
        bias: (B, 1, 1, S) added to the scores, ``-inf`` where a key is absent; or None.

    Returns:
        (B, heads, N, d), in the dtype of `query`.
    """
    if query.device.type != "cpu":
        mask = None if bias is None else bias.to(query.dtype)
        return scaled_dot_product_attention(query, key, value, attn_mask=mask)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    if bias is not None:
        scores = scores + bias.to(scores.dtype)
    return (scores.softmax(dim=-1) @ value).to(query.dtype)


class DeviceAttnProcessor:
    """diffusers' attention, plain on CPU and fused elsewhere."""

    def __init__(self) -> None:
        self._plain = AttnProcessor()
        self._fused = AttnProcessor2_0()

    def __call__(
        self,
        attn: torch.nn.Module,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """See `diffusers.models.attention_processor.AttnProcessor`."""
        chosen = self._plain if hidden_states.device.type == "cpu" else self._fused
        return chosen(attn, hidden_states, encoder_hidden_states, attention_mask, temb)


class IgnoreContext:
    """Wraps a processor of an adapted backbone's self-attention: the context passes it by."""

    def __init__(self, base: object) -> None:
        self.base = base

    def __call__(
        self,
        attn: torch.nn.Module,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        context: object | None = None,
    ) -> Tensor:
        """Exactly what the wrapped processor computes."""
        del context
        return self.base(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
