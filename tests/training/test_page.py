from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from instruct_imagen.recipes import RecipeError
from instruct_imagen.training.loop import Trainer
from instruct_imagen.training.page import chart
from instruct_imagen.training.trackers import start_trackers
from tests.training.runs import tiny


class Tags(HTMLParser):
    """Counts tags; images must carry their content."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        self.found.append(tag)
        if tag == "img":
            assert dict(attributes)["src"].startswith("data:image/png;base64,")


def test_a_run_leaves_a_page_with_its_curves_and_sheets_and_event_files(
    tmp_path, capsys, monkeypatch
):
    # a terminal wide enough for the whole bar
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("LINES", "50")
    trainer = Trainer(tiny(tmp_path / "my <run>"))
    trainer.run()
    folder = tmp_path / "my <run>"
    page = (folder / "run.html").read_text()
    tags = Tags()
    tags.feed(page)
    assert tags.found.count("svg") == 6
    assert tags.found.count("img") == 1
    assert "<h1>starter: my &lt;run&gt;</h1>" in page
    assert "<td>learning_rate</td><td>0.0025</td>" in page
    assert "http" not in page.replace("http-equiv", "")
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert all(0 < line["share_of_machine"] < 2 and line["gflops"] > 0 for line in lines)
    assert "of machine=" in capsys.readouterr().err
    assert list((folder / "tensorboard").glob("events.out.tfevents.*"))


def test_a_chart_spans_its_values():
    drawn = chart("loss", {"loss": [(0, 4.0), (50, 2.0), (100, 0.0)]})
    points = re.search(r"<polyline points='([^']+)'", drawn)[1].split()
    across, down = zip(*(map(float, point.split(",")) for point in points), strict=True)
    assert across[1] == pytest.approx((across[0] + across[2]) / 2)
    assert down[1] == pytest.approx((down[0] + down[2]) / 2)
    assert down[0] < down[2]
    assert chart("nothing", {}) == ""


def test_trackers_by_name(tmp_path):
    assert start_trackers((), tmp_path, {}) == []
    with pytest.raises(RecipeError, match="trackers=paper is not known: use some of"):
        start_trackers(("paper",), tmp_path, {})
    with pytest.raises(RecipeError, match="trackers=wandb cannot be started"):
        start_trackers(("wandb",), tmp_path, {})
