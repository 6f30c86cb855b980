"""A subject where a map of edges, depth, a mask or a sketch has it: held out ([Hu24] §5)."""

from __future__ import annotations

from instruct_imagen.data.tasks.combining import CombinationTask, Kind


class ControlSubject(CombinationTask):
    """The very asset of the references, where the control says."""

    name = "control_subject"
    kinds = (Kind(subjects=1, control=True),)
    forms = kinds[0].forms


TASK = ControlSubject
