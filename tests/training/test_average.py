import pytest
import torch

from instruct_imagen.training.average import Average


def test_the_average_has_its_closed_form():
    weight = torch.nn.Parameter(torch.zeros(3, 2))
    average = Average([weight], decay=0.9)
    values = torch.randn(60, 3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for value in values:
        with torch.no_grad():
            weight.copy_(value)
        average.update()
    # Each value's share is what it was taken in with, times all later decays.
    decays = torch.tensor([min(0.9, 1 - step**-0.75) for step in range(1, 61)])
    later = torch.cat([decays.flip(0).cumprod(0).flip(0)[1:], torch.ones(1)])
    shares = ((1 - decays) * later).double()
    assert shares.sum() == pytest.approx(1, abs=1e-6)  # the first step forgets the start entirely
    expected = (shares[:, None, None] * values).sum(dim=0).float()
    torch.testing.assert_close(average.weights[0], expected, atol=1e-5, rtol=1e-5)
