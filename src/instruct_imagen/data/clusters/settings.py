"""What a build of clusters does: every setting in one frozen object, and the steps of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from instruct_imagen.data.clusters.by_concept import CLUSTER_SIZE
from instruct_imagen.data.clusters.domains import DomainSettings
from instruct_imagen.data.clusters.embedding import TEXT_WEIGHT
from instruct_imagen.data.clusters.encoders import (
    DTYPES,
    ImageEncoder,
    Lite0,
    WordEncoder,
    fast_dtype,
)
from instruct_imagen.data.clusters.filtering import FilterSettings
from instruct_imagen.data.clusters.holdouts import HeldSet
from instruct_imagen.data.clusters.ledger import unwritable
from instruct_imagen.data.clusters.near_duplicates import Thresholds
from instruct_imagen.data.clusters.neighbours import RECALL
from instruct_imagen.data.clusters.picture_quality import Quality, SimpleQuality
from instruct_imagen.data.clusters.pretrained_encoders import PretrainedEncoder
from instruct_imagen.data.clusters.quality_models import ModelQuality
from instruct_imagen.data.clusters.reading import WebCorpus
from instruct_imagen.data.clusters.rows import ClusterError
from instruct_imagen.data.clusters.sentences import Sentences
from instruct_imagen.data.clusters.steps.base import Step
from instruct_imagen.data.clusters.steps.cut import LEAST, CutClusters
from instruct_imagen.data.clusters.steps.domains import Domains
from instruct_imagen.data.clusters.steps.duplicates import Candidates, Duplicates
from instruct_imagen.data.clusters.steps.embed import Embed
from instruct_imagen.data.clusters.steps.gather import Gather
from instruct_imagen.data.clusters.steps.holdout import HoldOut
from instruct_imagen.data.clusters.steps.leaks import Leaks
from instruct_imagen.data.clusters.steps.members import Members
from instruct_imagen.data.clusters.steps.pixels import Pixels
from instruct_imagen.data.clusters.steps.plan import CANDIDATES, PlanSearch
from instruct_imagen.data.clusters.steps.read import Read
from instruct_imagen.data.clusters.steps.repeats import Repeats
from instruct_imagen.data.clusters.steps.search import Search
from instruct_imagen.data.clusters.steps.titles import Titles
from instruct_imagen.data.clusters.steps.words import Words
from instruct_imagen.data.shards.layout import write_whole

DTYPE = "dtype.json"
"""In the folder of a build: device -> dtype that was chosen for it when it was first built on."""


DUPLICATES = Thresholds(difference=0.7)
"""Of labelled pairs it misses 0.14 and 0.25% more than the default, still fewer than one in a
hundred. A corpus has more variants of one drawing than those pairs, and of the merges that lie
between the two most are wrong (docs/clusters.md)."""


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """How clusters are built; nothing of where, or by how many processes.

    Attributes:
        filters: What is kept of the corpus.
        quality_model: Folder, hub name or file of a network that rates images; empty for a simple
            measure of sharpness and contrast.
        image_model: Folder or hub name of a CLIP, SigLIP or DINO; empty for EfficientNet-Lite0.
        dtype: Of the encoders: ``float32``, ``bfloat16``, or empty for the faster one of the
            machine that begins the build (`with_dtype`).
        device: Where encoders run.
        text_weight: Of captions in the similarity of rows.
        domains: The list, and what is sure enough.
        candidates: Nearest rows of each that a cluster is cut from.
        recall: Least share of true neighbours that a search through cells must find.
        duplicates: From where on two rows are one; stricter than what was learnt, see `DUPLICATES`.
        holdout: From where on a row is a picture of a hold-out; compared by images alone.
        least: Similarity to its first that every member of a cluster must have.
        seed: Of the search.
    """

    filters: FilterSettings = field(default_factory=FilterSettings)
    quality_model: str = ""
    image_model: str = ""
    dtype: str = ""
    device: str = "cpu"
    text_weight: float = TEXT_WEIGHT
    domains: DomainSettings = field(default_factory=DomainSettings)
    candidates: int = CANDIDATES
    recall: float = RECALL
    duplicates: Thresholds = DUPLICATES
    holdout: Thresholds = field(default_factory=Thresholds)
    least: float = LEAST
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses what no cluster could be built with.

        Raises:
            ClusterError: A number is out of range.
        """
        ranges = {"text_weight": (0, 1), "recall": (0.01, 1), "least": (-1, 1), "seed": (0, 2**63)}
        ranges["candidates"] = (CLUSTER_SIZE - 1, 1000)
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise ClusterError(f"{name}={getattr(self, name)} must be from {low} to {high}")


