"""The two stages together, and edits through both."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from instruct_imagen import (
    InstructImagenPipeline,
    Instruction,
    Reference,
    SuperResolutionPipeline,
    TextEncoder,
)
from instruct_imagen.cascade import Cascade
from instruct_imagen.diffusion.objective import sampling_scheduler
from instruct_imagen.images import ImageError
from instruct_imagen.pipeline import ModelError
from tests import tiny


def noise(width, height, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def stages():
    encoder = TextEncoder(max_markers=4)
    base = InstructImagenPipeline(tiny.awaken(tiny.own_unet(size=4)), encoder, sampling_scheduler())
    upscaler = SuperResolutionPipeline(
        tiny.awaken(tiny.own_upscaler()), encoder, sampling_scheduler()
    )
    return base, upscaler


@pytest.fixture
def cascade(stages):
    found = Cascade(*stages)
    found.set_progress_bar_config(disable=True)
    return found


def drawn(cascade, *instructions, seeds=(1,), **options):
    options = {"num_inference_steps": 2, "upscaler_steps": 2} | options
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    images = cascade(list(instructions), generator=generators, **options).images
    return [np.asarray(image) for image in images]


def edit(width=50, height=30, mask=None, role="source"):
    shown = [Reference(1, noise(width, height), "source image", role)]
    if mask is not None:
        shown.append(Reference(2, mask, "mask", "mask"))
    return Instruction("Remove the dog in [ref#1].", tuple(shown))


def white(width, height, left, top, right, bottom):
    mask = np.zeros((height, width, 3), np.uint8)
    mask[top:bottom, left:right] = 255
    return mask


def test_it_is_the_upscaler_on_what_the_base_model_draws(stages, cascade):
    base, upscaler = stages
    one = Instruction("A dog like [ref#1].", (Reference(1, noise(20, 20), "dog", "subject"),))
    generator = torch.Generator().manual_seed(3)
    small = base(one, num_inference_steps=2, generator=generator).images
    large = upscaler(one, small, num_inference_steps=2, generator=generator).images
    assert np.array_equal(drawn(cascade, one, seeds=(3,))[0], np.asarray(large[0]))
    assert large[0].size == (cascade.size, cascade.size) == (16, 16)
    alone = drawn(Cascade(base), one, seeds=(3,))[0]
    assert np.array_equal(alone, np.asarray(small[0]))


def test_a_masked_edit_has_the_pictures_size_and_keeps_the_rest(cascade):
    mask = white(50, 30, 10, 10, 22, 20)
    result = drawn(cascade, edit(mask=mask))[0]
    outside = mask[..., 0] == 0
    assert np.array_equal(result[outside], noise(50, 30)[outside])
    assert (result != noise(50, 30)).any()


def test_an_edit_does_not_depend_on_the_rest_of_its_batch(cascade):
    plain = Instruction("A dog.")
    mask = white(50, 30, 10, 10, 22, 20)
    batch = drawn(cascade, plain, edit(mask=mask), edit(33, 47), seeds=(1, 2, 3))
    assert [image.shape[:2] for image in batch] == [(16, 16), (30, 50), (47, 33)]
    alone = drawn(cascade, edit(mask=mask), seeds=(2,))[0]
    assert np.abs(alone.astype(int) - batch[1]).max() <= 1  # another batch, other rounding


def test_models_see_a_square_around_the_mask(cascade, monkeypatch):
    seen = []
    original = type(cascade.base).__call__

    def look(self, instructions, **options):
        seen.extend(instructions)
        return original(self, instructions, **options)

    monkeypatch.setattr(type(cascade.base), "__call__", look)
    mask = white(100, 60, 40, 20, 48, 26)
    drawn(cascade, edit(100, 60, mask=mask))
    source, shown = (np.asarray(reference.image) for reference in seen[0].references)
    assert np.array_equal(source, noise(100, 60)[15:31, 36:52])
    assert np.array_equal(shown, mask[15:31, 36:52])


def test_a_threshold_decides_what_is_restored_without_a_mask(cascade):
    source = noise(50, 30)
    nothing, something = (
        drawn(cascade, edit(), threshold=threshold)[0] for threshold in (1.0, 0.0)
    )
    assert np.array_equal(nothing, source)
    assert (something != source).any(axis=2).mean() > 0.9


@pytest.mark.parametrize("shared", [True, False])
def test_asked_to_change_nothing_it_gives_the_source_itself(cascade, shared):
    source = Reference(1, noise(50, 30), "source image", "source")
    nothing = Instruction("Show [ref#1] again exactly as it is.", (source,))
    something = Instruction("A dog on [ref#1].", (source,))
    seeds = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    options = {"num_inference_steps": 2, "upscaler_steps": 2, "threshold": 0.01}
    generator = seeds[0] if shared else seeds
    first, second = cascade([nothing, something], generator=generator, **options).images
    # The tiny model draws nothing like the source, but the same when it is asked the same.
    assert np.array_equal(np.asarray(first), noise(50, 30))
    assert not np.array_equal(np.asarray(second), noise(50, 30))
    torch.manual_seed(0)
    assert np.array_equal(np.asarray(cascade(nothing, **options).images[0]), noise(50, 30))


def test_without_compositing_an_edit_is_what_the_models_draw(cascade, stages):
    one = edit(mask=white(50, 30, 10, 10, 22, 20))
    found = drawn(cascade, one, compositing=False)[0]
    base, upscaler = stages
    generator = torch.Generator().manual_seed(1)
    small = base(one, num_inference_steps=2, generator=generator).images
    large = upscaler(one, small, num_inference_steps=2, generator=generator).images
    assert np.array_equal(found, np.asarray(large[0]))


def test_a_black_mask_gives_the_source_itself_and_draws_nothing(cascade, monkeypatch):
    black, other = edit(mask=np.zeros((30, 50, 3), np.uint8)), edit(33, 47)
    with pytest.warns(UserWarning, match="no white"):
        both = drawn(cascade, black, other, seeds=(1, 2))
    assert np.array_equal(both[0], noise(50, 30))
    assert np.abs(both[1].astype(int) - drawn(cascade, other, seeds=(2,))[0]).max() <= 1
    monkeypatch.setattr(type(cascade.base), "__call__", None)
    with pytest.warns(UserWarning, match="no white"):
        assert np.array_equal(drawn(cascade, black)[0], noise(50, 30))


def test_a_mask_of_something_else_is_no_edit(cascade):
    mask = Reference(1, white(20, 20, 3, 3, 9, 9), "mask", "mask")
    one = Instruction("A dog where [ref#1] is white.", (mask,))
    assert drawn(cascade, one)[0].shape == (16, 16, 3)


def _parts(pipeline):
    return pipeline.text_encoder, pipeline.scheduler


def test_what_cannot_be_done_is_said(cascade, stages):
    with pytest.raises(ImageError, match="20 × 20 pixels and the picture 50 × 30"):
        drawn(cascade, edit(mask=white(20, 20, 1, 1, 5, 5)))
    with pytest.raises(ValueError, match="threshold=2"):
        drawn(cascade, edit(), threshold=2)
    with pytest.raises(ModelError, match="enlarges 4 pixels, and the base model draws 16"):
        Cascade(InstructImagenPipeline(tiny.own_unet(), *_parts(stages[0])), stages[1])
    with pytest.raises(ModelError, match="is a base model"):
        Cascade.from_pretrained("starter", "starter")


def test_a_saved_cascade_draws_the_same(cascade, tmp_path):
    cascade.base.save_pretrained(tmp_path / "base")
    cascade.upscaler.save_pretrained(tmp_path / "upscaler")
    again = Cascade.from_pretrained(tmp_path / "base", tmp_path / "upscaler")
    again.set_progress_bar_config(disable=True)
    one = edit(mask=white(50, 30, 10, 10, 22, 20))
    first, second = drawn(cascade, one)[0], drawn(again, one)[0]
    assert np.array_equal(first, second)
    assert Image.fromarray(first).size == (50, 30)
