"""Figures of the paper, facts to stand beside ours ([Hu24] Tables 2 and 4).

Theirs are ratings by people of photographs and paintings at 1024 pixels; ours are of another world,
by other judges. What can be compared is how a method stands to its own baselines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SOURCE = "Hu et al., Instruct-Imagen, CVPR 2024 (arXiv 2401.01952)"


@dataclass(frozen=True, kw_only=True)
class PaperRow:
    """A row of Table 4.

    Attributes:
        title: Of the task, as the paper names it.
        samples: How many.
        single: O of the single-task models; None where there are none.
        multi: O of the multi-task model without instruction.
        prior: O of the best earlier method.
        sc: Of Instruct-Imagen.
        pq: Of Instruct-Imagen.
        overall: Of Instruct-Imagen.
    """

    title: str
    samples: int
    single: float | None
    multi: float | None
    prior: float | None
    sc: float
    pq: float
    overall: float


def _row(title: str, samples: int, *values: float | None) -> PaperRow:
    single, multi, prior, sc, pq, overall = values
    assert sc is not None and pq is not None and overall is not None
    return PaperRow(
        title=title, samples=samples, single=single, multi=multi, prior=prior,
        sc=sc, pq=pq, overall=overall,
    )  # fmt: skip


IN_DOMAIN: Mapping[str, PaperRow] = {
    "depth_to_image": _row("Depth2Img", 100, 0.24, 0.44, 0.59, 0.86, 0.66, 0.75),
    "mask_to_image": _row("Mask2Img", 100, 0.68, 0.60, 0.45, 0.87, 0.70, 0.78),
    "edge_to_image": _row("Edge2Img", 100, 0.61, 0.39, 0.53, 0.84, 0.71, 0.77),
    "styled": _row("Styled generation", 120, 0.45, 0.65, 0.67, 0.85, 0.92, 0.88),
    "subject": _row("Subject", 220, 0.67, 0.56, 0.70, 0.81, 0.82, 0.81),
    "text_to_image": _row("Txt2Img", 197, 0.68, 0.55, 0.67, 0.77, 0.76, 0.76),
    "face": _row("Face", 100, 0.37, 0.39, 0.72, 0.69, 0.86, 0.77),
    "style_transfer": _row("Style transfer", 455, 0.43, 0.00, 0.57, 0.55, 0.50, 0.53),
}
"""Group → row, in the paper's order."""

ZERO_SHOT: Mapping[str, PaperRow] = {
    "style_subject": _row("Style + subject", 132, None, 0.33, 0.48, 0.79, 0.43, 0.58),
    "multi_subject": _row("Multi-subject", 120, None, 0.43, 0.54, 0.77, 0.36, 0.53),
    "control_subject": _row("Control + subject", 99, None, 0.32, 0.36, 0.61, 0.59, 0.60),
    "control_style": _row("Control + style", 100, None, 0.11, 0.36, 0.74, 0.54, 0.63),
}

PAPER: Mapping[str, Mapping[str, PaperRow]] = {"in_domain": IN_DOMAIN, "zero_shot": ZERO_SHOT}
"""Suite → its rows."""

AVERAGES: Mapping[str, PaperRow] = {
    "in_domain": _row("In-domain average", 1392, 0.52, 0.45, 0.61, 0.78, 0.74, 0.76),
    "zero_shot": _row("Zero-shot average", 451, None, 0.30, 0.44, 0.73, 0.48, 0.59),
}

MASKED_EDIT: Mapping[str, tuple[float, float]] = {
    "Instruct-Imagen, fine-tuned": (0.72, 0.57),
    "stage-1 model, fine-tuned": (0.37, 0.10),
    "SDXL-inpainting": (0.43, 0.25),
}
"""Table 2: method → O and accuracy (share of samples with SC = 1)."""
