"""Which combination of the hold-out an example makes, read from its references alone."""

from __future__ import annotations

from collections.abc import Iterable

from instruct_imagen.data.example import Example

SUBJECTS = frozenset({"subject", "face"})
CONTROLS = frozenset({"edge", "depth", "mask", "sketch"})
TRIPLE = 3


def combination_of(example: Example) -> str | None:
    """The combination, by its name in the frozen hold-out.

    Images with one marker are one condition, and what has no role is none: the neighbours of stage
    1 are context alone. What is edited goes with a mask or a subject freely, as style transfer's
    content goes with a style: these pairs are tasks of training.

    Args:
        example: With its markers.

    Returns:
        One of `holdout().combinations`; None for an example that training may draw.
    """
    return combination_of_roles((one.marker, one.role) for one in example.references)


def combination_of_roles(references: Iterable[tuple[int, str | None]]) -> str | None:
    """The same, from marker and role of each reference: stored ones have no more before reading."""
    roles = {marker: role for marker, role in references if role is not None}
    if len(roles) >= TRIPLE:
        return "triples"
    if len(roles) < 2:
        return None
    subjects = sum(role in SUBJECTS for role in roles.values())
    controls = sum(role in CONTROLS for role in roles.values())
    if subjects == 2:
        return "multi-subject"
    if subjects and "style" in roles.values():
        return "style+subject"
    if subjects and controls:
        return "control+subject"
    if controls and "style" in roles.values():
        return "control+style"
    return None
