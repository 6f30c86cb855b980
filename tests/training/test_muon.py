import pytest
import torch
from torch import nn

from instruct_imagen.training.muon import (
    Muon,
    _like_weight,
    as_matrix,
    is_hidden_matrix,
    orthogonalized,
)


def test_updates_have_singular_values_of_about_one():
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalized(torch.randn(3, 24, 40) * 1e-3).float())
    # The iteration's coefficients trade exactness for speed (Jordan et al. 2024).
    assert 0.5 < values.min() <= values.max() < 1.3


def test_direction_is_that_of_the_polar_factor():
    torch.manual_seed(0)
    matrix = torch.randn(1, 12, 20)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonalized(matrix).float()
    cosine = torch.nn.functional.cosine_similarity(found.flatten(), (left @ right).flatten(), dim=0)
    assert cosine > 0.97


@pytest.mark.parametrize("shape", [(24, 40), (40, 24), (16, 8, 3, 3), (64, 3, 3, 3)])
def test_a_weight_goes_to_a_wide_matrix_and_back(shape):
    weight = torch.randn(shape)
    matrix = as_matrix(weight)
    assert matrix.shape[0] <= matrix.shape[1]
    assert torch.equal(_like_weight(matrix, weight), weight)
    if weight.ndim == 4:
        last = weight.to(memory_format=torch.channels_last)
        assert torch.equal(as_matrix(last), matrix)
        assert as_matrix(last).data_ptr() == last.data_ptr()


def test_vectors_get_adamw():
    torch.manual_seed(0)
    start, gradients = torch.randn(7), torch.randn(5, 7)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    muon = Muon([("norm.weight", ours)], lr=1e-2)
    adamw = torch.optim.AdamW([theirs], lr=1e-2, betas=(0.9, 0.99), weight_decay=0.01)
    for gradient in gradients:
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        muon.step()
        adamw.step()
    torch.testing.assert_close(ours, theirs)


def test_the_first_step_has_the_stated_size():
    torch.manual_seed(0)
    weight = nn.Parameter(torch.zeros(32, 16, 3, 3))
    muon = Muon([("conv.weight", weight)], lr=0.01, weight_decay=0.0)
    weight.grad = torch.randn_like(weight)
    muon.step()
    rms = weight.detach().square().mean().sqrt()
    assert 0.8 * 0.2 * 0.01 < rms < 1.2 * 0.2 * 0.01


def test_what_counts_as_a_hidden_matrix():
    kernel, vector = nn.Parameter(torch.zeros(4, 4, 3, 3)), nn.Parameter(torch.zeros(4))
    assert is_hidden_matrix("unet.mid_block.resnets.0.conv1.weight", kernel)
    assert not is_hidden_matrix("unet.conv_in.weight", kernel)
    assert not is_hidden_matrix("marker_text.weight", nn.Parameter(torch.zeros(4, 4)))
    assert not is_hidden_matrix("unet.mid_block.resnets.0.conv1.bias", vector)
