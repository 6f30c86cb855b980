"""`embedding`: CLIP-T, CLIP-I and DINO-I, as DreamBooth defines them, for real images.

Ruiz et al., "DreamBooth: Fine Tuning Text-to-Image Diffusion Models for Subject-Driven
Generation", CVPR 2023, §4.2: cosines between the features of an image and of the prompt (CLIP-T),
or of the real pictures of the subject (CLIP-I, DINO-I). PQ is CLIP-IQA's idea (Wang et al.,
"Exploring CLIP for Assessing the Look and Feel of Images", AAAI 2023): whether an image is nearer
to "a good photo" than to "a bad photo".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from PIL import Image

from instruct_imagen.evaluation.case import Case, Condition, EvaluationError
from instruct_imagen.evaluation.judges.base import Score, Verdict
from instruct_imagen.images import load_image

if TYPE_CHECKING:
    from instruct_imagen.evaluation.judges.embedding_models import Clip, Features
    from instruct_imagen.evaluation.judges.embedding_thresholds import Thresholds

VERSION = 1
"""Raised when the same models and thresholds would score otherwise."""

DECIDES: Mapping[str, str] = {
    "text": "clip_t",
    "subject": "dino_i",  # not clip_i, which is as high for another thing of the kind
    "face": "dino_i",
    "style": "clip_i",  # of what one is like, not which one it is
}
"""Kind of condition → the measure that its score comes from."""

QUALITY = (
    ("Good photo.", "Bad photo."),
    ("Sharp photo.", "Blurry photo."),
    ("Clean photo.", "Noisy photo."),
)
"""Texts for and against quality, after CLIP-IQA's."""

_NAMES = {"clip_t": "CLIP-T", "clip_i": "CLIP-I", "dino_i": "DINO-I", "clip_iqa": "CLIP-IQA"}


