"""A subject in the style of a style image: held out of training ([Hu24] §5)."""

from __future__ import annotations

from instruct_imagen.data.tasks.combining import CombinationTask, Kind


class StyleSubject(CombinationTask):
    """The target shows the subject as the artist of the style image would draw it."""

    name = "style_subject"
    kinds = (Kind(subjects=1, style=True),)
    forms = kinds[0].forms


TASK = StyleSubject
