"""A judge that knows which scene each image shows, and compares scenes: right by construction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from instruct_imagen.data.example import Placement, Scene
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.relations import relations
from instruct_imagen.data.world.render import covered
from instruct_imagen.evaluation.case import Case, Condition
from instruct_imagen.evaluation.judges.base import Score, Verdict
from instruct_imagen.evaluation.violations import edit_of


@dataclass(frozen=True)
class Oracle:
    """Its `scenes` are known by the bytes of their pictures."""

    scenes: Mapping[bytes, Scene]
    atlas: Atlas
    name: ClassVar[str] = "oracle"
    about: ClassVar[str] = "knows the scenes"
    fingerprint = "oracle"

    def judge(self, cases: Sequence[Case], images: Sequence[np.ndarray]) -> list[Verdict]:
        return [self._one(case, image) for case, image in zip(cases, images, strict=True)]

    def _one(self, case: Case, image: np.ndarray) -> Verdict:
        scene = self.scenes.get(image.tobytes())
        scores = tuple(
            Score(
                condition=condition.name,
                value=float(scene is not None and self._met(condition, case, scene)),
                reason="scenes were compared",
            )
            for condition in case.conditions
        )
        return Verdict(scores=scores, pq=_quality(case, image, scene), pq_reason="bytes")

    def _met(self, condition: Condition, case: Case, scene: Scene) -> bool:
        target = case.example.target.scene
        shown = {
            asset.concept
            for one in case.example.references
            if one.marker == condition.marker
            for asset in one.picture.scene.placements
        }
        things = Counter(asset.concept for asset in scene.placements)
        wanted = Counter(asset.concept for asset in target.placements)
        match condition.kind:
            case "subject":
                return any(things[concept] for concept in shown)
            case "face":
                people = {concept.rpartition("-")[0] for concept in shown}
                return {asset.concept.rpartition("-")[0] for asset in scene.placements} <= people
            case "style":
                return {a.style for a in scene.placements} == {a.style for a in target.placements}
            case "edge" | "sketch" | "mask" | "depth":
                return self._same_places(scene, target)
            case "content":
                same = things == wanted and scene.background == target.background
                return same and self._same_places(scene, target)
            case "background":
                return scene.background == target.background
            case "text":
                return _text_met(case, scene, target)
            case "edit":
                return _edit_met(case, scene)
            case "source":
                kept = Counter(map(_place, edit_of(case.example).kept))
                kept_on = not kept - Counter(map(_place, scene.placements))
                edited = edit_of(case.example).kind == "background"
                return kept_on and (edited or scene.background == target.background)
        raise AssertionError(condition.kind)

    def _same_places(self, scene: Scene, target: Scene) -> bool:
        one, other = (covered(each, self.atlas, 32).any(0) for each in (scene, target))
        return float((one & other).sum() / (one | other).sum()) >= 0.55


def _quality(case: Case, image: np.ndarray, scene: Scene | None) -> float:
    if scene is not None:
        return 1.0
    away = np.sqrt(((image.astype(float) - case.target) ** 2).mean())
    return 0.5 if away < 20 else 0.0


def _text_met(case: Case, scene: Scene, target: Scene) -> bool:
    told = "background" not in {one.kind for one in case.conditions}
    if told and scene.background != target.background:
        return False
    shown = {
        asset.concept
        for one in case.example.references
        if one.role == "subject"
        for asset in one.picture.scene.placements
    }
    faces = {one.kind for one in case.conditions} & {"face"}
    wanted = Counter(_look(a) for a in target.placements if a.concept not in shown and not faces)
    if wanted - Counter(map(_look, scene.placements)):
        return False
    if len(scene.placements) != len(target.placements):
        return False
    named = any(one.kind == "style" for one in case.conditions) or "style" not in case.prompt
    if not named and scene.placements[0].style != target.placements[0].style:
        return False
    return {one for one in relations(target) if one.kind in ("left", "above")} <= set(
        relations(scene)
    )


def _edit_met(case: Case, scene: Scene) -> bool:
    edit = edit_of(case.example)
    placed = [_place(asset) for asset in scene.placements]
    if edit.kind == "background":
        return scene.background == edit.target.background
    gone = edit.old is None or _place(edit.old) not in placed
    return gone and (edit.new is None or _place(edit.new) in placed)


def _look(asset: Placement) -> tuple[object, ...]:
    return asset.concept, asset.tint, bool(asset.turn)


def _place(asset: Placement) -> tuple[object, ...]:
    return asset.concept, asset.tint, asset.x, asset.y, asset.scale, asset.flip
