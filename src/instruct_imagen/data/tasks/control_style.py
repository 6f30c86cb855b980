"""A caption, where a control has it and in the style of an image: held out ([Hu24] §5)."""

from __future__ import annotations

from instruct_imagen.data.tasks.combining import CombinationTask, Kind


class ControlStyle(CombinationTask):
    """The control says where everything is, the style image how it is drawn."""

    name = "control_style"
    kinds = (Kind(subjects=0, style=True, control=True),)
    forms = kinds[0].forms


TASK = ControlStyle
