"""Details that references lend to small pictures."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import interpolate

from instruct_imagen.model import texture_transfer
from instruct_imagen.model.super_resolution import enlarged, shrunk
from instruct_imagen.model.texture_transfer import transferred
from instruct_imagen.model.unet import ReferenceBatch
from tests import tiny

SIZE, LOW = 64, 16


def drawing(seed: int, size: int = SIZE) -> torch.Tensor:
    """Blobs with sharp edges and thin lines: (3, size, size) in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    smooth = interpolate(
        torch.randn(1, 3, 6, 6, generator=generator), (size, size), mode="bicubic"
    )[0]
    picture = torch.where(smooth > 0, 0.8, -0.6)
    picture[:, ::9] = 0.1
    return picture


def batch(images: list[torch.Tensor], samples: list[int], count: int) -> ReferenceBatch:
    """Each image of one sample."""
    given = tiny.references(samples, batch=count, channels=3, size=images[0].shape[-1], dim=8)
    return replace(given, images=torch.stack(images))


def error(found: torch.Tensor, true: torch.Tensor) -> float:
    return float((found.clamp(-1, 1) - true).square().mean())


@pytest.mark.parametrize(("size", "low"), [(64, 16), (48, 16), (32, 16)])
def test_the_very_picture_lends_all_that_is_missing(size, low):
    true = drawing(1, size)[None]
    small = shrunk(true, low)
    lent = transferred(small, batch([true[0]], [0], 1), size)
    torch.testing.assert_close(enlarged(small, size) + lent, true, rtol=0, atol=1e-4)


def test_moved_and_resized_things_lend_some_and_other_things_next_to_nothing():
    shown = drawing(1)
    half = interpolate(shown[None], (SIZE // 2,) * 2, mode="area")
    true = torch.full((1, 3, SIZE, SIZE), 0.3)
    true[..., 20 : 20 + SIZE // 2, 12 : 12 + SIZE // 2] = half
    small = shrunk(true, LOW)
    plain = error(enlarged(small, SIZE), true)
    helped = error(enlarged(small, SIZE) + transferred(small, batch([shown], [0], 1), SIZE), true)
    assert helped < 0.5 * plain
    other = torch.full((3, SIZE, SIZE), -1.0)
    other[0, ::2] = 1.0  # red and black, which the picture is not anywhere
    lent = transferred(small, batch([other], [0], 1), SIZE)
    assert lent.abs().mean() < 0.01


def test_each_sample_is_lent_by_its_own_references():
    pictures = [drawing(seed) for seed in (1, 2, 3)]
    small = shrunk(torch.stack(pictures), LOW)
    lent = transferred(small, batch([pictures[1], pictures[0]], [1, 0], 3), SIZE)
    both = enlarged(small, SIZE) + lent
    torch.testing.assert_close(both[:2], torch.stack(pictures[:2]), rtol=0, atol=1e-4)
    assert not lent[2].any()
    # The more alike of two is taken.
    several = transferred(small[:1], batch([pictures[2], pictures[0]], [0, 0], 1), SIZE)
    torch.testing.assert_close(several, lent[:1], rtol=0, atol=1e-4)


def test_what_does_not_lend_is_left_out():
    pictures = [drawing(seed) for seed in (1, 2)]
    small = shrunk(torch.stack(pictures), LOW)
    given = batch([pictures[0], pictures[1]], [0, 1], 2)
    lent = transferred(small, replace(given, lends=torch.tensor([False, True])), SIZE)
    assert not lent[0].any()
    assert torch.equal(lent[1], transferred(small, given, SIZE)[1])


def test_pictures_are_compared_in_parts_without_a_difference(monkeypatch):
    true, shown = drawing(1), drawing(1).roll(5, dims=1)
    small = shrunk(true[None], LOW)
    whole = transferred(small, batch([shown], [0], 1), SIZE)
    monkeypatch.setattr(texture_transfer, "_AT_ONCE", 3 * LOW**2)
    parts = transferred(small, batch([shown], [0], 1), SIZE)
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-4)
    assert whole.abs().max() > 0.1


def test_its_own_place_is_preferred_where_several_are_alike():
    true = torch.zeros(1, 3, SIZE, SIZE)
    true[..., ::4, :] = 0.5  # the same in every cell
    shown = true[0].clone()
    shown[:, 32:36, 32:36] = torch.tensor([[0.5, 0.0, 0.0, 0.0]]).T.flip(0)  # upside down there
    small = shrunk(true, LOW)
    lent = transferred(small, batch([shown], [0], 1), SIZE)[0]
    assert lent[:, 32:36, 32:36].sub(lent[:, 16:20, 16:20]).abs().max() > 0.1
    torch.testing.assert_close(lent[:, 4:28, 4:28], lent[:, 8:32, 4:28], rtol=0, atol=1e-4)


def test_half_precision_is_compared_in_full():
    true = drawing(1)[None]
    small = shrunk(true, LOW)
    exact = transferred(small, batch([true[0]], [0], 1), SIZE)
    with torch.autocast("cpu", torch.bfloat16):
        lent = transferred(small.bfloat16(), batch([true[0].bfloat16()], [0], 1), SIZE)
    assert lent.dtype == torch.float32
    torch.testing.assert_close(lent, exact, rtol=0, atol=0.02)
