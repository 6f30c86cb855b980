"""Faces, the first of two sets: CelebA's part in the mixture ([Hu24] §3.2)."""

from __future__ import annotations

from instruct_imagen.data.tasks.faces import FaceTask


class FaceImages(FaceTask):
    """Pictures of a person, and the same person with another expression."""

    name = "face"
    number = 0
    needs = "faces"


TASK = FaceImages
