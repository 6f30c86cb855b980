"""The report as one HTML file, pictures inside: a file that can be sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from instruct_imagen.evaluation.report.html import Markup, joined, tag
from instruct_imagen.evaluation.report.sections import Section, failures, sections, title_of
from instruct_imagen.evaluation.report.tables import Figures

_STYLE = """
:root{--ink:#1c2330;--soft:#667085;--line:#e4e7ec;--accent:#3557b7;--paper:#8a6d1f;--bad:#b42318}
*{box-sizing:border-box}
body{font:14px/1.5 system-ui,sans-serif;color:var(--ink);margin:0;background:#fff}
header,main{max-width:1280px;margin:0 auto;padding:0 24px}
header{padding-top:32px}h1{font-size:26px;margin:0 0 4px}h2{font-size:18px;margin:40px 0 12px}
h3{font-size:14px;margin:24px 0 8px}p{margin:4px 0}code{font-size:12px;color:var(--soft)}
nav{display:flex;flex-wrap:wrap;gap:4px 16px;margin:16px 0;padding:10px 0;font-size:13px;
border-top:1px solid var(--line);border-bottom:1px solid var(--line)}
a{color:var(--accent);text-decoration:none}a:hover{text-decoration:underline}
.table{overflow-x:auto}table{border-collapse:collapse;min-width:50%}
th,td{padding:5px 12px 5px 0;text-align:right;vertical-align:top;white-space:nowrap;
border-bottom:1px solid var(--line);font-variant-numeric:tabular-nums}
thead th{white-space:normal;vertical-align:bottom;font-size:12px;color:var(--soft);
font-weight:600;min-width:64px}
thead th.over{text-align:center;color:var(--ink);font-size:13px;padding-right:0;
border-bottom:0;border-left:1px solid var(--line)}thead th.over:first-child{border-left:0}
th:first-child{text-align:left;font-weight:500}
th.part{font-weight:700;padding-top:14px;text-align:left}
.interval{color:var(--soft);font-size:11px}.paper{color:var(--paper)}
.note{color:var(--soft);font-size:12px;max-width:120ch;margin-top:8px}
.meter{display:block;position:relative;height:5px;width:110px;margin:3px 0 0 auto;
background:#eef1f6;border-radius:3px;overflow:hidden}
.meter i{position:absolute;inset:0 auto 0 0;background:var(--accent)}
.meter b{position:absolute;top:0;bottom:0;background:rgba(20,25,40,.28)}
.clear{font-weight:700}.unclear{color:var(--soft)}
.failed{border:2px solid var(--bad);border-radius:8px;padding:0 20px 16px;margin:24px 0}
.failed h2{color:var(--bad);margin-top:16px}
.failed td,.failed th{white-space:normal;text-align:left}
.charts{display:flex;flex-wrap:wrap;gap:16px;margin-bottom:12px}
.case{border-top:1px solid var(--line);padding:10px 0}
.row{display:flex;flex-wrap:wrap;gap:12px;align-items:flex-start;margin-top:6px}
figure{margin:0;width:96px}figure img{image-rendering:pixelated;border-radius:4px;display:block;
outline:1px solid var(--line)}figcaption{font-size:11px;color:var(--soft);overflow-wrap:anywhere}
.answer{display:flex;gap:8px;border-left:2px solid var(--line);padding-left:10px}
.answer ul{margin:0;padding:0;list-style:none;font-size:11px;width:170px}
.no b{color:var(--bad)}.partly b{color:#b54708}.yes b{color:#2b8a57}
details summary{cursor:pointer;font-weight:600;margin-top:14px}
"""


def page(
    found: Figures,
    diagnoses: Sequence[Mapping[str, Any]],
    pictures: Sequence[tuple[str, str, Markup]],
    *,
    note: str = "",
) -> str:
    """The whole page.

    Args:
        found: Of `tables.figures`.
        diagnoses: Of `diagnosis`, for each model and suite.
        pictures: Of `galleries`.
        note: What the reader should know of it, e.g. why there are no pictures.
    """
    parts = sections(found, diagnoses)
    if pictures:
        parts = [*parts, ("Best, median and worst", _galleries(pictures))]
    links = [tag("a", title, href=f"#part{place}") for place, (title, _) in enumerate(parts)]
    body = [
        tag(
            "header",
            tag("h1", "Evaluation"),
            tag("p", _summary(found)),
            tag("p", note, class_="note") if note else "",
            failures(found),
            tag("nav", *links),
        ),
        tag("main", *(_section(place, part) for place, part in enumerate(parts))),
    ]
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'><title>Evaluation</title>"
        f"<style>{_STYLE}</style></head><body>{joined(body)}</body></html>\n"
    )


def _section(place: int, part: Section) -> Markup:
    title, content = part
    return tag("section", tag("h2", title), content, id=f"part{place}")


def _summary(found: Figures) -> Markup:
    """Models, suites and judge in a sentence."""
    models = [
        joined([tag("b", label), " (", tag("code", about["fingerprint"]), ")"])
        for label, about in found["models"].items()
    ]
    suites = [f"{title_of(name)} ({sum(g.values()):,})" for name, g in found["suites"].items()]
    return joined(
        [
            "Models: ", joined(models, ", "), ". Suites, all of their cases: ", ", ".join(suites),
            ". Judge: ", tag("b", found["judge"] or "none"), ".",
        ]
    )  # fmt: skip


def _galleries(pictures: Sequence[tuple[str, str, Markup]]) -> Markup:
    made = [
        tag(
            "details",
            tag("summary", f"{title_of(suite)}: {title_of(group)}"),
            content,
            open=None if place else "open",
        )
        for place, (suite, group, content) in enumerate(pictures)
    ]
    note = "Chosen by the scores of the first model; every image is in its folder."
    return joined([tag("p", note, class_="note"), *made])
