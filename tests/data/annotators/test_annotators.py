"""The interface of all annotators, canny, sketch and the cache."""

from __future__ import annotations

import dataclasses
import importlib
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from instruct_imagen.data.annotators.base import AnnotatorError, to_grey
from instruct_imagen.data.annotators.cache import CachedAnnotator
from instruct_imagen.data.annotators.canny import Canny
from instruct_imagen.data.annotators.registry import annotator, annotator_class, annotator_names
from instruct_imagen.data.annotators.sketch import Sketch
from instruct_imagen.data.example import Picture
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.data.world.scenes import sample_scene, scene_rng


def noise(seed, width=40, height=30):
    """Blurred noise: has contours of every height."""
    pixels = np.random.default_rng(seed).normal(size=(height, width, 3))
    pixels = ndimage.gaussian_filter(pixels, (2, 2, 0))
    return Image.fromarray(np.clip(128 + pixels / pixels.std() * 50, 0, 255).astype(np.uint8))


def step(left, right, at=20, size=40):
    pixels = np.empty((size, size, 3), np.uint8)
    pixels[:, :at], pixels[:, at:] = left, right
    return Image.fromarray(pixels)


def values(image):
    return np.asarray(image).astype(int)


# -- The interface ---------------------------------------------------------------------------------


def test_every_annotator_is_found_by_the_name_of_its_module():
    assert {"canny", "depth", "edge", "mask", "sketch"} <= set(annotator_names())
    for name in annotator_names():
        found = annotator_class(name)
        assert found.name == name
        assert dataclasses.fields(found)
        assert importlib.import_module(f"instruct_imagen.data.annotators.{name}").ANNOTATOR is found
    with pytest.raises(AnnotatorError, match=r"unknown annotator 'cany': use one of canny, depth"):
        annotator("cany")
    for name in ("base", "../cache", "os.path", ""):  # modules, and names of none
        with pytest.raises(AnnotatorError, match="unknown annotator"):
            annotator(name)
    with pytest.raises(AnnotatorError, match="canny has no setting 'tone': use one of sigma"):
        annotator("canny", tone=3)


def test_finding_an_annotator_does_not_wait_for_torch():
    code = (
        "import sys; from instruct_imagen.data.annotators.registry import annotator; "
        "annotator('canny'); annotator('edge'); annotator('depth', model='x'); "
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, env=path()).returncode == 0


def path():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.mark.parametrize("name", ["canny", "sketch"])
def test_one_channel_of_the_same_size_in_the_order_of_the_images(name):
    images = [noise(0), noise(1, 25, 50), noise(2), noise(3, 1, 1), noise(4, 7, 1)]
    drawn = annotator(name)(images)
    assert [(one.mode, one.size) for one in drawn] == [("L", image.size) for image in images]
    for image, one in zip(images, drawn, strict=True):
        assert np.array_equal(values(annotator(name)([image])[0]), values(one))
    assert annotator(name)([]) == []


@pytest.mark.parametrize("name", ["canny", "sketch", "edge"])
def test_only_lists_of_rgb_images_are_taken(name):
    with pytest.raises(AnnotatorError, match="put a single one into a list"):
        annotator(name)(noise(0))
    with pytest.raises(AnnotatorError, match=r"RGB images, not RGBA: use images\.load_image"):
        annotator(name)([noise(0), noise(0).convert("RGBA")])
    with pytest.raises(AnnotatorError, match="not ndarray"):
        annotator(name)([np.zeros((4, 4, 3), np.uint8)])


