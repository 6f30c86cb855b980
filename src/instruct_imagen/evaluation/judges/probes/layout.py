"""Where everything is, against maps of it: masks, depth, edges and sketches; and the background."""

from __future__ import annotations

from typing import cast

from instruct_imagen.data.example import Background, Picture

from .findings import Finding, graded, worst
from .grounds import cost_of, in_words
from .look import Look, area, gap
from .regions import agreement, iou, likeness, lines, slopes

MASK_LACK = (0.25, 0.45)
"""1 - IoU of what stands out, for 1 and for 0.5."""

ASSET_LACK = (0.35, 0.6)
"""Share of a single asset where nothing stands out, for 1 and for 0.5."""

LINE_LACK = (0.28, 0.42)
"""1 - agreement of lines, for 1 and for 0.5; of a sketch, whose hand errs, as of `SKETCH_LACK`."""

SKETCH_LACK = (0.36, 0.5)
ORDER_LACK = (0.0, 12.0)
GROUND_LACK = (0.05, 0.16)
"""By how much of the frame another background explains more, for 1 and for 0.5."""

GROUND_UNLIKE = (0.5, 0.75)
"""How little of the frame the background itself explains, for 1 and for 0.5: in noise, and where a
colour is like none of the world's, all backgrounds explain as little."""

_OVERLAPPING = 0.006  # share of the frame from which two assets are one before the other


def silhouette(look: Look, name: str) -> Finding:
    """Whether what stands out is where the assets are."""
    truth = look.truth
    found = max(iou(look.mask, truth.mask), iou(look.mask, truth.seen))
    least = 1.0
    for cover in truth.covers:
        own = cover & truth.seen
        if area(own) >= _OVERLAPPING:
            least = min(least, float((own & look.mask).sum()) / float(own.sum()))
    value = min(graded(1 - found, MASK_LACK), graded(1 - least, ASSET_LACK))
    reason = (
        f"what stands out covers the {name}'s area to an IoU of {found:.2f}, and of each thing at "
        f"least {least:.0%}"
    )
    return Finding(value=value, reason=reason, measures={"iou": found, "least covered": least})


def drawn_lines(look: Look, name: str, limits: tuple[float, float]) -> Finding:
    """Whether lines are where those of the target are."""
    image, target = look.image, look.truth.pixels
    same = agreement(lines(image), lines(target), max(look.truth.size // 32, 1))
    alike = likeness(slopes(image), slopes(target))
    lack = 1 - (same + max(alike, 0.0)) / 2
    value = graded(lack, limits)
    reason = f"lines agree with the {name} to {same:.2f}, slopes to {alike:.2f}"
    return Finding(value=value, reason=reason, measures={"edge f1": same, "slopes": alike})


def order(look: Look) -> Finding:
    """Whether what is nearer covers what is farther."""
    truth = look.truth
    found = []
    for near in range(1, len(truth.covers)):
        for far in range(near):
            both = truth.covers[near] & truth.covers[far]
            if area(both) < _OVERLAPPING:
                continue
            own, other = (truth.alone(truth.scene.placements[i]) for i in (near, far))
            if gap(own, other, both) < 24:
                continue  # drawn alike: which is nearer cannot be seen
            lack = gap(look.image, own, both) - gap(look.image, other, both)
            value = graded(lack, ORDER_LACK)
            found.append(
                Finding(
                    value=value,
                    reason="what should be nearer is hidden by what should be farther",
                    measures={"order gap": lack},
                )
            )
    return worst(found, "what is nearer covers what is farther")


def layout(look: Look, kind: str, marker: int | None) -> Finding:
    """The condition of a map."""
    pictures = [
        cast(Picture, one.picture) for one in look.truth.example.references if one.marker == marker
    ]
    shown = pictures[0].kind if pictures else kind
    outline = silhouette(look, kind)
    if kind == "mask" or shown in ("mask_edge", "depth_edge"):
        return outline
    if kind == "depth":
        return worst([outline, order(look)], outline.reason)
    limits = SKETCH_LACK if kind == "sketch" else LINE_LACK
    return worst([outline, drawn_lines(look, kind, limits)], "outlines and lines are where drawn")


def ground(look: Look, wanted: Background, *, exact: bool) -> Finding:
    """Whether the background is that; of a place any drawing will do if not `exact`."""
    cost, least = cost_of(look.ground, wanted, exact=exact), float(look.ground.costs.min())
    lack = cost - least
    value = graded(lack, GROUND_LACK)
    loose = cost_of(look.ground, wanted, exact=False)
    if value < 1 and exact and wanted.kind == "place":
        value = max(value, 0.5 if loose - least <= GROUND_LACK[0] else 0.0)
    measures = {"background lack": lack, "background unlike": loose}
    like = graded(loose, GROUND_UNLIKE)
    if like < value:
        reason = f"it is hardly {in_words(wanted)}, nor any other background"
        return Finding(value=like, reason=reason, measures=measures)
    said = "it is" if value == 1 else "it is rather"
    reason = f"{said} {in_words(wanted if value == 1 else look.ground.best)}"
    if value < 1:
        reason += f" than {in_words(wanted)}"
    return Finding(value=value, reason=reason, measures=measures)
