"""Two subjects in one picture: held out of training ([Hu24] §5)."""

from __future__ import annotations

from instruct_imagen.data.tasks.combining import CombinationTask, Kind


class MultiSubject(CombinationTask):
    """The very assets of two sets of references in one scene; their styles may differ."""

    name = "multi_subject"
    kinds = (Kind(subjects=2),)
    forms = kinds[0].forms


TASK = MultiSubject
