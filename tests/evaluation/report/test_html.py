"""Pieces of a page."""

from __future__ import annotations

import base64
import io
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
from PIL import Image

from instruct_imagen.evaluation.report.html import (
    MAX_SIDE,
    Markup,
    curves,
    interval,
    meter,
    number,
    picture,
    table,
    tag,
    text,
)

EVIL = '<script>alert("&\'")</script>'


def test_whatever_is_no_markup_is_escaped_once():
    assert "<script>" not in tag("p", EVIL, title=EVIL)
    made = tag("p", tag("b", "a & b"))
    assert made == "<p><b>a &amp; b</b></p>"
    assert text(made) is made
    assert "<script>" not in table([EVIL], [[EVIL, EVIL], [None, EVIL]], note=EVIL)
    assert "<script>" not in picture(np.zeros((2, 2, 3), np.uint8), EVIL)
    assert "<script>" not in curves(EVIL, EVIL, {EVIL: [(1, 0.5, 0.4, 0.6)]})


def test_pictures_are_inside_whole_and_not_too_large():
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    for given, side in ((pixels, 32), (np.kron(pixels, np.ones((8, 8, 1), np.uint8)), MAX_SIDE)):
        data = re.search(r"base64,([^\"]+)", picture(given, "x"))[1]
        image = Image.open(io.BytesIO(base64.b64decode(data)))
        assert image.size == (side, side)
        assert side == MAX_SIDE or (np.asarray(image) == given).all()


def test_figures_in_words():
    assert number(None) == "–"
    assert number(-0.256) == "−0.26"
    estimate = {"value": 0.5, "low": 0.25, "high": 0.75, "cases": 3}
    assert "0.25–0.75" in re.sub(r"<[^>]+>", "", interval(estimate))
    assert "width:50.0%" in meter(estimate)
    alone = {"value": 0.5, "low": None, "high": None, "cases": 1}
    assert interval(alone) == "0.50"
    assert "<b" not in meter(alone)
    assert meter(None) == interval(None) == "–"


def test_curves_place_their_points_and_are_well_formed():
    made = curves("O", "steps", {"a": [(20, 1, 1, 1), (5, 0, 0, 0), (10, 0.5, 0.4, 0.6)]})
    root = ElementTree.fromstring(made)
    dots = [(float(d.get("cx")), float(d.get("cy"))) for d in root.iter("circle")]
    xs, ys = zip(*dots, strict=True)
    assert xs[1] - xs[0] == xs[2] - xs[1]  # each twice the one before
    assert ys[0] > ys[1] > ys[2]
    assert ys[0] - ys[1] == ys[1] - ys[2]
    assert curves("O", "steps", {}) == Markup("")
    assert "circle" in curves("O", "steps", {"a": [(5, 1, 1, 1)]})
