"""A run as one static HTML page, with its curves and sheets inside: a file that can be sent."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from instruct_imagen.training.record import LOG

PAGE = "run.html"
_SHEETS = 3
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 520, 220, 56, 24
_COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17becf", "#7f7f7f")
_STYLE = """body{font:14px/1.5 sans-serif;margin:2em;max-width:1150px}svg{margin:0 1em 1em 0}
table{border-collapse:collapse}td{padding:0 1em 0 0;vertical-align:top}img{max-width:100%}"""


def write_page(folder: Path) -> Path:
    """Writes `PAGE` from the run's log, config and newest sheets.

    Returns:
        Its path.
    """
    lines = _lines(folder / LOG)
    config = json.loads((folder / "config.json").read_text())
    names = sorted({name for line in lines for name in line})
    groups = {
        "loss": ["loss"],
        "loss of each task": [
            name for name in names if name.startswith("loss/") and "noise" not in name
        ],
        "loss of each quarter of the noise levels": [
            n for n in names if n.startswith("loss/noise")
        ],
        "norm of the gradient": ["norm"],
        "images/s": ["images_per_s"],
        "GFLOP/s": ["gflops"],
    }
    charts = [
        chart(title, {name: _points(lines, name) for name in group})
        for title, group in groups.items()
        if any(name in names for name in group)
    ]
    sheets = sorted((folder / "sheets").glob("*.png"), reverse=True)[:_SHEETS]
    last = lines[-1] if lines else {}
    parts = [
        f"<h1>{escape(config['config']['name'])}: {escape(folder.name)}</h1>",
        _table(
            {"parameters": config["parameters"], **{k: v for k, v in last.items() if "/" not in k}}
        ),
        "<h2>Curves</h2>",
        *charts,
        "<h2>Sheets</h2>",
        *(f"<h3>{escape(path.stem)}</h3>{_picture(path)}" for path in sheets),
        "<h2>Settings</h2>",
        _table(config["config"]),
    ]
    page = (
        f"<!doctype html><html><head><meta charset='utf-8'><title>{escape(folder.name)}</title>"
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )
    new = folder / f".{PAGE}.writing"
    new.write_text(page)
    return new.replace(folder / PAGE)


def chart(title: str, curves: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Curves over images seen as an SVG, from 0 to the largest value."""
    points = [point for curve in curves.values() for point in curve]
    if not points:
        return ""
    low, high = min(x for x, _ in points), max(x for x, _ in points)
    top = max(max(y for _, y in points), 1e-12)

    def place(x: float, y: float) -> str:
        across = _LEFT + (x - low) / max(high - low, 1) * (_WIDTH - _LEFT - 10)
        return f"{across:.1f},{(1 - y / top) * (_HEIGHT - _BOTTOM - 20) + 20:.1f}"

    axes = f"M{place(low, top)} L{place(low, 0)} L{place(high, 0)}"
    drawn = [
        _text(4, 12, title, "font-weight='bold'"),
        _text(2, 26, f"{top:.3g}"),
        _text(2, _HEIGHT - _BOTTOM, "0"),
        _text(_LEFT, _HEIGHT - 6, f"{low:,.0f}"),
        _text(_WIDTH, _HEIGHT - 6, f"{high:,.0f} images", "text-anchor='end'"),
        f"<path d='{axes}' fill='none' stroke='#888'/>",
    ]
    for number, (name, curve) in enumerate(curves.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        line = " ".join(place(x, y) for x, y in curve)
        drawn.append(f"<polyline points='{line}' fill='none' stroke='{colour}'/>")
        if len(curves) > 1:
            label = f"text-anchor='end' fill='{colour}'"
            drawn.append(_text(_WIDTH - 10, 30 + 13 * number, name.removeprefix("loss/"), label))
    return f"<svg width='{_WIDTH}' height='{_HEIGHT}'>{''.join(drawn)}</svg>"


def _text(x: int, y: int, words: str, style: str = "") -> str:
    return f"<text x='{x}' y='{y}' font-size='11' {style}>{escape(words)}</text>"


def _lines(path: Path) -> list[dict[str, Any]]:
    """The log's lines; of those that a resumed run wrote again, the later ones."""
    found: dict[int, dict[str, Any]] = {}
    if path.is_file():
        for text in path.read_text().splitlines():
            line = json.loads(text)
            found[line["images"]] = line
    return [found[images] for images in sorted(found)]


def _points(lines: Sequence[Mapping[str, Any]], name: str) -> list[tuple[float, float]]:
    return [(line["images"], line[name]) for line in lines if name in line]


def _table(rows: Mapping[str, Any]) -> str:
    cells = (f"<tr><td>{escape(k)}</td><td>{escape(str(v))}</td></tr>" for k, v in rows.items())
    return f"<table>{''.join(cells)}</table>"


def _picture(path: Path) -> str:
    content = base64.b64encode(path.read_bytes()).decode()
    return f"<img alt='sample sheet' src='data:image/png;base64,{content}'>"