def with_dtype(root: Path, settings: ClusterSettings) -> tuple[ClusterSettings, str]:
    """Settings whose dtype is stated, and a line for who should know why it is not the faster one.

    The processor of whoever builds decides once. Vectors of two kinds cannot be compared, so a
    build that goes on elsewhere keeps to what it began with.

    Args:
        root: Folder of the build.
        settings: One that states a dtype stays as it is.
    """
    if settings.dtype:
        return settings, ""
    fast = fast_dtype(settings.device)
    known = _dtypes(root).get(settings.device, fast)
    line = (
        f"dtype={known}, with which this build began; dtype={fast} would be faster on this "
        "machine, and embed all images anew"
    )
    return replace(settings, dtype=known), "" if known == fast else line


def keep_dtype(root: Path, settings: ClusterSettings, *, stated: bool) -> None:
    """Notes the dtype for whoever goes on with the build; while nobody else builds there.

    Args:
        root: Folder of the build.
        settings: With their dtype.
        stated: Whether the user states it, or it is that of `with_dtype`.

    Raises:
        ClusterError: Another build has begun and ended with another one since `with_dtype` looked;
            or the folder cannot be written to.
    """
    noted = _dtypes(root).get(settings.device, settings.dtype)
    if not stated and noted != settings.dtype:
        raise ClusterError(
            f"another build in {root} has chosen dtype={noted} since this one began: build again, "
            "it goes on with that"
        )
    known = {**_dtypes(root), settings.device: settings.dtype}
    if known != _dtypes(root):
        try:
            root.mkdir(parents=True, exist_ok=True)
            write_whole(root / DTYPE, json.dumps(known, indent=1) + "\n")
        except OSError as error:
            raise unwritable(root, error) from error


def _dtypes(root: Path) -> Mapping[str, str]:
    """What was noted; nothing where that cannot be read, as vectors are then made anew at worst."""
    try:
        found = json.loads((root / DTYPE).read_bytes())
    except (OSError, ValueError):
        return {}
    known = found.items() if isinstance(found, dict) else ()
    return {device: dtype for device, dtype in known if dtype in DTYPES}


def steps_of(
    root: Path,
    corpus: WebCorpus,
    settings: ClusterSettings,
    store: Path | None = None,
    holdouts: Sequence[HeldSet] = (),
) -> Sequence[Step]:
    """All steps of a build, in their order.

    Args:
        root: Folder of the build.
        corpus: What is read.
        settings: How.
        store: Folder where vectors are kept between builds; None for none.
        holdouts: Whose pictures must not be in any cluster.
    """
    read = Read(root=root, corpus=corpus)
    words = Words(root=root, read=read, filters=settings.filters)
    repeats = Repeats(root=root, words=words)
    pixels = Pixels(
        root=root, repeats=repeats, filters=settings.filters, quality=quality_of(settings)
    )
    images, texts = encoders_of(settings)
    embed = Embed(root=root, pixels=pixels, images=images, words=texts, store=store)
    titles, leaks, watching = None, None, ()
    if settings.filters.most_images:
        titles = Titles(
            root=root, embed=embed, most=settings.filters.most_images, alike=settings.filters.alike
        )
        watching = (titles,)
    if holdouts:
        held = HoldOut(root=root, sets=tuple(holdouts), images=images)
        leaks = Leaks(root=root, embed=embed, held=held, thresholds=settings.holdout)
        watching = (*watching, held, leaks)
    domains = Domains(root=root, embed=embed, sorting=settings.domains, leaks=leaks, titles=titles)
    gather = Gather(root=root, domains=domains, text_weight=settings.text_weight)
    plan = PlanSearch(
        root=root, gather=gather, candidates=settings.candidates, recall=settings.recall,
        seed=settings.seed,
    )  # fmt: skip
    search = Search(root=root, plan=plan)
    candidates = Candidates(root=root, search=search, thresholds=settings.duplicates)
    duplicates = Duplicates(root=root, candidates=candidates, thresholds=settings.duplicates)
    cut = CutClusters(root=root, duplicates=duplicates, least=settings.least)
    members = Members(root=root, cut=cut)
    return (
        read, words, repeats, pixels, embed, *watching, domains, gather, plan, search, candidates,
        duplicates, cut, members,
    )  # fmt: skip


def quality_of(settings: ClusterSettings) -> Quality:
    """What scores images."""
    if settings.quality_model:
        return ModelQuality(model=settings.quality_model, device=settings.device)
    return SimpleQuality()


def encoders_of(settings: ClusterSettings) -> tuple[ImageEncoder, WordEncoder]:
    """What embeds images and captions."""
    dtype = settings.dtype or fast_dtype(settings.device)
    words = Sentences(dtype=dtype, device=settings.device)
    if not settings.image_model:
        return Lite0(dtype=dtype, device=settings.device), words
    images = PretrainedEncoder(model=settings.image_model, dtype=dtype, device=settings.device)
    return images, images.texts or words
