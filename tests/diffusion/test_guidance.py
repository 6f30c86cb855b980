from __future__ import annotations

import pytest
import torch

from instruct_imagen.diffusion.guidance import guidance_weights, guided


def test_weights():
    assert guidance_weights("constant", 4, 3) == [4, 4, 4]
    assert guidance_weights("oscillating", 25, 5) == [25, 1, 25, 1, 25]
    assert guidance_weights("interval", 3, 6) == [1, 3, 3, 3, 3, 1]
    with pytest.raises(ValueError, match="use one of constant"):
        guidance_weights("sometimes", 2, 4)
    with pytest.raises(ValueError, match="at least 1"):
        guidance_weights("constant", 0.5, 4)


def test_guidance_is_linear_and_an_unguided_step_pays_for_one_forward():
    calls = []

    def both(sample, step):
        calls.append("both")
        return torch.cat([sample + 1, sample - 1])

    def conditional(sample, step):
        calls.append("conditional")
        return sample + 1

    denoise = guided(both, conditional)
    sample = torch.zeros(2, 3, 4, 4)
    assert torch.equal(denoise(sample, torch.tensor(5), 1.0), sample + 1)
    assert calls == ["conditional"]
    assert torch.equal(denoise(sample, torch.tensor(5), 3.0), sample + 5)
    assert calls == ["conditional", "both"]
