"""The page of sheets shows every task, and says the mixture's ratios."""

from __future__ import annotations

import re
from pathlib import Path

from PIL import Image

from instruct_imagen.data.mixture import PAPER_RATIOS
from instruct_imagen.data.tasks import all_tasks

DOCS = Path(__file__).parents[3] / "docs"


def test_every_task_has_its_section_its_ratio_and_its_sheet() -> None:
    page = (DOCS / "task_sheets.md").read_text()
    found = dict(re.findall(r"^### (\w+)(?: \(([\d.]+)\))?$", page, flags=re.M))
    assert set(found) == set(all_tasks())
    for name, ratio in found.items():
        assert float(ratio or 0) == PAPER_RATIOS.get(name, 0), name
        assert f"![{name}](task_sheets/{name}.png)" in page
        with Image.open(DOCS / "task_sheets" / f"{name}.png") as sheet:
            sheet.load()
            assert min(sheet.size) > 100, name
    assert {path.stem for path in (DOCS / "task_sheets").iterdir()} == set(found)
