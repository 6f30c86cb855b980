"""Pieces of a page: text that is escaped once, tables, pictures and curves."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from instruct_imagen.images import ImageSource, load_image, to_square

MAX_SIDE = 128
"""Pictures are inlined at most so large."""

_SHOWN = 96
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 380, 210, 44, 96, 26, 34
_COLOURS = ("#3557b7", "#c4472b", "#2b8a57", "#8a4fbd", "#b8860b", "#0f8c98", "#c2407f", "#666")


class Markup(str):
    """HTML that is whole: what is no `Markup` is escaped where it is put into a page."""

    __slots__ = ()


def text(value: object) -> Markup:
    """Anything as HTML; `Markup` stays."""
    return value if isinstance(value, Markup) else Markup(escape(str(value)))


def joined(parts: Iterable[object], between: str = "") -> Markup:
    """Several pieces after each other."""
    return Markup(between.join(text(part) for part in parts))


def tag(name: str, *content: object, **attributes: object) -> Markup:
    """An element; ``class_`` and ``for_`` lose their underscore, None leaves one out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{given}>{joined(content)}</{name}>")


def table(
    head: Sequence[object],
    rows: Iterable[Sequence[object]],
    *,
    over: Sequence[tuple[object, int]] = (),
    note: object = "",
) -> Markup:
    """A table whose first column names the rows.

    Args:
        head: Names of the columns.
        rows: Cells; a row that begins with None is a heading, its second cell.
        over: A heading above so many columns each, from the left.
        note: Below.
    """
    body = []
    for row in rows:
        if row and row[0] is None:
            body.append(tag("tr", tag("th", row[1], colspan=len(head), class_="part")))
        else:
            cells = [tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:])]
            body.append(tag("tr", *cells))
    heads = [tag("tr", *(tag("th", cell, scope="col") for cell in head))]
    if over:
        spans = [tag("th", name, colspan=width, class_="over") for name, width in over]
        heads.insert(0, tag("tr", *spans))
    made = tag("table", tag("thead", *heads), tag("tbody", *body))
    below = tag("p", note, class_="note") if note else ""
    return tag("div", made, below, class_="table")


def number(value: float | None, digits: int = 2) -> Markup:
    """A figure; a dash where there is none."""
    return Markup("–") if value is None else Markup(f"{value:.{digits}f}".replace("-", "−"))


def interval(estimate: Mapping[str, Any] | None, digits: int = 2) -> Markup:
    """A mean with its interval."""
    if estimate is None:
        return Markup("–")
    if estimate["low"] is None:
        return number(estimate["value"], digits)
    low, high = (number(estimate[end], digits) for end in ("low", "high"))
    between = "–" if estimate["low"] >= 0 else " to "
    ends = tag("small", " ", low, between, high, class_="interval")
    return joined([number(estimate["value"], digits), ends])


def percent(value: float | None) -> Markup:
    """A share; a dash where there is none."""
    return Markup("–") if value is None else Markup(f"{value:.0%}")


def meter(estimate: Mapping[str, Any] | None) -> Markup:
    """A score from 0 to 1 with a bar, its interval marked on it."""
    if estimate is None:
        return Markup("–")
    parts = [tag("i", style=f"width:{100 * estimate['value']:.1f}%")]
    if estimate["low"] is not None:
        low, high = (100 * max(0.0, min(1.0, estimate[end])) for end in ("low", "high"))
        parts.append(tag("b", style=f"left:{low:.1f}%;width:{high - low:.1f}%"))
    bar = tag("span", *parts, class_="meter")
    return joined([interval(estimate), bar])


def picture(source: ImageSource, title: str, *, side: int = MAX_SIDE) -> Markup:
    """An image inside the page, enlarged without smoothing so that pixels can be seen."""
    image = load_image(source)
    if max(image.size) > side:
        image = to_square(image, side)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    return Markup(
        f'<img alt="{escape(title)}" title="{escape(title)}" width="{_SHOWN}" height="{_SHOWN}" '
        f'src="data:image/png;base64,{data}">'
    )


def figure(source: ImageSource, caption: object, title: str = "") -> Markup:
    """A picture with words below."""
    return tag("figure", picture(source, title), tag("figcaption", caption))


def curves(
    title: str, across: str, lines: Mapping[str, Sequence[tuple[float, float, float, float]]]
) -> Markup:
    """Curves with their intervals as SVG, from 0 to 1; the horizontal axis is logarithmic.

    Args:
        title: Of the chart.
        across: Name of the horizontal axis.
        lines: Points (x, value, low, high) of each curve, x above 0.
    """
    points = [point for line in lines.values() for point in line]
    if not points:
        return Markup("")
    xs = sorted({x for x, *_ in points})
    first, last = np.log(xs[0]), np.log(xs[-1])

    def at(x: float, y: float) -> tuple[float, float]:
        share = (np.log(x) - first) / (last - first) if last > first else 0.5
        left = _LEFT + share * (_WIDTH - _LEFT - _RIGHT)
        return float(left), _TOP + (1 - y) * (_HEIGHT - _TOP - _BOTTOM)

    drawn = [_label(4, 15, title, "start", weight="600")]
    for y in (0, 0.5, 1):
        left, top = at(xs[0], y)
        drawn.append(_line([(_LEFT, top), (_WIDTH - _RIGHT, top)], "#ddd"))
        drawn.append(_label(_LEFT - 6, top + 4, f"{y:g}", "end"))
    for x in xs:
        left, bottom = at(x, 0)
        drawn.append(_label(left, bottom + 15, f"{x:g}", "middle"))
    drawn.append(_label((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 3, across, "middle"))
    for place, (name, line) in enumerate(lines.items()):
        colour = _COLOURS[place % len(_COLOURS)]
        ordered = sorted(line)
        for x, value, low, high in ordered:
            drawn.append(_line([at(x, low), at(x, high)], colour, opacity=0.35))
            left, top = at(x, value)
            drawn.append(Markup(f'<circle cx="{left:.1f}" cy="{top:.1f}" r="3" fill="{colour}"/>'))
        drawn.append(_line([at(x, value) for x, value, *_ in ordered], colour, width=1.8))
        drawn.append(
            _label(_WIDTH - _RIGHT + 10, _TOP + 12 + 15 * place, name, "start", fill=colour)
        )
    return tag("svg", *drawn, width=_WIDTH, height=_HEIGHT, role="img")


def _line(
    points: Sequence[tuple[float, float]], colour: str, *, width: float = 1, opacity: float = 1
) -> Markup:
    placed = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return tag(
        "polyline", points=placed, fill="none", stroke=colour, stroke_width=width, opacity=opacity
    )


def _label(
    x: float, y: float, words: str, anchor: str, *, fill: str = "#444", weight: str | None = None
) -> Markup:
    return tag(
        "text", words, x=f"{x:.1f}", y=f"{y:.1f}", fill=fill, text_anchor=anchor, font_size=11,
        font_weight=weight,
    )  # fmt: skip
