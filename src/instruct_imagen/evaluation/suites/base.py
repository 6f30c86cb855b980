"""What a suite is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from instruct_imagen.evaluation.case import Case


class Suite(Protocol):
    """Frozen cases: the same for every model and for ever.

    Attributes:
        name: E.g. ``"in_domain"``.
        version: Of its cases; changed cases are a new version.
        sha256: Of the cases as they are stored, hexadecimal.
        groups: Row of the report's table → number of its cases, in the order of the table. Cases of
            a group stand together, in the same order.
    """

    name: str
    version: int
    sha256: str
    groups: Mapping[str, int]

    def cases(self, size: int) -> Sequence[Case]:
        """All cases, group by group; a long list should render when an item is asked for.

        Args:
            size: Side in pixels of references and targets that are rendered: that of the model.

        Raises:
            EvaluationError: What the cases need is not there.
        """
        ...


class StoredSuite(Suite, Protocol):
    """One that was read, and so knows what it holds without rendering a case."""

    def roles(self, groups: Sequence[str] = ()) -> frozenset[frozenset[str]]:
        """What kinds of instructions there are: for each, the roles that its references name.

        Args:
            groups: Names of those that are looked at; all where there are none.
        """
        ...
