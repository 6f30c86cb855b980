from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from accelerate.hooks import ModelHook, add_hook_to_module

from instruct_imagen.model.unet import InstructUNet
from tests import tiny

SHAPES = {"sd": (tiny.sd_unet, 4), "if": (tiny.if_unet, 3)}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("owners", [[], [0, 0, 1]])
def test_an_adapted_backbone_is_bit_identical_before_its_first_step(name, owners):
    make, channels = SHAPES[name]
    backbone = make()
    adapted = InstructUNet.from_unet(backbone).eval()
    sample = torch.randn(2, channels, 16, 16)
    steps = torch.tensor([10, 900])
    text = tiny.texts(2, 24)
    text.markers[:, 1] = 2
    with torch.no_grad():
        expected = backbone(
            sample, steps, text.states, encoder_attention_mask=text.mask, return_dict=False
        )[0]
        given = tiny.references(owners, batch=2, channels=channels, size=16, dim=24)
        context = adapted.encode_context(given, (16, 16))
        assert torch.equal(adapted(sample, steps, text, context), expected)
        assert torch.equal(adapted(sample, steps, text, None), expected)


@pytest.mark.parametrize("name", SHAPES)
def test_an_adapted_backbone_follows_its_references_once_trained(name):
    make, channels = SHAPES[name]
    model = tiny.awaken(InstructUNet.from_unet(make()).eval())
    sample, steps = torch.randn(1, channels, 16, 16), torch.tensor([500])
    text = tiny.texts(1, 24)
    with torch.no_grad():
        outputs = [
            model(
                sample,
                steps,
                text,
                model.encode_context(
                    tiny.references([0], batch=1, channels=channels, size=16, dim=24, seed=seed),
                    (16, 16),
                ),
            )
            for seed in (1, 2)
        ]
    assert (outputs[0] - outputs[1]).abs().max() > 1e-4


def test_our_own_unet_is_unmoved_by_context_at_first():
    model = tiny.own_unet()
    sample, steps, text = torch.randn(2, 3, 16, 16), torch.tensor([3, 700]), tiny.texts(2, 384)
    given = tiny.references([0, 1, 1], batch=2, channels=3, size=16, dim=384)
    with torch.no_grad():
        context = model.encode_context(given, (16, 16))
        assert torch.equal(model(sample, steps, text, context), model(sample, steps, text, None))


def test_an_absent_reference_changes_nothing():
    """Sample 0 has one reference; whether sample 1 has one or three must not matter to it."""
    model = tiny.awaken(tiny.own_unet())
    sample, steps, text = torch.randn(2, 3, 16, 16), torch.tensor([500, 500]), tiny.texts(2, 384)
    many = tiny.references([0, 1, 1, 1], batch=2, channels=3, size=16, dim=384)
    few = tiny.references([0, 1, 1, 1], batch=2, channels=3, size=16, dim=384)
    few = type(few)(
        **{
            **few.__dict__,
            "images": few.images[:2],
            "text": type(few.text)(
                states=few.text.states[:2], mask=few.text.mask[:2], markers=few.text.markers[:2]
            ),
            "reference": few.reference[:2],
            "sample": few.sample[:2],
            "slot": few.slot[:2],
            "markers": few.markers[:2],
            "slots": 1,
        }
    )
    with torch.no_grad():
        with_many = model(sample, steps, text, model.encode_context(many, (16, 16)))
        with_few = model(sample, steps, text, model.encode_context(few, (16, 16)))
    assert torch.allclose(with_many[0], with_few[0], atol=1e-5)
    assert (with_many[1] - with_few[1]).abs().max() > 1e-4


def test_the_order_of_packing_changes_nothing():
    model = tiny.awaken(tiny.own_unet())
    sample, steps, text = torch.randn(1, 3, 16, 16), torch.tensor([500]), tiny.texts(1, 384)
    given = tiny.references([0, 0, 0], batch=1, channels=3, size=16, dim=384)
    order = torch.tensor([2, 0, 1])
    shuffled = type(given)(
        **{
            **given.__dict__,
            "images": given.images[order],
            "text": type(given.text)(
                states=given.text.states[order], mask=given.text.mask, markers=given.text.markers
            ),
            "markers": given.markers[order],
        }
    )
    with torch.no_grad():
        one = model(sample, steps, text, model.encode_context(given, (16, 16)))
        other = model(sample, steps, text, model.encode_context(shuffled, (16, 16)))
    assert torch.allclose(one, other, atol=1e-5)


def test_the_marker_of_a_reference_matters():
    model = tiny.awaken(tiny.own_unet())
    sample, steps, text = torch.randn(1, 3, 16, 16), torch.tensor([500]), tiny.texts(1, 384)
    with torch.no_grad():
        outputs = [
            model(
                sample,
                steps,
                text,
                model.encode_context(
                    tiny.references([0, 0], batch=1, channels=3, size=16, dim=384, markers=markers),
                    (16, 16),
                ),
            )
            for markers in ([1, 2], [2, 1])
        ]
    assert (outputs[0] - outputs[1]).abs().max() > 1e-4


