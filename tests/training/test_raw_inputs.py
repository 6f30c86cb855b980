"""A run without instructions: what it trains on, and that its pipeline samples from the same."""

from __future__ import annotations

import pytest
import torch

from instruct_imagen.data.batch import make_batch
from instruct_imagen.data.example import without_instruction
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.evaluation.cases import fixed_examples, to_instruction
from instruct_imagen.pipeline import InstructImagenPipeline
from instruct_imagen.training import backward
from instruct_imagen.training.checkpoint import CheckpointError
from instruct_imagen.training.export import export
from instruct_imagen.training.loop import Trainer
from instruct_imagen.training.step import encode_batch
from tests.training.runs import tiny

RAW = ("instruction=false", "precision=fp32")


def test_a_raw_run_trains_on_captions_and_bare_pictures(tmp_path, monkeypatch):
    batches = []

    def noted(*given, **options):
        batches.append(make_batch(*given, **options))
        return batches[-1]

    monkeypatch.setattr(backward, "make_batch", noted)
    trainer = Trainer(tiny(tmp_path / "run", *RAW, "drop_both=0", "drop_context=0"))
    trainer.run()
    assert trainer.images == 40
    texts = [text for batch in batches for text in batch.texts]
    assert not any("[ref#" in text for text in texts)
    assert any(texts)
    assert {prompt for batch in batches for prompt in batch.reference_prompts} == {""}
    assert {marker for batch in batches for marker in batch.markers.tolist()} == {0}
    assert (tmp_path / "run/sheets/images-000000040.png").is_file()
    export(trainer, tmp_path / "exported")
    assert InstructImagenPipeline.from_pretrained(tmp_path / "exported").instruction is False
    with pytest.raises(CheckpointError, match="instruction: False, now True"):
        Trainer(tiny(tmp_path / "run", "precision=fp32"))


@pytest.mark.parametrize("raw", [True, False])
def test_a_run_samples_from_the_inputs_that_it_trains_on(tmp_path, raw):
    trainer = Trainer(tiny(tmp_path / "run", f"instruction={not raw}", "precision=fp32"))
    pipeline = trainer.averaged()
    given = []
    encode = pipeline.unet.encode_context
    pipeline.unet.encode_context = lambda *inputs: given.append(inputs[0]) or encode(*inputs)
    texts = []
    pipeline.unet.register_forward_pre_hook(lambda _, inputs: texts.append(inputs[2]))
    examples = [row[0] for _, row in fixed_examples(trainer.world.vocabulary, each=1)]
    atlas, size = trainer.world.atlas, trainer.config.size
    instructions = []
    for example in examples:
        pictures = [reference.picture for reference in example.references]
        pixels = render_pictures(pictures, atlas, size) if pictures else []
        shown = [picture.permute(1, 2, 0).numpy() for picture in pixels]
        instructions.append(to_instruction(example, shown, instruction=not raw))
    pipeline(instructions, num_inference_steps=1, guidance_scale=1)
    trained = [without_instruction(example) for example in examples] if raw else examples
    expected = encode_batch(
        make_batch(trained, atlas, size),
        trainer.encoder,
        device=torch.device("cpu"),
        channels_last=True,
    )
    assert torch.equal(texts[0].states, expected.text.states)
    assert torch.equal(texts[0].markers, expected.text.markers)
    for name in ("images", "sample", "slot", "markers"):
        assert torch.equal(getattr(given[0], name), getattr(expected.references, name)), name
    assert torch.equal(given[0].text.states, expected.references.text.states)
