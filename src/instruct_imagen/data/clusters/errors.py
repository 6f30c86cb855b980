"""What can go wrong while clusters are built."""

from __future__ import annotations


class ClusterError(ValueError):
    """A build that cannot go on; one line that names the cause and the cure."""
