"""What the pages of a build are made of: a style for light and dark, bars, curves, pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Mapping, Sequence
from html import escape

import numpy as np

from instruct_imagen.data.clusters.finished import Finished
from instruct_imagen.data.clusters.reading import loader
from instruct_imagen.data.corpora.base import EntryError
from instruct_imagen.evaluation.report.html import Markup, joined, tag
from instruct_imagen.images import ImageError, load_image

SIDE = 128
"""Pixels of the longer side of a picture in a page."""

_STYLE = """
:root{color-scheme:light dark;--ink:#1c2330;--soft:#667085;--line:#e1e5ec;--paper:#fff;
--card:#f7f8fa;--accent:#3557b7;--yes:#2b8a57;--no:#b42318;
--c0:#3557b7;--c1:#c4472b;--c2:#2b8a57;--c3:#8a4fbd}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ef;--soft:#98a2b3;--line:#343b48;
--paper:#14171d;--card:#1c2028;--accent:#8fa9f5;--yes:#63c08f;--no:#f08a80;
--c0:#8fa9f5;--c1:#f0957f;--c2:#63c08f;--c3:#c39af0}}
*{box-sizing:border-box}
body{font:14px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:0}
header,main{max-width:1180px;margin:0 auto;padding:0 24px}header{padding-top:32px}
h1{font-size:26px;margin:0 0 4px}h2{font-size:18px;margin:40px 0 8px}
h3{font-size:14px;margin:20px 0 6px}
p{margin:4px 0}code,.soft{color:var(--soft)}code{font-size:12px;overflow-wrap:anywhere}
.note{color:var(--soft);font-size:12px;max-width:110ch;margin-bottom:10px}
nav{display:flex;flex-wrap:wrap;gap:4px 16px;margin:16px 0;padding:10px 0;font-size:13px;
border-top:1px solid var(--line);border-bottom:1px solid var(--line)}
a{color:var(--accent);text-decoration:none}a:hover{text-decoration:underline}
.table{overflow-x:auto}table{border-collapse:collapse}
th,td{padding:4px 14px 4px 0;text-align:right;vertical-align:top;
border-bottom:1px solid var(--line);font-variant-numeric:tabular-nums}
th:first-child,td.words,th.words{text-align:left}th{font-weight:500}
thead th{color:var(--soft);font-size:12px}td.words{white-space:normal}
.bar{display:inline-block;height:9px;border-radius:2px;background:var(--accent);vertical-align:middle}
.charts{display:flex;flex-wrap:wrap;gap:20px}
svg text{fill:var(--soft);font-size:11px}svg .title{fill:var(--ink);font-weight:600;font-size:12px}
.cards{display:flex;flex-wrap:wrap;gap:14px}
.card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:10px 12px}
.card h3,.card .note{margin:0 0 6px}.card .note{margin:6px 0 0}.pair{width:232px}
.row{display:flex;flex-wrap:wrap;gap:8px;align-items:flex-start}
figure{margin:0;width:98px}figure img{display:block;width:98px;height:98px;object-fit:contain;
background:#fff;border-radius:4px;outline:1px solid var(--line)}
figcaption{font-size:11px;color:var(--soft);overflow-wrap:anywhere;margin-top:3px}
.gone{display:flex;width:98px;height:98px;align-items:center;font-size:11px;color:var(--no)}
.same{color:var(--yes);font-weight:600}.other{color:var(--no);font-weight:600}
summary{cursor:pointer;color:var(--soft);font-size:12px}
details ul{margin:4px 0 8px;padding-left:18px;font-size:12px;color:var(--soft);
overflow-wrap:anywhere}
label{margin-right:10px}button{font:inherit;padding:4px 12px}
"""

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 540, 270, 44, 12, 26, 36


def whole_page(
    title: str,
    about: object,
    sections: Sequence[tuple[str, object]],
    *,
    mark: str = "",
    script: str = "",
) -> str:
    """A page.

    Args:
        title: Of the page.
        about: Below it.
        sections: Title and content of each.
        mark: By which a program knows of which build it is.
        script: JavaScript at its end.
    """
    links = [tag("a", name, href=f"#part{place}") for place, (name, _) in enumerate(sections)]
    body = [
        tag("header", tag("h1", title), about, tag("nav", *links) if len(links) > 1 else ""),
        tag(
            "main",
            *(
                tag("section", tag("h2", name), content, id=f"part{place}")
                for place, (name, content) in enumerate(sections)
            ),
        ),
    ]
    head = (
        f"<title>{title}</title><meta name='viewport' content='width=device-width'>"
        f"<meta name='build' content='{mark}'><style>{_STYLE}</style>"
    )
    end = f"<script>{script}</script>" if script else ""
    return (
        f"<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>{head}</head>"
        f"<body>{joined(body)}{end}</body></html>\n"
    )


def note(words: str) -> Markup:
    """A line that explains."""
    return tag("p", words, class_="note")


def grid(head: Sequence[str], rows: Sequence[Sequence[object]], words: Sequence[int]) -> Markup:
    """A table.

    Args:
        head: Names of the columns.
        rows: Cells.
        words: Which columns are texts, and not numbers.
    """

    def cell(kind: str, place: int, content: object) -> Markup:
        return tag(kind, content, class_="words" if place in words else None)

    body = [tag("tr", *(cell("td", k, one) for k, one in enumerate(row))) for row in rows]
    top = tag("tr", *(cell("th", place, name) for place, name in enumerate(head)))
    return tag("div", tag("table", tag("thead", top), tag("tbody", *body)), class_="table")


def bar(share: float) -> Markup:
    """A bar of up to 260 pixels."""
    return tag("span", class_="bar", style=f"width:{max(1, round(260 * share))}px")


def curves(
    title: str, across: str, lines: Mapping[str, tuple[np.ndarray, np.ndarray]], *, upright: str
) -> Markup:
    """Lines in one chart.

    Args:
        title: Of the chart.
        across: Name of the horizontal axis.
        lines: Name → places across and heights, (n,) each; none of them infinite.
        upright: Format of the numbers at the vertical axis, e.g. ``".0%"``.
    """
    lines = {name: line for name, line in lines.items() if len(line[0])}
    if not lines:
        return Markup("")
    xs, ys = (np.concatenate([line[k] for line in lines.values()]) for k in (0, 1))
    left, right, top = float(xs.min()), float(xs.max()), max(float(ys.max()), 1e-9)
    bottom = min(float(ys.min()), 0.0)
    above = _TOP + 14 * len(lines)  # the names of the lines stand there

    def at(x: float, y: float) -> str:
        along = (x - left) / max(right - left, 1e-9) * (_WIDTH - _LEFT - _RIGHT)
        up = (y - bottom) / (top - bottom) * (_HEIGHT - above - _BOTTOM)
        return f"{_LEFT + along:.1f},{_HEIGHT - _BOTTOM - up:.1f}"

    drawn = [tag("text", title, x=4, y=14, class_="title")]
    for y in (bottom, (bottom + top) / 2, top):
        place = at(left, y).split(",")[1]
        drawn.append(tag("polyline", points=f"{at(left, y)} {at(right, y)}", stroke="var(--line)"))
        words = format(y, upright)
        drawn.append(tag("text", words, x=_LEFT - 6, y=float(place) + 4, text_anchor="end"))
    for x in np.linspace(left, right, 5).tolist():
        place = at(x, bottom).split(",")[0]
        shown = f"{x:,.0f}" if right - left > 20 else f"{x:.2f}"
        drawn.append(tag("text", shown, x=place, y=_HEIGHT - _BOTTOM + 15, text_anchor="middle"))
    middle = (_LEFT + _WIDTH) // 2
    drawn.append(tag("text", across, x=middle, y=_HEIGHT - 4, text_anchor="middle"))
    for number, (name, (x, y)) in enumerate(lines.items()):
        points = " ".join(at(float(a), float(b)) for a, b in zip(x, y, strict=True))
        colour = f"var(--c{number % 4})"
        drawn.append(tag("polyline", points=points, fill="none", stroke=colour, stroke_width=1.8))
        drawn.append(tag("text", name, x=_LEFT, y=_TOP + 4 + 14 * number, style=f"fill:{colour}"))
    return tag("svg", *drawn, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", width=_WIDTH, role="img")


def shares(values: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A histogram as a line: middles of the bins, and which share of the values lies in each."""
    known = values[np.isfinite(values)]
    if not len(known):
        return np.empty(0), np.empty(0)
    counts, _ = np.histogram(np.clip(known, edges[0], edges[-1]), edges)
    return (edges[1:] + edges[:-1]) / 2, counts / len(known)


def pictures_of(found: Finished, ids: Collection[int]) -> dict[int, tuple[str, Markup]]:
    """Caption and picture of rows by their numbers, read from the corpus in its order."""
    rows = found.rows(ids)
    order = sorted(rows, key=lambda number: (rows[number].place.file, number))
    load = loader(found.corpus)
    shown = {}
    for number, data in zip(order, load([rows[number] for number in order]), strict=True):
        row = rows[number]
        shown[number] = (row.caption, _picture(data, row.key))
    return shown


def inline(data: bytes, name: str) -> Markup:
    """A JPEG inside a page."""
    content = base64.b64encode(data).decode()
    words = escape(name)
    return Markup(f'<img alt="{words}" title="{words}" src="data:image/jpeg;base64,{content}">')


def figure(picture: Markup, caption: object) -> Markup:
    """A picture with words below."""
    return tag("figure", picture, tag("figcaption", caption))


def _picture(data: bytes | EntryError, key: str) -> Markup:
    if isinstance(data, EntryError):
        return tag("span", str(data), class_="gone")
    try:
        with io.BytesIO(data) as file:
            file.name = key  # type: ignore[attr-defined]  # what the decoder's errors name
            image = load_image(file)
    except ImageError as error:
        return tag("span", str(error), class_="gone")
    image.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return inline(buffer.getvalue(), key)
