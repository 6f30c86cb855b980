from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from instruct_imagen.data.batch import Batch, make_batch
from instruct_imagen.data.example import Example, ExampleReference, without_instruction
from instruct_imagen.data.tasks import all_tasks
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.fallback import fallback_atlas, fallback_vocabulary
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.data.world.scenes import scene_rng

SIZE = 32
# Of none, one, two and three references, so that packing has gaps to skip.
TASKS = ("subject", "text_to_image", "style_transfer", "retrieval", "edge_to_image")


@pytest.fixture(scope="module")
def atlas() -> Atlas:
    """Our own drawings: packing does not depend on the artwork."""
    return fallback_atlas()


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    """Two of each of `TASKS`, interleaved."""
    words, tasks = fallback_vocabulary(), all_tasks()
    return [
        tasks[name]().example(scene_rng(0, index), words) for index in range(2) for name in TASKS
    ]


def places(examples: list[Example]) -> list[tuple[int, int, ExampleReference]]:
    """(example, slot, reference) in the order in which they are packed."""
    return [
        (index, slot, reference)
        for index, example in enumerate(examples)
        for slot, reference in enumerate(example.references)
    ]


def same(one: Batch, two: Batch) -> bool:
    pairs = ((getattr(one, name), getattr(two, name)) for name in vars(one))
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in pairs)


def test_only_existing_references_are_packed_in_order(
    examples: list[Example], atlas: Atlas
) -> None:
    batch = make_batch(examples, atlas, SIZE)
    packed = places(examples)
    assert {len(example.references) for example in examples} >= {0, 1, 2, 3}
    assert batch.sample.tolist() == [index for index, _, _ in packed]
    assert batch.slot.tolist() == [slot for _, slot, _ in packed]
    assert batch.markers.tolist() == [reference.marker for _, _, reference in packed]
    assert batch.reference_prompts == tuple(
        f"[ref#{reference.marker}] {reference.text}" for _, _, reference in packed
    )
    assert batch.slots == 3
    layouts = ("edge", "sketch", "depth", "mask")
    assert batch.lends.tolist() == [reference.role not in layouts for _, _, reference in packed]
    assert set(batch.lends.tolist()) == {True, False}
    assert batch.tasks == TASKS * 2
    assert batch.texts == tuple(example.text for example in examples)
    assert all(packed.dtype == torch.int64 for packed in (batch.sample, batch.slot, batch.markers))


def test_pixels_are_those_of_the_pictures(examples: list[Example], atlas: Atlas) -> None:
    batch = make_batch(examples, atlas, SIZE)
    pictures = [reference.picture for _, _, reference in places(examples)]
    assert batch.targets.shape == (len(examples), 3, SIZE, SIZE)
    assert batch.reference_images.shape == (len(pictures), 3, SIZE, SIZE)
    assert batch.targets.dtype == batch.reference_images.dtype == torch.uint8
    for example, found in zip(examples, batch.targets, strict=True):
        assert torch.equal(found, render_pictures([example.target], atlas, SIZE)[0])
    for picture, found in zip(pictures, batch.reference_images, strict=True):
        assert torch.equal(found, render_pictures([picture], atlas, SIZE)[0])


def test_references_that_share_a_marker_keep_their_own_slots(atlas: Atlas) -> None:
    """Two pictures of one subject."""
    task, words = all_tasks()["subject"](), fallback_vocabulary()
    drawn = (task.example(scene_rng(0, index), words) for index in range(200))
    example = next(example for example in drawn if len(example.references) == 2)
    batch = make_batch([example], atlas, SIZE)
    assert batch.markers.tolist() == [1, 1]
    assert batch.slot.tolist() == [0, 1]
    assert batch.sample.tolist() == [0, 0]
    assert not torch.equal(batch.reference_images[0], batch.reference_images[1])