class EmbeddingJudge:
    """Scores text, subject, face and style by similarities; it is blind to all else.

    Where a similarity counts as 0.5 and as 1 is calibrated on a suite (`calibrate`); the
    similarities themselves are in the verdicts' measures.

    Args:
        clip: A CLIP, folder or hub name, e.g. ``openai/clip-vit-base-patch32``.
        dino: A DINO, e.g. ``facebook/dino-vits16``; empty for none: subjects and faces cannot be
            judged then.
        thresholds: File of `calibrate`; empty for none yet.
        batch: Images at once.
        device: Where the models run.

    Raises:
        EvaluationError: An option is wrong, a model cannot be loaded, or the thresholds are of
            other models.
    """

    name: ClassVar[str] = "embedding"
    about: ClassVar[str] = (
        "CLIP-T, CLIP-I, DINO-I of real images: text, subject, face, style; needs a CLIP, a DINO "
        "and thresholds of `instruct-imagen calibrate`"
    )

    def __init__(
        self,
        *,
        clip: str,
        dino: str = "",
        thresholds: str = "",
        batch: str = "16",
        device: str = "cpu",
    ) -> None:
        from instruct_imagen.evaluation.judges.embedding_models import load_clip, load_dino
        from instruct_imagen.evaluation.judges.embedding_thresholds import Thresholds

        if not batch.isdecimal() or int(batch) < 1:
            raise EvaluationError(f"embedding: batch={batch} must be a whole number above 0")
        given = Thresholds.load(thresholds) if thresholds else None
        self.batch = int(batch)
        self._clip: Clip = load_clip(clip, batch=self.batch, device=device)
        self._dino: Features | None = None
        self.models = {"clip": {"name": clip, "weights": self._clip.images.weights}}
        if dino:
            self._dino = load_dino(dino, batch=self.batch, device=device)
            self.models["dino"] = {"name": dino, "weights": self._dino.weights}
        self.thresholds: Thresholds | None = None
        if given is not None:
            self.use(given)

    @property
    def fingerprint(self) -> str:
        """See `base.Judge`."""
        levels = self.thresholds.to_dict()["levels"] if self.thresholds is not None else None
        weights = {name: one["weights"] for name, one in self.models.items()}
        found = [self.name, VERSION, weights, levels, dict(DECIDES), QUALITY]
        return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()

    def use(self, thresholds: Thresholds) -> None:
        """Scores by these thresholds from now on.

        Raises:
            EvaluationError: They are of other models.
        """
        thresholds.check(self.models)
        self.thresholds = thresholds

    def judge(self, cases: Sequence[Case], images: Sequence[np.ndarray]) -> list[Verdict]:
        """See `base.Judge`."""
        if self.thresholds is None:
            raise EvaluationError(
                "embedding has no thresholds: make them with `instruct-imagen calibrate SUITE "
                "--judge embedding:clip=… --out FILE`, then add thresholds=FILE"
            )
        for case in cases:
            self._check(case)
            for kind in ("pq", *(one.kind for one in case.conditions)):
                if kind not in self.thresholds.levels:
                    raise EvaluationError(
                        f"embedding: the thresholds have no level of {kind}, which {case.id} "
                        "needs: calibrate on this suite"
                    )
        measured = self.measure(cases, images)
        return [self._verdict(case, one) for case, one in zip(cases, measured, strict=True)]

    def measure(
        self, cases: Sequence[Case], images: Sequence[np.ndarray]
    ) -> list[dict[str, dict[str, float]]]:
        """The similarities of each image, which need no thresholds.

        Args:
            cases: Whose conditions this judge can judge.
            images: One for each, uint8 (H, W, 3).

        Returns:
            For each: the name of a condition → its measures, and ``""`` → those of the whole
            image. ``clip_t``, ``clip_i`` and ``dino_i`` are cosines in [-1, 1], ``clip_iqa`` is
            in [0, 1].

        Raises:
            EvaluationError: It cannot judge such cases.
            ImageError: An image is of another kind.
        """
        for case in cases:
            self._check(case)
        pairs = list(zip(cases, images, strict=True))
        found = []
        for start in range(0, len(pairs), self.batch):
            some = pairs[start : start + self.batch]
            found += self._measured([one for one, _ in some], [load_image(one) for _, one in some])
        return found

    def calibrate(
        self, cases: Sequence[Case], *, full: Mapping[str, float] | None = None
    ) -> Thresholds:
        """Thresholds of a suite, which the judge uses from now on.

        A condition is partly met (0.5) from the similarity on that 5% of its mismatched pairs
        reach, and met (1) from what 98% of its matched pairs reach and at most 1% of its mismatched
        ones; for PQ, corrupted pictures stand for mismatched pairs and real ones for matched. The
        order of the cases does not matter.

        Args:
            cases: Of the suite; those with a target are compared by it, as a generated image is.
            full: Kind of condition, or ``"pq"`` → its level of 1 where it is known from elsewhere:
                of prompts without targets, e.g.

        Raises:
            EvaluationError: There is nothing to judge, there are too few pairs, or the models
                cannot tell right from wrong.
        """
        from instruct_imagen.evaluation.judges import embedding_calibration as pairs
        from instruct_imagen.evaluation.judges.embedding_thresholds import Thresholds, level

        given, cases = dict(full or {}), list(cases)  # a list: a suite may render what it is asked
        kinds = {one.kind for case in cases for one in case.conditions}
        wanted = [kind for kind in DECIDES if kind in kinds]
        if unknown := sorted(set(given) - {*wanted, "pq"}):
            raise EvaluationError(
                f"a level of {unknown[0]} is not used here: give one of {', '.join(wanted)}, pq"
            )
        if not wanted:
            raise EvaluationError(
                f"no case has a condition that embedding can judge ({', '.join(DECIDES)}): "
                "calibrate on another suite"
            )
        levels = {}
        for kind in wanted:
            measure = DECIDES[kind]
            if measure == "clip_t":
                found = pairs.text_pairs(cases, self._clip.images, self._clip.texts)
            else:
                features = self._clip.images if measure == "clip_i" else self._need_dino(kind)
                found = pairs.reference_pairs(cases, kind, features)
            levels[kind] = level(kind, measure, *found, given.get(kind))
        real = pairs.quality_pictures(cases)
        bad = [one for picture in real for one in pairs.corrupted(picture).values()]
        scores = (self._quality(self._clip.images(some)) for some in (real, bad))
        levels["pq"] = level("pq", "clip_iqa", *scores, given.get("pq"))
        thresholds = Thresholds(models=self.models, levels=levels)
        self.use(thresholds)
        return thresholds

    def _check(self, case: Case) -> None:
        """Whether it can judge a case."""
        for condition in case.conditions:
            if condition.kind not in DECIDES:
                raise EvaluationError(
                    f"{case.id}: embedding cannot judge the condition '{condition.name}': leave "
                    f"{case.group} out, or use the judge vlm, or truth on the starter world"
                )
            if condition.kind == "text" and not case.prompt:
                raise EvaluationError(
                    f"{case.id}: embedding judges '{condition.name}' by the prompt, and the case "
                    "has none: use the judge vlm"
                )
            if DECIDES[condition.kind] == "dino_i":
                self._need_dino(condition.name)

    def _need_dino(self, what: str) -> Features:
        if self._dino is None:
            raise EvaluationError(
                f"embedding judges '{what}' by DINO-I: add dino=NAME, e.g. facebook/dino-vits16"
            )
        return self._dino

    def _measured(
        self, cases: Sequence[Case], pictures: Sequence[Image.Image]
    ) -> list[dict[str, dict[str, float]]]:
        """`measure` of a batch."""
        looks = self._clip.images(pictures)
        things = self._dino(pictures) if self._dino is not None else [None] * len(cases)
        quality = self._quality(looks)
        prompts = [case.prompt for case in cases if case.prompt]
        texts = dict(zip(prompts, self._clip.texts(prompts), strict=True)) if prompts else {}
        found = []
        for case, look, thing, pq in zip(cases, looks, things, quality, strict=True):
            whole = {"clip_iqa": float(pq)}
            if case.prompt:
                whole["clip_t"] = float(texts[case.prompt] @ look)
            own = {"": whole}
            for condition in case.conditions:
                if condition.kind == "text":
                    own[condition.name] = {"clip_t": whole["clip_t"]}
                else:
                    own[condition.name] = self._to_references(case, condition, look, thing)
            found.append(own)
        return found

    def _to_references(
        self, case: Case, condition: Condition, look: np.ndarray, thing: np.ndarray | None
    ) -> dict[str, float]:
        """Mean similarities of an image to the references of a condition's marker."""
        from instruct_imagen.evaluation.judges.embedding_calibration import pictures_of_marker

        assert condition.marker is not None
        references = pictures_of_marker(case, condition.marker)
        found = {"clip_i": float((self._clip.images(references) @ look).mean())}
        if self._dino is not None:
            found["dino_i"] = float((self._dino(references) @ thing).mean())
        return found

    def _quality(self, looks: np.ndarray) -> np.ndarray:
        """CLIP-IQA of features of images, (N,) in [0, 1]: the mean over `QUALITY`."""
        good, bad = self._quality_texts
        margin = self._clip.scale * (looks @ (good - bad).T)
        return (1 / (1 + np.exp(-margin))).mean(1)

    @cached_property
    def _quality_texts(self) -> tuple[np.ndarray, np.ndarray]:
        texts = self._clip.texts([text for pair in QUALITY for text in pair])
        return texts[0::2], texts[1::2]

    def _verdict(self, case: Case, measured: Mapping[str, Mapping[str, float]]) -> Verdict:
        """Similarities → scores."""
        whole = measured[""]
        pq, pq_reason = self._scored("pq", whole)
        scores = []
        for condition in case.conditions:
            value, reason = self._scored(condition.kind, measured[condition.name])
            if condition.kind == "text" and not self._clip.reads(case.prompt):
                reason += "; of the prompt, CLIP read only the beginning"
            own = measured[condition.name]
            scores.append(Score(condition=condition.name, value=value, reason=reason, measures=own))
        return Verdict(scores=tuple(scores), pq=pq, pq_reason=pq_reason, measures=whole)

    def _scored(self, kind: str, measures: Mapping[str, float]) -> tuple[float, str]:
        """A score and its reason."""
        assert self.thresholds is not None
        level = self.thresholds.levels[kind]
        similarity = measures[level.measure]
        return level.value(similarity), (
            f"{_NAMES[level.measure]} is {similarity:.3f}: 0.5 from {level.partly:.3f}, "
            f"1 from {level.full:.3f}"
        )


JUDGE = EmbeddingJudge
