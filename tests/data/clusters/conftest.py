"""What tests of Ray share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import pytest


@pytest.fixture
def ray_folder() -> Iterator[str]:
    """Where a Ray keeps what it is of; short, as names of sockets are.

    Of the usual one every Ray would read which cluster there is, and wait for one that has ended.
    """
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        yield folder
