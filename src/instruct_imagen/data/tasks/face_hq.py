"""Faces, the second of two sets: CelebA-HQ's part in the mixture ([Hu24] §3.2)."""

from __future__ import annotations

from instruct_imagen.data.tasks.faces import FaceTask


class FaceImagesHQ(FaceTask):
    """As `face`, of other people in other styles and with wordings of its own."""

    name = "face_hq"
    number = 1
    needs = "second set of faces"


TASK = FaceImagesHQ
