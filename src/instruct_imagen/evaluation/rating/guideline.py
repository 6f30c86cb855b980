"""What raters are told: ImagenHub's human evaluation in our words.

After M. Ku et al., "ImagenHub: Standardizing the evaluation of conditional image generation
models", ICLR 2024, whose protocol [Hu24] A.4 follows, and the guideline in its documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from instruct_imagen.evaluation.case import Case, ConditionKind

SCALES: tuple[Mapping[str, Any], ...] = (
    {
        "name": "sc",
        "title": "Consistent?",
        "note": "worst condition counts",
        "grades": (
            ("1", 0.0, "No", "one condition is not met at all"),
            ("2", 0.5, "Partly", "each is met in part or more"),
            ("3", 1.0, "Yes", "each is met for the most part"),
        ),
    },
    {
        "name": "pq",
        "title": "Well made?",
        "note": "whatever was asked for",
        "grades": (
            ("q", 0.0, "Broken", "things cannot be recognised"),
            ("w", 0.5, "Flawed", "recognisable, with flaws or odd"),
            ("e", 1.0, "Clean", "no damage, little or nothing odd"),
        ),
    },
)
"""For each of the two scores: key, value, name and meaning of its grades."""

GUIDELINE = (
    "Give each image two grades. They are independent: a perfect picture of the wrong thing is "
    "<b>No</b> and <b>Clean</b>.",
    "<b>Consistency.</b> Go through the conditions one by one, and ask of each: is it met for the "
    "most part, in part, or not at all? If one is not met at all the image is a <b>No</b>, however "
    "good the others are. If all are met for the most part it is a <b>Yes</b>. Else it is "
    "<b>Partly</b>. In an edit, what was not to change is a condition too.",
    "<b>Quality.</b> Forget what was asked. <b>Broken</b>: damage leaps to the eye, and things "
    "cannot be made out. <b>Flawed</b>: you know what is shown, but there are smears, scratches, "
    "blur, deformed or doubled parts, things that do not fit together, or sizes, shadows and light "
    "that feel wrong. <b>Clean</b>: it could be a real picture of its kind.",
    "A drawing need not look like a photograph, and few pixels are no flaw: judge it as a drawing "
    "of that size. The images of one case come one after the other, in an order that is drawn "
    "anew; they may be alike. Rate each for itself.",
)
"""Paragraphs, HTML."""

_QUESTIONS: Mapping[ConditionKind, str] = {
    "text": "shows what the words say",
    "subject": "is this very thing",
    "face": "is this very person",
    "style": "drawn in this style",
    "depth": "near and far as in the depth map",
    "mask": "the thing fills the mask",
    "edge": "follows the edges",
    "sketch": "follows the sketch",
    "content": "shows the same things, in the same places",
    "background": "has this background",
    "edit": "the change that the words ask for",
    "source": "all else stays as it was",
}


def questions(case: Case) -> list[dict[str, Any]]:
    """What a rater checks: words of each condition, with the marker that shows it or None."""
    return [{"text": _QUESTIONS[one.kind], "marker": one.marker} for one in case.conditions]
