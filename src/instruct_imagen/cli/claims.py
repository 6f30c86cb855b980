"""`instruct-imagen claims`: what the figures say of the paper's claims."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def add(commands: argparse._SubParsersAction) -> None:
    """Declares the command."""
    own = commands.add_parser(
        "claims",
        help="what the figures say of the paper's claims",
        description=(
            "Tests the paper's claims on what runs/claims.sh has trained and evaluated; writes "
            "claims.md and claims.json into its folder."
        ),
    )
    own.add_argument(
        "folder", type=Path, nargs="?", default=Path("out/claims"), help="folder (%(default)s)"
    )
    own.add_argument("--judge", help="whose verdicts, where there are several")
    own.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    """Writes the verdict on each claim."""
    from instruct_imagen.data.shards.layout import write_whole
    from instruct_imagen.evaluation.claims import CLAIMS, claims_table, find, read_claims

    seeds = read_claims(chosen.folder, chosen.judge)
    findings = [find(claim, seeds) for claim in CLAIMS]
    table = claims_table(findings)
    stored = [one.as_dict() for one in findings if one is not None]
    write_whole(chosen.folder / "claims.json", json.dumps(stored, indent=1) + "\n")
    write_whole(chosen.folder / "claims.md", table)
    print(table, end="")
