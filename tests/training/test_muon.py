import pytest
import torch
from torch import nn

from instruct_imagen.training.muon import (
    COEFFICIENTS,
    Muon,
    _like_weight,
    as_matrix,
    gram_form,
    is_hidden_matrix,
    orthogonalized,
    plain_form,
)

SHAPES = [(3, 24, 24), (3, 24, 40), (2, 32, 288), (2, 192, 768)]
FORMS = [plain_form, gram_form]


def conditioned(shape, least):
    """In bf16, with singular values from 1 down to `least` whose logarithms are evenly spaced."""
    noise = torch.randn(shape, dtype=torch.float64)
    left, _, right = torch.linalg.svd(noise, full_matrices=False)
    values = least ** torch.linspace(0, 1, shape[1], dtype=torch.float64)
    return (left * values @ right).bfloat16()


def lifted(values, polynomials=COEFFICIENTS):
    for a, b, c in polynomials:
        values = a * values + b * values**3 + c * values**5
    return values


def test_the_polynomials_lift_what_the_comment_states():
    values = lifted(torch.logspace(-2.52, 0, 10_000, dtype=torch.float64))  # from 0.003
    assert 0.72 <= values.min() <= values.max() <= 1.2001
    small = torch.tensor([1e-6], dtype=torch.float64)
    assert abs(lifted(small) / small - 264) < 1


def test_rounding_cannot_carry_values_away():
    """Each polynomial keeps what exceeds its interval by 4% as near to 1 as the rest."""
    highest = 1.0
    for polynomial in COEFFICIENTS:
        within = torch.linspace(0.0, highest, 10_000, dtype=torch.float64)
        beyond = torch.linspace(highest, 1.04 * highest, 100, dtype=torch.float64)
        reached = float(lifted(within, [polynomial]).max())
        assert lifted(beyond, [polynomial]).min() > 0.1
        assert lifted(beyond, [polynomial]).max() < 1.001 * reached
        highest = reached


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("least", [1.0, 0.1, 1e-2, 1e-3, 1e-4])
def test_each_form_does_what_the_polynomials_do(form, shape, least):
    """Within 12% of the exact result's norm; bf16 takes up to 14% from the published form, too."""
    torch.manual_seed(0)
    matrices = conditioned(shape, least)
    left, values, right = torch.linalg.svd(matrices.double(), full_matrices=False)
    scaled = values / values.pow(4).sum(dim=1, keepdim=True).pow(0.25)
    exact = left * lifted(scaled)[:, None] @ right
    found = form(matrices).double()
    assert (found - exact).norm() < 0.12 * exact.norm()
    assert torch.linalg.svdvals(found).max() < 1.23


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("least", [1.0, 0.1, 1e-2, 1e-3, 1e-4])
def test_both_forms_agree(shape, least):
    torch.manual_seed(0)
    matrices = conditioned(shape, least)
    plain, gram = plain_form(matrices).double(), gram_form(matrices).double()
    assert (plain - gram).norm() < 0.12 * plain.norm()


@pytest.mark.parametrize("shape", [(3, 48, 48), (3, 48, 432)])
def test_values_above_three_thousandths_end_in_the_stated_band(shape):
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalized(conditioned(shape, 0.02)).float())
    assert 0.69 < values.min() <= values.max() < 1.23


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_one_direction_far_above_the_rest(form, scale):
    """As in momenta: the first singular value is most of the norm, the rest is small or nothing."""
    torch.manual_seed(0)
    one = torch.randn(4, 64, 1) @ torch.randn(4, 1, 256)
    matrices = scale * (
        one + torch.tensor([0.0, 1e-4, 1e-2, 1e-1])[:, None, None] * torch.randn(64, 256)
    )
    values = torch.linalg.svdvals(form(matrices.bfloat16()).float())
    assert values.max() < 1.25
    assert values[:, 0].min() > 0.7
    assert values[3].min() > 0.7


@pytest.mark.parametrize("form", FORMS)
def test_nothing_stays_nothing(form):
    matrices = torch.zeros(2, 16, 48, dtype=torch.bfloat16)
    matrices[1] = torch.randn(16, 48)
    found = form(matrices)
    assert not found[0].any()
    assert torch.isfinite(found).all()
    assert found[1].any()


@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_twice(shape):
    torch.manual_seed(0)
    matrices = torch.randn(shape)
    assert torch.equal(orthogonalized(matrices), orthogonalized(matrices.clone()))


def test_the_form_is_chosen_by_shape():
    torch.manual_seed(0)
    square, wide = torch.randn(1, 32, 32).bfloat16(), torch.randn(1, 32, 288).bfloat16()
    assert torch.equal(orthogonalized(square), plain_form(square))
    assert torch.equal(orthogonalized(wide), gram_form(wide))
    assert not torch.equal(plain_form(wide), gram_form(wide))


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
