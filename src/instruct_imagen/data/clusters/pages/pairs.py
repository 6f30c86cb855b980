"""A sheet of pairs that a person says yes or no to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from instruct_imagen.data.clusters.borderline_pairs import (
    COLUMNS,
    OTHER,
    SAME,
    Pair,
    csv_rows,
    nearest_pairs,
    to_csv,
)
from instruct_imagen.data.clusters.finished import Finished
from instruct_imagen.data.clusters.pages.pieces import figure, note, pictures_of, whole_page
from instruct_imagen.data.clusters.pages.words import limits, words_of
from instruct_imagen.data.clusters.rows import ClusterError
from instruct_imagen.data.shards.layout import write_whole
from instruct_imagen.evaluation.report.html import Markup, joined, tag

SHEET, ANSWERS = "pairs.html", "pairs.csv"

_SCRIPT = """
const rows=ROWS,head=HEAD,kept="clusters pairs MARK";
let given={};try{given=JSON.parse(localStorage.getItem(kept))||{}}catch(e){}
const cell=t=>/[",\\n]/.test(t)?'"'+t.replace(/"/g,'""')+'"':t;
function show(){const n=Object.keys(given).length;
document.getElementById("count").textContent=n+" of "+rows.length+" answered"}
for(const [k,v] of Object.entries(given)){
const box=document.querySelector(`input[name="p${k}"][value="${v}"]`);if(box)box.checked=true}
document.addEventListener("change",e=>{given[e.target.name.slice(1)]=e.target.value;show();
try{localStorage.setItem(kept,JSON.stringify(given))}catch(x){}});
document.getElementById("save").addEventListener("click",()=>{
const lines=[head,...rows.map((r,i)=>[...r.slice(0,-1),given[i+1]||""])];
const a=document.createElement("a");a.download="pairs.csv";
a.href=URL.createObjectURL(new Blob([lines.map(l=>l.map(cell).join(",")).join("\\n")+"\\n"],
{type:"text/csv"}));a.click()});show();
"""


def write_pairs(build: Path, out: Path, *, count: int, seed: int = 0) -> int:
    """Writes `SHEET` and `ANSWERS` into a folder.

    Args:
        build: Folder of the build.
        out: The folder; made if it is not there.
        count: Pairs, of all kinds together.
        seed: See `nearest_pairs`.

    Returns:
        How many pairs there are.

    Raises:
        ClusterError: The build is not whole, or answers lie there already.
    """
    if (out / ANSWERS).exists():
        raise ClusterError(
            f"{out / ANSWERS} is there, perhaps with answers: name another folder, or remove it"
        )
    found = Finished(build)
    pairs = nearest_pairs(found, count, seed)
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / SHEET, sheet(found, pairs, f"{found.state} {seed} {count}"))
    write_whole(out / ANSWERS, to_csv(pairs))
    return len(pairs)


def sheet(found: Finished, pairs: Sequence[Pair], mark: str) -> str:
    """The page."""
    pictures = pictures_of(found, {number for pair in pairs for number in pair.ids})
    cards = [
        tag(
            "div",
            tag("div", *(figure(pictures[n][1], pictures[n][0][:80]) for n in pair.ids),
                class_="row"),
            tag(
                "p",
                tag("b", f"{number} "),
                tag("span", SAME if pair.same else OTHER, class_="same" if pair.same else "other"),
                f", {pair.kind}; {words_of(*pair.measures)}",
                class_="note",
            ),
            tag("p", *(_choice(number, answer) for answer in ("yes", "no"))),
            class_="card pair",
        )
        for number, pair in enumerate(pairs, 1)
    ]  # fmt: skip
    words = (
        "Is it one picture (cropped, resized, recompressed, mirrored, recoloured, with small "
        f"changes)? Thresholds: {limits(found.thresholds)}. What you choose is kept in this "
        f"browser; save it as {ANSWERS}, or write yes or no into the column same of the file "
        "beside this page, and give it to `clusters learn`. Pairs may be left out."
    )
    save = tag("p", tag("button", f"Save {ANSWERS}", id="save"), " ", tag("span", "", id="count"))
    content = joined([note(words), save, tag("div", *cards, class_="cards")])
    rows = json.dumps(csv_rows(pairs)).replace("</", "<\\/")
    # The rows last: what they say is not looked through.
    script = _SCRIPT.replace("MARK", mark).replace("HEAD", json.dumps(COLUMNS))
    return whole_page(
        "Near-duplicates?",
        tag("p", f"{len(pairs)} pairs nearest to the thresholds"),
        [("Pairs", content)],
        mark=mark,
        script=script.replace("ROWS", rows),
    )


def _choice(number: int, answer: str) -> Markup:
    box = Markup(f'<input type="radio" name="p{number}" value="{answer}">')
    return tag("label", box, f" {answer}")