def test_each_reference_changes_the_output_after_some_training():
    model = tiny.own_unet().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    sample, steps, text = torch.randn(2, 3, 16, 16), torch.tensor([900, 900]), tiny.texts(2, 384)
    given = tiny.references([0, 0, 1, 1], batch=2, channels=3, size=16, dim=384)
    target = given.images[::2] - given.images[1::2]
    for _ in range(12):
        context = model.encode_context(given, (16, 16))
        loss = (model(sample, steps, text, context) - target).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    with torch.no_grad():
        before = model(sample, steps, text, model.encode_context(given, (16, 16)))
        for index in range(4):
            images = given.images.clone()
            images[index] = -images[index]
            changed = type(given)(**{**given.__dict__, "images": images})
            after = model(sample, steps, text, model.encode_context(changed, (16, 16)))
            own, other = index // 2, 1 - index // 2
            assert (after[own] - before[own]).abs().max() > 1e-3
            assert torch.allclose(after[other], before[other], atol=1e-5)


def test_gradients_reach_the_encoder_through_the_context():
    """With the noisy sample's own path cut off, conv_in still learns: from the references."""
    model = tiny.awaken(tiny.own_unet())
    given = tiny.references([0, 0], batch=1, channels=3, size=16, dim=384)
    context = model.encode_context(given, (16, 16))
    sum(value.square().sum() for value in context.values).backward()
    assert model.unet.conv_in.weight.grad.abs().max() > 0
    assert model.marker_context.weight.grad[1:3].abs().max() > 0
    resnet = model.unet.down_blocks[0].resnets[0].conv1
    assert resnet.weight.grad.abs().max() > 0


def test_cached_keys_and_values_equal_those_of_a_doubled_batch():
    model = tiny.awaken(tiny.own_unet())
    given = tiny.references([0, 1, 1], batch=2, channels=3, size=16, dim=384)
    nothing = tiny.references([], batch=2, channels=3, size=16, dim=384)
    sample, steps = torch.randn(4, 3, 16, 16), torch.full((4,), 300)
    text = tiny.texts(4, 384)
    with torch.no_grad():
        full = model.encode_context(given, (16, 16))
        empty = model.encode_context(nothing, (16, 16))
        joined = model(sample, steps, text, full.concatenated(empty))
        first = type(text)(states=text.states[:2], mask=text.mask[:2], markers=text.markers[:2])
        apart = model(sample[:2], steps[:2], first, full)
    assert torch.allclose(joined[:2], apart, atol=1e-5)


def test_save_and_load_give_the_same_network(tmp_path):
    model = tiny.awaken(tiny.own_unet())
    model.save_pretrained(tmp_path)
    again = InstructUNet.from_pretrained(tmp_path).eval()
    sample, steps, text = torch.randn(1, 3, 16, 16), torch.tensor([500]), tiny.texts(1, 384)
    given = tiny.references([0], batch=1, channels=3, size=16, dim=384)
    with torch.no_grad():
        assert torch.equal(
            model(sample, steps, text, model.encode_context(given, (16, 16))),
            again(sample, steps, text, again.encode_context(given, (16, 16))),
        )


def test_a_unet_without_text_attention_is_refused():
    config = dict(tiny.own_unet().config.unet_config)
    config["down_block_types"] = ("DownBlock2D", "DownBlock2D")
    config["up_block_types"] = ("UpBlock2D", "UpBlock2D")
    config["mid_block_type"] = "UNetMidBlock2D"
    with pytest.raises(ValueError, match="no attention to text"):
        InstructUNet(config, space_to_depth=2)


@pytest.mark.parametrize("owners", [[], [0, 0, 1]])
def test_half_precision_needs_no_autocast(owners):
    model = tiny.awaken(tiny.own_unet())
    sample, steps, text = torch.randn(2, 3, 16, 16), torch.tensor([3, 700]), tiny.texts(2, 384)
    given = tiny.references(owners, batch=2, channels=3, size=16, dim=384)
    half = torch.nn.Module.to(tiny.awaken(tiny.own_unet()), torch.bfloat16)
    dtype = torch.bfloat16
    given_half = replace(given, images=given.images.to(dtype), text=given.text.to("cpu", dtype))
    with torch.no_grad():
        expected = model(sample, steps, text, model.encode_context(given, (16, 16)))
        context = half.encode_context(given_half, (16, 16))
        found = half(sample.to(dtype), steps, text.to("cpu", dtype), context)
    assert found.dtype == dtype
    assert (found.float() - expected).abs().max() < 0.1 * expected.abs().max()


def test_offloaded_weights_are_brought_in_before_references_are_encoded():
    class Recording(ModelHook):
        calls = 0

        def pre_forward(self, module, *inputs, **options):
            self.calls += 1
            return inputs, options

    model, hook = tiny.own_unet(), Recording()
    add_hook_to_module(model, hook)
    model.encode_context(tiny.references([0], batch=1, channels=3, size=16, dim=384), (16, 16))
    assert hook.calls == 1
