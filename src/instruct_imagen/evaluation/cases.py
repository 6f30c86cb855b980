"""Instructions from the starter world that no training draws, for sheets, demo and suites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from instruct_imagen.data.example import Example, ExampleReference, Picture
from instruct_imagen.data.mixture import PAPER_RATIOS
from instruct_imagen.data.tasks.registry import all_tasks
from instruct_imagen.data.world.scenes import caption, sample_scene, scene_rng
from instruct_imagen.data.world.vocabulary import Vocabulary
from instruct_imagen.instruction import Instruction, Reference

CASE_SEED = 2**40
"""Far from the seeds of training: these scenes are never trained on."""

Rows = tuple[tuple[str, tuple[Example, ...]], ...]


def fixed_examples(vocabulary: Vocabulary, each: int = 4) -> Rows:
    """`each` examples of each task of the paper's mixture and of style + subject, never trained."""
    tasks = all_tasks()
    rows = []
    for number, name in enumerate(name for name, ratio in PAPER_RATIOS.items() if ratio > 0):
        task = tasks[name]()
        drawn = (
            task.example(scene_rng(CASE_SEED + number, index), vocabulary) for index in range(each)
        )
        rows.append((name, tuple(drawn)))
    combined = tuple(style_and_subject(vocabulary, index) for index in range(each))
    return (*rows, ("style + subject", combined))


def further_examples(ratios: Mapping[str, float], vocabulary: Vocabulary, each: int = 4) -> Rows:
    """`each` examples of each task of these ratios that `fixed_examples` lacks, never trained."""
    tasks = all_tasks()
    rows = []
    for name, ratio in ratios.items():
        if ratio > 0 and name in tasks and not PAPER_RATIOS.get(name):
            task = tasks[name]()
            rngs = (scene_rng(CASE_SEED + 200, index) for index in range(each))
            rows.append((name, tuple(task.example(rng, vocabulary) for rng in rngs)))
    return tuple(rows)


def style_and_subject(vocabulary: Vocabulary, index: int) -> Example:
    """The subject of one reference in the style of another: a combination held out of training."""
    rng = scene_rng(CASE_SEED + 100, index)
    # A colour of its own would be a third thing to take over, and ink has none.
    variety = replace(vocabulary.variety, turned=0, tinted=0)
    vocabulary = replace(vocabulary, variety=variety)
    subject = all_tasks()["subject"]().example(rng, vocabulary).references[0]
    shown = subject.picture.scene.placements[0]
    styles = [style for style in vocabulary.styles_of(shown.concept) if style != shown.style]
    style = styles[int(rng.random() * len(styles))]
    others = [name for name in vocabulary.concepts_of(style) if name != shown.concept]
    other = others[int(rng.random() * len(others))]
    style_image = sample_scene(rng, vocabulary, assets=[(other, style)])
    target = sample_scene(rng, vocabulary, assets=[(shown.concept, style)])
    words = caption(target, rng, with_style=False)
    return Example(
        task="style + subject",
        text=f"Draw the [ref#1] {subject.text} in the style of [ref#2]: {words}.",
        caption=words,
        references=(
            subject,
            ExampleReference(
                marker=2, text="style image", role="style", picture=Picture(scene=style_image)
            ),
        ),
        target=Picture(scene=target),
    )


def to_instruction(
    example: Example, pictures: Sequence[np.ndarray], *, instruction: bool = True
) -> Instruction:
    """An example as the pipeline takes it.

    Args:
        example: The example.
        pictures: Its rendered references (uint8 HWC each).
        instruction: False for a pipeline of raw inputs, which sees the caption alone; the markers
            before it say that the references are meant, and such a pipeline removes them.
    """
    markers = dict.fromkeys(f"[ref#{reference.marker}]" for reference in example.references)
    return Instruction(
        example.text if instruction else " ".join([*markers, example.caption]).strip(),
        tuple(
            Reference(reference.marker, pixels, reference.text, reference.role)
            for reference, pixels in zip(example.references, pictures, strict=True)
        ),
    )
