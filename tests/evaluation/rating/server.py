"""A rating server of its own process: python -m tests.evaluation.rating.server FOLDER PORT."""

from __future__ import annotations

import sys
from pathlib import Path

from instruct_imagen.evaluation.rating.page import serve
from tests.evaluation.rating.small import small_desk

if __name__ == "__main__":
    serve(small_desk(Path(sys.argv[1])), port=int(sys.argv[2]))
