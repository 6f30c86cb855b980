from __future__ import annotations

import pytest
import torch

from instruct_imagen.model.attention import attend
from instruct_imagen.model.context_attention import (
    POSITION_DIM,
    ContextAttnProcessor,
    own_place_score,
    position_features,
)


def test_attention_equals_the_fused_form():
    query, key, value = (torch.randn(2, 3, n, 8) for n in (5, 7, 7))
    bias = torch.zeros(2, 1, 1, 7)
    bias[1, ..., 4:] = -torch.inf
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    assert torch.allclose(attend(query, key, value, bias), expected, atol=1e-5)


def test_position_features_share_one_frame():
    fine, coarse = position_features(8, 8), position_features(4, 4)
    assert fine.shape == (64, POSITION_DIM)
    # The cell of a coarse grid is most like the four fine cells that it covers.
    nearest = (coarse @ fine.T).topk(4, dim=1).indices
    for cell, found in enumerate(nearest.tolist()):
        row, column = divmod(cell, 4)
        covered = {(2 * row + i) * 8 + 2 * column + j for i in (0, 1) for j in (0, 1)}
        assert set(found) == covered


@pytest.mark.parametrize("cells", [4, 8, 16, 24])
def test_half_of_the_heads_start_at_their_own_place(cells):
    torch.manual_seed(0)
    site = ContextAttnProcessor(None, site=0, query_dim=64, context_dim=64, heads=2, cells=cells)
    places = position_features(cells, cells)
    keys, _ = site.project(torch.zeros(1, cells**2, 64), places)
    query = site._split(site.position_q(places)[None])
    scores = (query @ keys.transpose(-1, -2) * 32**-0.5).softmax(-1)[0]
    assert scores[0].diagonal().min() > 0.7
    assert scores[1].max() < 0.1


def test_on_an_8x8_grid_and_below_the_score_is_eight():
    assert own_place_score(8) == own_place_score(2) == 8
    assert own_place_score(16) > 2 * 8


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="multiple of heads"):
        ContextAttnProcessor(None, site=0, query_dim=30, context_dim=8, heads=4, cells=8)
