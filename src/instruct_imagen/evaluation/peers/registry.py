"""Finds the peers: each module of this folder that defines ``PEER`` brings one."""

from __future__ import annotations

from typing import Any

from instruct_imagen.evaluation import peers as package
from instruct_imagen.evaluation.plugins import found


def peer_classes() -> dict[str, type[Any]]:
    """Every peer's class by name."""
    return found(package, "PEER")
