"""Three to five conditions at once: held out of training ([Hu24] §5)."""

from __future__ import annotations

from instruct_imagen.data.tasks.combining import CombinationTask, Kind


class ManyConditions(CombinationTask):
    """Subjects, a style, a control and a background, each told by its own reference.

    Where a style is given, it holds for the subjects too, and the text says so: their references
    tell what they are, not how they are drawn.
    """

    name = "many_conditions"
    kinds = (
        Kind(subjects=1, style=True, control=True),
        Kind(subjects=2, style=True),
        Kind(subjects=2, control=True),
        Kind(subjects=1, style=True, control=True, background=True),
        Kind(subjects=2, style=True, control=True, background=True),
    )
    # Captions with the markers inside suit one subject and two.
    forms = (
        frozenset({"scene", "style", "control"}),
        frozenset({"scene", "style"}),
        frozenset({"scene", "control"}),
        frozenset({"scene", "style", "control", "background"}),
    )


TASK = ManyConditions
