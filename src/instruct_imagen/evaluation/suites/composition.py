"""What the frozen suites consist of, as a table.

Counts of the in-domain and the zero-shot rows are the paper's ([Hu24] §5, Table 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

VERSION = 1

World = Literal["seen", "unseen concepts", "unseen style", "few concepts"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """Cases that are drawn alike.

    Attributes:
        group: Row of the report's table.
        count: How many cases.
        makers: Tasks, which take turns, or one of `drawing.MAKERS`.
        world: What they show: one of the vocabularies.
        markers: How many different references a case has; 0 for any number.
        twin: Group of the second example of each draw, the pair of the first; empty for none.
    """

    group: str
    count: int
    makers: tuple[str, ...]
    world: World = "seen"
    markers: int = 0
    twin: str = ""


def _rows(**counts: int) -> tuple[Row, ...]:
    """Of tasks that are groups of their own name."""
    return tuple(Row(group=name, count=count, makers=(name,)) for name, count in counts.items())


UNSEEN_EACH = 24

# A style that no training has shown can be asked for by an image alone, not by a name: the tasks
# whose words name the style have no such row.
_SHOWN_STYLE = (
    "styled", "subject", "style_transfer", "style_subject", "multi_subject", "control_subject",
    "control_style",
)  # fmt: skip
_SHOWN_CONCEPT = (
    "text_to_image", "depth_to_image", "mask_to_image", "edge_to_image", "styled", "subject",
    "face", "style_transfer", "style_subject", "multi_subject", "control_subject", "control_style",
)  # fmt: skip


def _makers(group: str) -> tuple[str, ...]:
    """Tasks of a group."""
    return {
        "text_to_image": ("text_to_image", "text_to_image_art"),
        "face": ("face", "face_hq"),
    }.get(group, (group,))


def _of_world(world: World, count: int, *groups: str) -> tuple[Row, ...]:
    """As many cases of each group."""
    return tuple(
        Row(group=group, count=count, makers=_makers(group), world=world) for group in groups
    )


SUITES: Mapping[str, tuple[Row, ...]] = {
    "in_domain": (
        Row(group="text_to_image", count=197, makers=("text_to_image", "text_to_image_art")),
        *_rows(depth_to_image=100, mask_to_image=100, edge_to_image=100),
        Row(group="styled", count=120, makers=("styled_grid",)),
        *_rows(subject=220),
        Row(group="face", count=100, makers=("face", "face_hq")),
        *_rows(style_transfer=455),
    ),
    "zero_shot": _rows(style_subject=132, multi_subject=120, control_subject=99, control_style=100),
    "many": tuple(
        Row(group=f"{name}_conditions", count=100, makers=("many_conditions",), markers=markers)
        for name, markers in (("three", 3), ("four", 4), ("five", 5))
    ),
    "editing": _rows(instruction_edit=100, masked_edit=100, no_op=50),
    "unseen": (
        *_of_world("unseen concepts", UNSEEN_EACH, *_SHOWN_CONCEPT),
        *_of_world("unseen style", UNSEEN_EACH, *_SHOWN_STYLE),
    ),
    "text_fidelity": tuple(
        Row(group=name, count=50, makers=(f"{name}_fidelity",), twin=f"{name}_without_references")
        for name in ("subject", "styled")
    ),
}
"""Suite → its rows, in the order of the table."""

FEW_EACH = 60


FEW_SUITES: Mapping[str, tuple[Row, ...]] = {
    f"few_{name}": _of_world("few concepts", FEW_EACH, *groups)
    for name, groups in {
        "in_domain": tuple(row.group for row in SUITES["in_domain"]),
        "zero_shot": tuple(row.group for row in SUITES["zero_shot"]),
        "editing": ("masked_edit",),
    }.items()
}
"""Suites of a world with few concepts, in which small budgets show differences: what the claims are
tested on. ``all`` leaves them out."""

MASKED_EDITS = 200
"""Cases of a suite of masked edits: accuracy (SC = 1) is a share, and needs more than a mean."""

EDIT_SUITES: Mapping[str, tuple[Row, ...]] = {
    "few_masked_edits": _of_world("few concepts", MASKED_EDITS, "masked_edit"),
    "few_unmasked_edits": (
        *_of_world("few concepts", 100, "instruction_edit"),
        *_of_world("few concepts", 50, "no_op"),
    ),
    "masked_edits": _rows(masked_edit=MASKED_EDITS),
}
"""Edits alone, for [Hu24] Table 2 and for the settings of `editing`. ``all`` leaves them out."""

EVERY_SUITE: Mapping[str, tuple[Row, ...]] = {**SUITES, **FEW_SUITES, **EDIT_SUITES}
"""The seed of a suite is its place here: new ones are added at the end."""