SETTINGS = [
    ("canny", {"sigma": 2.5}), ("canny", {"low": 39.0}), ("canny", {"high": 16.0}),
    ("sketch", {"sigma": 2.5}), ("sketch", {"ratio": 2.5}), ("sketch", {"share": 0.9}),
    ("sketch", {"threshold": -0.03}), ("sketch", {"softness": 5.0}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changed"), SETTINGS)
def test_every_setting_changes_the_picture_and_the_fingerprint(name, changed):
    image = noise(5, 64, 64)
    plain, other = annotator(name), annotator(name, **changed)
    assert not np.array_equal(values(plain([image])[0]), values(other([image])[0]))
    assert plain.fingerprint != other.fingerprint


def test_the_settings_tested_are_all_there_are():
    for name in ("canny", "sketch"):
        tested = {key for own, changed in SETTINGS if own == name for key in changed}
        assert tested == {field.name for field in dataclasses.fields(annotator_class(name))}


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("canny", {"sigma": 0}, "sigma=0 must be more than 0"),
        ("canny", {"low": float("nan")}, "low=nan must be more than 0"),
        ("canny", {"low": 60}, "low=60 must be at most high=40"),
        ("sketch", {"ratio": 1}, "ratio=1 must be more than 1"),
        ("sketch", {"threshold": 2}, "threshold=2 must lie between"),
        ("sketch", {"softness": -1}, "softness=-1 must be more than 0"),
        ("edge", {"batch_size": 0}, "batch_size=0 must be more than 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(name, given, words):
    with pytest.raises(AnnotatorError, match=f"{name}: {words}"):
        annotator(name, **given)


def test_grey_rounds_to_the_nearest_and_refuses_nan():
    assert values(to_grey(np.array([[0, 0.4 / 255, 0.6 / 255, 1, -3, 3]]))).tolist() == [
        [0, 0, 1, 255, 0, 255]
    ]
    with pytest.raises(AnnotatorError, match="NaN"):
        to_grey(np.array([[0.5, np.nan]]))


# -- Canny -----------------------------------------------------------------------------------------


def test_canny_draws_one_line_of_one_pixel_along_a_step():
    for image, turned in ((step(40, 200), False), (step(200, 40).transpose(2), True)):
        lines = values(Canny()([image])[0])
        assert set(np.unique(lines)) == {0, 255}
        across = lines.T if turned else lines
        assert (across > 0).sum(axis=1).tolist() == [1] * 40
        columns = np.unique(np.nonzero(across)[1])
        assert len(columns) == 1
        assert abs(columns[0] - 19.5) < 1  # transposing turns the picture round: 19 or 20


def test_canny_thresholds_are_heights_of_steps():
    def found(height, **settings):
        return values(Canny(**settings)([step(100, 100 + height)])[0]).any()

    # Pixels are coarse beside the blur: a step seems a little lower than it is.
    assert found(50)
    assert not found(38)
    assert found(44, sigma=3.0)
    assert not found(38, sigma=3.0)
    assert found(16, low=5, high=12)


def test_canny_follows_a_line_below_high_only_from_where_it_is_above():
    fading = np.full((40, 40, 3), 100, np.uint8)
    fading[:, 20:] += np.linspace(70, 25, 40).astype(np.uint8)[:, None, None]
    lines = values(Canny()([Image.fromarray(fading)])[0]) > 0
    assert lines[2:].sum(axis=1).tolist() == [1] * 38
    weak = fading.copy()
    weak[:30, 20:] = 100  # where it was above
    assert not values(Canny()([Image.fromarray(weak)])[0])[34:].any()


def test_canny_sees_two_colours_of_one_brightness():
    red, green = (200, 60, 60), (90, 116, 60)
    image = step(red, green)
    assert np.ptp(values(image.convert("L"))) <= 1
    assert (values(Canny()([image])[0]) > 0).sum(axis=1).tolist() == [1] * 40


def test_cannys_circle_is_closed_thin_and_in_its_place():
    row, column = np.indices((80, 80))
    distance = np.hypot(row - 39.5, column - 39.5)
    disk = np.where(distance < 25, 220, 30).astype(np.uint8)
    lines = values(Canny()([Image.fromarray(np.dstack([disk] * 3))])[0]) > 0
    assert np.abs(distance[lines] - 25).max() < 1.5
    _, regions = ndimage.label(~lines)  # neighbours by their sides: a ring of corners is closed
    assert regions == 2
    blocks = lines[1:, 1:] & lines[:-1, :-1] & lines[1:, :-1] & lines[:-1, 1:]
    assert not blocks.any()


@pytest.mark.parametrize("name", ["canny", "edge"])
def test_edges_of_the_world_lie_where_the_world_says(name, vocabulary, atlas):
    edges = ready(name)
    scenes = [sample_scene(scene_rng(0, number), vocabulary) for number in range(6)]
    shown, truth = (
        render_pictures([Picture(scene=scene, kind=kind) for scene in scenes], atlas, 64)
        .permute(0, 2, 3, 1)
        .numpy()
        for kind in ("image", "edge")
    )
    hits = {"precision": [], "recall": []}
    for own, given in zip(edges([Image.fromarray(one) for one in shown]), truth, strict=True):
        mine, true = values(own) > 127, given[..., 0] > 0
        hits["precision"].append(ndimage.binary_dilation(true, np.ones((5, 5)))[mine].mean())
        hits["recall"].append(ndimage.binary_dilation(mine, np.ones((5, 5)))[true].mean())
    # Within two pixels; canny 1.00 and 0.98, HED 0.94 and 0.98 when this was written.
    assert np.mean(hits["precision"]) > 0.88
    assert np.mean(hits["recall"]) > 0.92


def ready(name):
    """An annotator, or a skip where HED's weights are not installed."""
    found = annotator(name)
    if name == "edge":
        pytest.importorskip("h5py")
        try:
            assert found.fingerprint
        except AnnotatorError as error:
            pytest.skip(str(error))
    return found


# -- Sketch ----------------------------------------------------------------------------------------


def test_a_sketch_is_the_published_formula():
    image = noise(6, 48, 48)
    own = Sketch(sigma=1.2, ratio=1.7, share=0.97, threshold=-0.01, softness=20)

    def blurred(pixels, sigma):
        offsets = np.arange(-30, 31)
        weights = np.exp(-(offsets**2) / (2 * sigma**2))
        weights[np.abs(offsets) > 4 * sigma + 0.5] = 0  # as far as scipy goes
        weights /= weights.sum()
        padded = np.pad(pixels, ((30, 30), (30, 30), (0, 0)), mode="edge")
        for axis in (0, 1):
            padded = np.apply_along_axis(np.convolve, axis, padded, weights, "same")
        return padded[30:-30, 30:-30]

    pixels = np.asarray(image) / 255
    given = blurred(pixels, 1.2) - 0.97 * blurred(pixels, 1.2 * 1.7)
    drawn = np.where(given >= -0.01, 1, 1 + np.tanh(20 * (given + 0.01))).min(axis=2)
    assert np.abs(values(own([image])[0]) - drawn * 255).max() < 0.51
    assert drawn.min() < 0.5 < drawn.max()


@pytest.mark.parametrize("shade", [0, 1, 90, 255])
def test_even_paper_stays_white(shade):
    assert (values(Sketch()([step(shade, shade)])[0]) == 255).all()


def test_a_stroke_is_dark_beside_the_step_and_on_its_darker_side():
    row = values(Sketch()([step(200, 60)])[0])[20]
    assert row.argmin() in (20, 21)
    assert row.min() < 60
    assert (row[:19] == 255).all()
    assert (row[30:] == 255).all()
    faint = values(Sketch()([step(110, 90)])[0])[20]
    assert row.min() < faint.min() < 255


# -- The cache -------------------------------------------------------------------------------------


@pytest.fixture
def images():
    return [noise(seed) for seed in range(5)] + [noise(9, 20, 20)]


def drawn_by(cached, images):
    """The annotations, which must be right, and how many were drawn and read for them."""
    before = cached.drawn, cached.hits
    found = cached(images)
    for own, true in zip(found, cached.annotator(images), strict=True):
        assert (own.mode, own.size) == (true.mode, true.size)
        assert np.array_equal(values(own), values(true))
    return cached.drawn - before[0], cached.hits - before[1]


def test_what_was_drawn_once_is_read_the_next_time(tmp_path, images):
    cached = CachedAnnotator(Canny(), tmp_path / "new" / "folder")
    assert drawn_by(cached, images[:4]) == (4, 0)
    assert drawn_by(cached, images) == (2, 4)
    again = CachedAnnotator(Canny(), cached.folder)
    assert drawn_by(again, images[::-1]) == (0, 6)
    assert (again.name, again.fingerprint) == ("canny", Canny().fingerprint)
    other = CachedAnnotator(Canny(sigma=2.0), cached.folder)
    assert drawn_by(other, images) == (6, 0)
    assert drawn_by(CachedAnnotator(Sketch(), cached.folder), images) == (6, 0)


def test_an_entry_can_be_looked_at(tmp_path, images):
    cached = CachedAnnotator(Sketch(), tmp_path)
    true = cached(images[:1])[0]
    with Image.open(cached.path(cached.key(images[0]))) as shown:
        assert np.array_equal(values(shown), values(true))


def test_equal_images_are_drawn_once_and_given_apart(tmp_path, images):
    cached = CachedAnnotator(Canny(), tmp_path)
    first, second, third = cached([images[0], images[1], images[0].copy()])
    assert cached.drawn == 2
    assert np.array_equal(values(first), values(third))
    first.paste(7, (0, 0, 40, 30))
    assert not np.array_equal(values(first), values(third))
    assert second.size == images[1].size


def test_the_same_bytes_in_another_shape_are_another_image(tmp_path):
    pixels = np.arange(360, dtype=np.uint8).repeat(2)[:360]
    wide = Image.fromarray(pixels.reshape(10, 12, 3))
    cached = CachedAnnotator(Canny(low=1, high=2), tmp_path)
    assert drawn_by(cached, [wide, Image.fromarray(pixels.reshape(12, 10, 3))]) == (2, 0)


def test_damaged_entries_are_drawn_anew(tmp_path, images):
    cached = CachedAnnotator(Sketch(), tmp_path)
    cached(images)
    entry = cached.path(cached.key(images[0]))
    whole = entry.read_bytes()
    other = cached.path(cached.key(images[1])).read_bytes()
    flipped = [
        whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        for place in range(0, len(whole), 37)
    ]
    for damaged in (b"", whole[:-1], whole[:40], whole + b"\0", other, *flipped):
        entry.write_bytes(damaged)
        assert drawn_by(cached, images) == (1, 5)
        assert entry.read_bytes() == whole


def test_each_batch_is_kept_as_soon_as_it_is_drawn(tmp_path, images):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Tiring(Canny):
        batch_size = 2

        def __call__(self, images):
            sizes.append(len(images))
            if len(sizes) == 3:
                raise KeyboardInterrupt
            return super().__call__(images)

    sizes = []
    cached = CachedAnnotator(Tiring(), tmp_path)
    with pytest.raises(KeyboardInterrupt):
        cached(images)
    assert sizes == [2, 2, 2]
    assert drawn_by(CachedAnnotator(Canny(), tmp_path), images) == (2, 4)


def taken(folder):
    return sum(file.stat().st_size for file in folder.glob("*/*"))


def test_a_bound_holds_and_what_was_used_last_stays(tmp_path, images):
    CachedAnnotator(Sketch(), tmp_path)(images)
    bound = taken(tmp_path)
    cached = CachedAnnotator(Sketch(), tmp_path, max_bytes=bound)
    assert drawn_by(cached, images) == (0, 6)
    for number, image in enumerate(images):  # clocks of file systems are coarse
        os.utime(cached.path(cached.key(image)), (number, number))
    cached(images[:1])
    more = [noise(seed) for seed in range(20, 22)]
    assert drawn_by(cached, more) == (2, 0)
    assert taken(tmp_path) <= bound
    assert cached.path(cached.key(images[0])).exists()
    assert not cached.path(cached.key(images[1])).exists()
    for seed in range(30, 60):
        cached([noise(seed)])
        assert taken(tmp_path) <= bound
    with pytest.raises(AnnotatorError, match="max_bytes=0 must be at least 1"):
        CachedAnnotator(Sketch(), tmp_path, max_bytes=0)


def test_drafts_of_killed_processes_go_and_those_of_living_ones_stay(tmp_path, images):
    cached = CachedAnnotator(Canny(), tmp_path, max_bytes=10**6)
    folder = cached.path(cached.key(images[0])).parent
    folder.mkdir()
    old, new = folder / ".aa.tmp", folder / ".bb.tmp"
    for draft in (old, new):
        draft.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    assert drawn_by(cached, images) == (6, 0)
    assert (old.exists(), new.exists()) == (False, True)


def test_a_folder_that_cannot_be_used_is_one_clear_line(tmp_path, images):
    (tmp_path / "file").touch()
    with pytest.raises(AnnotatorError, match=r"file cannot be read and written .*another folder"):
        CachedAnnotator(Canny(), tmp_path / "file")
    cached = CachedAnnotator(Canny(), tmp_path / "folder")
    cached.path(cached.key(images[0])).parent.write_bytes(b"in the way")
    with pytest.raises(AnnotatorError, match=r"folder cannot be read and written"):
        cached(images)


PROCESS = """
import sys
import numpy as np
from PIL import Image
from instruct_imagen.data.annotators.cache import CachedAnnotator
from instruct_imagen.data.annotators.canny import Canny
rng = np.random.default_rng(0)
images = [Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)) for _ in range(60)]
cached = CachedAnnotator(Canny(), sys.argv[1], max_bytes=int(sys.argv[2]))
true = [np.asarray(one) for one in Canny()(images)]
for turn in range(3):
    for own, one in zip(cached(images), true, strict=True):
        assert np.array_equal(np.asarray(own), one)
print(cached.drawn, cached.hits)
"""


def test_several_processes_share_a_bounded_folder(tmp_path):
    bound = 6000
    running = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(tmp_path), str(bound)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=path(),
        )
        for _ in range(3)
    ]  # fmt: skip
    for process in running:
        out, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
        drawn, hits = map(int, out.split())
        assert drawn + hits == 180
    # Each may write a sixteenth before it looks again, and one entry.
    assert 0 < taken(tmp_path) <= bound * (1 + 3 / 16) + 3 * 500
    assert not list(tmp_path.glob("*/.*"))
