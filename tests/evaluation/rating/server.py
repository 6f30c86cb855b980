"""A rating server of the small suite in its own process: python server.py FOLDER PORT RATERS."""

from __future__ import annotations

import sys
from pathlib import Path

from instruct_imagen.evaluation.rating.assignment import Plan
from instruct_imagen.evaluation.rating.desk import RatingDesk
from instruct_imagen.evaluation.rating.items import rating_items
from instruct_imagen.evaluation.rating.page import serve
from instruct_imagen.evaluation.rating.storage import Store
from tests.evaluation.rating.small import small_cases

folder, port, raters = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
folders = {path.name: path for path in sorted((folder / "methods").iterdir())}
items = rating_items(small_cases(), folders)
serve(RatingDesk(items, Store(folder / "ratings.sqlite"), Plan(raters=raters)), port=port)
