"""The sample sheet, column by column."""

from __future__ import annotations

import numpy as np
from PIL import Image

from instruct_imagen.data.world.fallback import fallback_atlas, fallback_vocabulary
from instruct_imagen.evaluation.cases import fixed_examples
from instruct_imagen.instruction import Instruction, without_markers
from instruct_imagen.training.sheet import Sheet, draw_sheet

SIZE = 16
SHOWN = 64
HEADER = 12


class Painter:
    """In a pipeline's place: a grey that says how many references there were, then their mean."""

    size = SIZE
    instruction = True

    def __init__(self):
        self.seen: list[tuple[Instruction, int]] = []

    def __call__(self, instructions, *, num_inference_steps, generator):
        made = []
        for one, random in zip(instructions, generator, strict=True):
            self.seen.append((one, random.initial_seed()))
            means = [int(np.mean(reference.image)) for reference in one.references]
            made.append(Image.new("RGB", (SIZE, SIZE), (len(means), *([*means, 0, 0][:2]))))
        return type("Output", (), {"images": made})


def test_results_without_and_with_swapped_references_stand_beside_the_true_answer():
    rows = fixed_examples(fallback_vocabulary(), each=2)
    painter = Painter()
    sheet = Sheet(rows=rows, atlas=fallback_atlas())
    picture = np.asarray(draw_sheet(painter, sheet))
    for number, (title, examples) in enumerate(rows):
        top = HEADER + number * (SHOWN + HEADER) + HEADER
        lefts = (0, 6 * SHOWN + 6)
        results = [picture[top, left + 3 * SHOWN : left + 6 * SHOWN : SHOWN] for left in lefts]
        for result, example in zip(results, examples, strict=True):
            count = len(example.references)
            assert result[0][0] == count, title
            if count:
                assert tuple(result[1]) == (0, 0, 0)
        if all(len(example.references) == 1 for example in examples):
            # With the other example's reference, the painter paints what the other one's result is.
            assert tuple(results[0][2]) == tuple(results[1][0])
            assert tuple(results[1][2]) == tuple(results[0][0])
    # All three results of an example start from the same noise: that of its own number.
    flat = [example for _, examples in rows for example in examples]
    referring = [number for number, example in enumerate(flat) if example.references]
    drawn = [seed for _, seed in painter.seen]
    assert drawn == [*range(len(flat)), *referring, *referring]


def test_a_pipeline_of_raw_inputs_gets_captions():
    rows = fixed_examples(fallback_vocabulary(), each=2)
    painter = Painter()
    painter.instruction = False
    picture = np.asarray(draw_sheet(painter, Sheet(rows=rows, atlas=fallback_atlas())))
    flat = [example for _, examples in rows for example in examples]
    referring = [example for example in flat if example.references]
    worded = [example for example in referring if example.caption]
    texts = [without_markers(one.text) for one, _ in painter.seen]
    assert texts == [example.caption for example in (*flat, *worded, *referring)]
    # What has neither caption nor references asks for nothing: its result is blank.
    number = [title for title, _ in rows].index("style_transfer")
    top = HEADER + number * (SHOWN + HEADER) + HEADER
    assert (picture[top : top + SHOWN, 4 * SHOWN : 5 * SHOWN] == 232).all()