def test_a_shared_reference_is_kept_once(atlas: Atlas) -> None:
    words = fallback_vocabulary()
    pairs = [all_tasks()["retrieval"]().cluster_examples(scene_rng(0, n), words) for n in range(3)]
    examples = [example for pair in pairs for example in pair]
    # The last one has the same pictures under other markers, so with other prompts.
    changed = [replace(shown, marker=4 - shown.marker) for shown in examples[-1].references]
    examples[-1] = replace(examples[-1], references=tuple(changed))
    batch = make_batch(examples, atlas, SIZE, drop_context=[False, True, *[False] * 4])
    packed = [place for place in places(examples) if place[0] != 1]
    assert len(batch.reference_images) == len(batch.markers) == len(batch.reference_prompts) == 11
    assert batch.sample.tolist() == [index for index, _, _ in packed]
    assert batch.slot.tolist() == [slot for _, slot, _ in packed]
    assert batch.reference.shape == (15,)
    for number, (_, _, shown) in zip(batch.reference.tolist(), packed, strict=True):
        assert batch.markers[number] == shown.marker
        assert batch.reference_prompts[number] == f"[ref#{shown.marker}] {shown.text}"
        pixels = render_pictures([shown.picture], atlas, SIZE)[0]
        assert torch.equal(batch.reference_images[number], pixels)


def test_dropped_text_is_empty_and_nothing_else_changes(
    examples: list[Example], atlas: Atlas
) -> None:
    flags = [index % 3 == 0 for index in range(len(examples))]
    batch = make_batch(examples, atlas, SIZE, drop_text=flags)
    whole = make_batch(examples, atlas, SIZE)
    assert batch.texts == tuple(
        "" if gone else text for gone, text in zip(flags, whole.texts, strict=True)
    )
    assert batch.reference_prompts == whole.reference_prompts
    assert torch.equal(batch.reference_images, whole.reference_images)
    assert torch.equal(batch.targets, whole.targets)


def test_dropped_context_is_left_out(examples: list[Example], atlas: Atlas) -> None:
    flags = [index % 2 == 0 for index in range(len(examples))]
    batch = make_batch(examples, atlas, SIZE, drop_context=flags)
    whole = make_batch(examples, atlas, SIZE)
    kept = [row for row, index in enumerate(whole.sample.tolist()) if not flags[index]]
    assert 0 < len(kept) < len(whole.sample)
    assert torch.equal(batch.sample, whole.sample[kept])
    assert torch.equal(batch.slot, whole.slot[kept])
    assert torch.equal(batch.markers, whole.markers[kept])
    assert torch.equal(batch.reference_images, whole.reference_images[kept])
    assert batch.reference_prompts == tuple(whole.reference_prompts[row] for row in kept)
    assert torch.equal(batch.targets, whole.targets)
    assert batch.texts == whole.texts


def test_raw_inputs_are_captions_and_bare_pictures(examples: list[Example], atlas: Atlas) -> None:
    raw = make_batch([without_instruction(example) for example in examples], atlas, SIZE)
    whole = make_batch(examples, atlas, SIZE)
    assert raw.texts == tuple(example.caption for example in examples)
    assert set(raw.reference_prompts) == {""}
    assert set(raw.markers.tolist()) == {0}
    for name in ("targets", "reference_images", "sample", "slot"):
        assert torch.equal(getattr(raw, name), getattr(whole, name)), name
    assert (raw.slots, raw.tasks) == (whole.slots, whole.tasks)


def test_without_any_reference(examples: list[Example], atlas: Atlas) -> None:
    nothing = make_batch(examples, atlas, SIZE, drop_context=[True] * len(examples))
    assert nothing.slots == 0
    assert nothing.reference_prompts == ()
    assert nothing.reference_images.shape == (0, 3, SIZE, SIZE)
    assert nothing.sample.shape == nothing.slot.shape == nothing.markers.shape == (0,)
    assert nothing.sample.dtype == torch.int64
    alone = make_batch([examples[TASKS.index("text_to_image")]], atlas, SIZE)
    assert alone.slots == 0 and len(alone.targets) == 1


def test_same_examples_same_batch(examples: list[Example], atlas: Atlas) -> None:
    assert same(make_batch(examples, atlas, SIZE), make_batch(examples, atlas, SIZE))
    half = make_batch(examples[5:], atlas, SIZE)
    whole = make_batch(examples, atlas, SIZE)
    assert torch.equal(half.targets, whole.targets[5:])
    assert torch.equal(half.sample + 5, whole.sample[whole.sample >= 5])


@pytest.mark.parametrize("which", ["drop_text", "drop_context"])
def test_flags_must_match_the_examples(examples: list[Example], atlas: Atlas, which: str) -> None:
    """One flag an example: neither fewer nor more."""
    for count in (len(examples) - 1, len(examples) + 1):
        with pytest.raises(ValueError, match=f"{which} has {count} flags for {len(examples)}"):
            make_batch(examples, atlas, SIZE, **{which: [False] * count})
