"""What the settings of the cluster builder were chosen by; prints tables.

layers: how often a picture's nearest neighbour in another style shows the same concept, for depths
of EfficientNet-Lite0 (emoji); how near neighbours belong together by folder (stamps) or by keywords
(clip art), for weights of the captions.
quality: the measures and the score of stamps, and of the same made worse.
domains: how often an emoji's domain, by its name, is one of its category's.
sheets: what the filter leaves out of the stamps, and twenty rows of nearest neighbours (PNG).
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import argparse
import io
import sys
import tempfile
from collections import defaultdict
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter

sys.path.insert(0, str(Path(__file__).parent))
from corpus_material import clip_art, emoji, stamps, write_tars

from instruct_imagen.data.clusters.domains import (
    CAPTION_SCALE,
    OTHER,
    DomainSettings,
    domain_shares,
    prompts_of,
    sort_part,
)
from instruct_imagen.data.clusters.embedding import TEXT_WEIGHT, embed_part, joint
from instruct_imagen.data.clusters.encoders import Lite0
from instruct_imagen.data.clusters.filtering import FilterSettings, by_pixels, by_words
from instruct_imagen.data.clusters.picture_quality import VIEW, SimpleQuality, measures
from instruct_imagen.data.clusters.reading import loader, open_web_corpus, read_part
from instruct_imagen.data.clusters.sentences import Sentences
from instruct_imagen.data.world.vocabulary import concept_categories, training_vocabulary
from instruct_imagen.efficientnet import MEAN, SCALE, efficientnet_lite0
from instruct_imagen.images import load_image, to_square

RIGHT = {
    "Animals & Nature": {"animals", "plants", "scenery"},
    "Food & Drink": {"food"},
    "Objects": {"products"},
    "Travel & Places": {"scenery", "buildings", "vehicles"},
    "Activities": {"sports", "art"},
    "Smileys & Emotion": {"faces", "symbols"},
    "People & Body": {"people", "sports"},
}
"""Category of the emoji -> domains that are right for it."""

COMBINATIONS = (
    ("4",), ("10",), ("14",), ("15",), ("15 max",), ("head",), ("head max",), ("head 2×2",),
    ("logits",), ("10", "14"), ("10", "14", "15 max"), ("10", "14", "head max"),
    ("10", "14", "head 2×2"), ("10", "14", "logits"),
)  # fmt: skip
WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
TILE = 112


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def depths(pictures: list[Image.Image], side: int) -> dict[str, np.ndarray]:
    """Pooled features of several depths."""
    network = efficientnet_lite0().to(memory_format=torch.channels_last)
    found: dict[str, list[np.ndarray]] = defaultdict(list)
    for start in range(0, len(pictures), 16):
        some = [np.asarray(to_square(one, side)) for one in pictures[start : start + 16]]
        state = torch.from_numpy(np.stack(some)).permute(0, 3, 1, 2)
        with torch.inference_mode():
            state = network._bn0(network._conv_stem((state.float() - MEAN) / SCALE)).clamp(0, 6)
            for number, block in enumerate(network._blocks):
                state = block(state)
                if number in (4, 10, 14, 15):
                    found[str(number)].append(state.mean((2, 3)).numpy())
            found["15 max"].append(state.amax((2, 3)).numpy())
            head = network._bn1(network._conv_head(state)).clamp(0, 6)
            found["head"].append(head.mean((2, 3)).numpy())
            found["head max"].append(head.amax((2, 3)).numpy())
            pooled = torch.nn.functional.adaptive_avg_pool2d(head, 2).flatten(1)
            found["head 2×2"].append(pooled.numpy())
            found["logits"].append(network._fc(head.mean((2, 3))).numpy())
    return {name: unit(np.concatenate(parts)) for name, parts in found.items()}


def nearest(vectors: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
    """(N,) the nearest other row; with groups, of another group."""
    found = []
    for start in range(0, len(vectors), 1024):
        cosines = vectors[start : start + 1024] @ vectors.T
        rows = np.arange(start, start + len(cosines))
        cosines[np.arange(len(rows)), rows] = -9
        if groups is not None:
            cosines[groups[rows][:, None] == groups[None]] = -9
        found.append(cosines.argmax(1))
    return np.concatenate(found)


def layers(concepts: int | None) -> None:
    """See above."""
    drawn = list(emoji(concepts, 128))
    names, styles = np.array([one[0] for one in drawn]), np.array([one[1] for one in drawn])
    given = list(stamps())
    pictures = [load_image(io.BytesIO(data)) for _, data, _ in given]
    folders = np.array([str(Path(name).parent) for name, _, _ in given])
    print(f"{len(drawn)} emoji of {len(set(names))} concepts, {len(given)} stamps")
    print(f"{'depths':28s}{'side':>5s}{'numbers':>9s}{'emoji':>8s}{'stamps':>8s}")
    for side in (96, 128):
        both = depths([one[2] for one in drawn], side), depths(pictures, side)
        for chosen in COMBINATIONS:
            one, two = (unit(np.concatenate([part[n] for n in chosen], 1)) for part in both)
            same = (names[nearest(one, styles)] == names).mean()
            beside = (folders[nearest(two)] == folders).mean()
            print(f"{', '.join(chosen):28s}{side:5d}{one.shape[1]:9d}{same:8.3f}{beside:8.3f}")
    sentences, encoder = Sentences(), Lite0()
    art = list(clip_art(1500, 128))
    seen = encoder(pictures), encoder([one[2] for one in art])
    said = sentences([one[2] for one in given]), sentences([one[0] for one in art])
    keywords = [one[1] for one in art]
    print(f"{'weight of captions':20s}{'stamps: folder':>16s}{'clip art: keywords shared':>28s}")
    for weight in WEIGHTS:
        stamp, clip = (
            joint(a.astype(np.float16), b.astype(np.float16), weight).astype(np.float32)
            for a, b in zip(seen, said, strict=True)
        )
        beside = (folders[nearest(stamp)] == folders).mean()
        pairs = enumerate(nearest(clip))
        shared = [len(keywords[i] & keywords[j]) / len(keywords[i] | keywords[j]) for i, j in pairs]
        print(f"{weight:20.1f}{beside:16.3f}{np.mean(shared):28.3f}")


def worse(view: Image.Image) -> dict[str, Image.Image]:
    """A picture, and the same with faults."""
    pixels = np.asarray(view, np.float32)
    small = view.resize((max(view.width // 8, 1), max(view.height // 8, 1)))
    packed = io.BytesIO()
    view.save(packed, "JPEG", quality=10)
    noise = np.random.default_rng(0).normal(0, 40, pixels.shape)
    return {
        "as it is": view,
        "blurred by 2 px": view.filter(ImageFilter.GaussianBlur(2)),
        "blurred by 4 px": view.filter(ImageFilter.GaussianBlur(4)),
        "enlarged 8 times": small.resize(view.size, Image.Resampling.BICUBIC),
        "contrast × 0.3": Image.fromarray((pixels * 0.3 + 128 * 0.7).astype(np.uint8)),
        "contrast × 0.1": Image.fromarray((pixels * 0.1 + 128 * 0.9).astype(np.uint8)),
        "JPEG of quality 10": load_image(io.BytesIO(packed.getvalue())),
        "noise of 40": Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8)),
    }


def quality(every: int) -> None:
    """See above."""
    found: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    score, least = SimpleQuality(), FilterSettings().min_quality
    for _, data, _ in islice(stamps(), 0, None, every):
        view = load_image(io.BytesIO(data))
        view.thumbnail((VIEW, VIEW), Image.Resampling.BOX)
        for name, one in worse(view).items():
            own = measures(one)
            found[name].append((own.sharpness, own.contrast, score.of(own)))
    print(f"{len(found['as it is'])} stamps; 5% and 50% of sharpness, contrast, score; left out")
    for name, rows in found.items():
        five, half = np.percentile(rows, (5, 50), axis=0)
        shown = "  ".join(f"{a:.2f} {b:.2f}" for a, b in zip(five, half, strict=True))
        out = np.mean([row[2] < least for row in rows])
        print(f"{name:20s}{shown}{out:8.1%}")


def domains() -> None:
    """See above."""
    categories, settings, sentences = concept_categories(), DomainSettings(), Sentences()
    names = training_vocabulary().concepts
    prompts = prompts_of(settings, sentences, CAPTION_SCALE)
    for form in ("{}", "a {}", "a picture of a {}"):
        vectors = sentences([form.format(name.replace("-", " ")) for name in names])
        forced = domain_shares(vectors, prompts, len(settings.domains)).argmax(1)
        first = [settings.domains[index].name for index in forced]
        found = sort_part(vectors, prompts, settings).names
        right = [one in RIGHT[categories[name]] for one, name in zip(first, names, strict=True)]
        sure = np.array([one != OTHER for one in found])
        print(
            f"{form!r}: the best domain is right for {np.mean(right):.1%} of {len(names)}; "
            f"{sure.mean():.1%} are sure, right {np.mean(np.array(right)[sure]):.1%}"
        )
        if form == "a {}":
            for category, good in RIGHT.items():
                own = [
                    f for f, name in zip(found, names, strict=True) if categories[name] == category
                ]
                known = [one for one in own if one != OTHER]
                share = np.mean([one in good for one in known])
                print(f"  {category:20s}{len(own):5d}, sure {len(known):4d}, right {share:.1%}")


def sheet(path: Path, rows: list[tuple[str, list[tuple[Image.Image, str]]]]) -> None:
    """Rows of pictures under a title each, with a line of text below each picture."""
    widest = max(len(items) for _, items in rows)
    page = Image.new("RGB", (widest * TILE, len(rows) * (TILE + 28)), "white")
    pen = ImageDraw.Draw(page)
    for number, (title, items) in enumerate(rows):
        top = number * (TILE + 28)
        pen.text((2, top), title, fill="red")
        for place, (picture, words) in enumerate(items):
            page.paste(to_square(picture, TILE - 8), (place * TILE + 4, top + 13))
            pen.text((place * TILE + 4, top + TILE + 6), words[:18], fill="black")
    path.parent.mkdir(parents=True, exist_ok=True)
    page.save(path)
    print(path)


def sheets(folder: Path) -> None:
    """See above."""
    with tempfile.TemporaryDirectory() as name:
        write_tars(Path(name), stamps())
        corpus = open_web_corpus(name)
        rows = [row for part in range(corpus.parts) for row in read_part(corpus, part).rows]
        load, settings = loader(corpus), FilterSettings(min_side=64)
        words = by_words(rows, settings)
        seen = by_pixels(words.rows, load, settings, SimpleQuality())
        print(f"{len(rows)} read, {len(seen.rows)} kept: {(words.tally + seen.tally).counts}")
        by_key = {row.key: row for row in rows}
        reasons: dict[str, list[tuple[Image.Image, str]]] = defaultdict(list)
        totals = (words.tally + seen.tally).counts
        for key, reason in (*words.left_out, *seen.left_out):
            if len(reasons[reason]) < 12:
                data = next(load([by_key[key]]))
                picture = load_image(io.BytesIO(data))
                reasons[reason].append((picture, by_key[key].caption))
        filtered = [(f"{reason}: {totals[reason]}", items) for reason, items in reasons.items()]
        sheet(folder / "filtered.png", filtered)
        found = embed_part(seen.rows, load, Lite0(), Sentences())
        for weight, file in ((0.0, "neighbours_pictures.png"), (TEXT_WEIGHT, "neighbours.png")):
            vectors = joint(found.images, found.texts, weight).astype(np.float32)
            cosines = vectors @ vectors.T
            lot = np.random.default_rng(1).choice(len(vectors), 20, replace=False)
            near = []
            for start in lot:
                order = np.argsort(-cosines[start])[:8]
                pictures = zip(order, load([found.rows[i] for i in order]), strict=True)
                near.append(
                    (
                        "",
                        [
                            (
                                load_image(io.BytesIO(data)),
                                f"{cosines[start, i]:.2f} {found.rows[i].caption}",
                            )
                            for i, data in pictures
                        ],
                    )
                )
            sheet(folder / file, near)


def main() -> None:
    """Runs one of them."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("what", choices=("layers", "quality", "domains", "sheets"))
    arguments.add_argument("--concepts", type=int, help="of the emoji (all)")
    arguments.add_argument(
        "--every", type=int, default=1, help="of how many stamps one is measured"
    )
    arguments.add_argument("--out", type=Path, default=Path("out/corpus"))
    chosen = arguments.parse_args()
    torch.set_num_threads(1)
    if chosen.what == "layers":
        layers(chosen.concepts)
    elif chosen.what == "quality":
        quality(chosen.every)
    elif chosen.what == "domains":
        domains()
    else:
        sheets(chosen.out)


if __name__ == "__main__":
    main()
