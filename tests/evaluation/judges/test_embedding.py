"""The embedding judge with tiny models of the real classes; its CLIP has learned ten colours."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModel

from instruct_imagen.data.example import (
    Background,
    Example,
    ExampleReference,
    Picture,
    Placement,
    Scene,
)
from instruct_imagen.evaluation.case import Case, Condition, EvaluationError
from instruct_imagen.evaluation.judges.embedding import EmbeddingJudge
from instruct_imagen.evaluation.judges.embedding_calibration import (
    corrupted,
    picture_hash,
    reference_queries,
    shown,
)
from instruct_imagen.evaluation.judges.embedding_models import load_dino, pixel_values
from instruct_imagen.evaluation.judges.embedding_thresholds import Level, Thresholds, level
from instruct_imagen.evaluation.judges.registry import open_judge
from instruct_imagen.images import ImageError
from instruct_imagen.instruction import Instruction, Reference
from tests.evaluation.judges import small_models
from tests.evaluation.judges.small_models import COLOURS, caption, drawn

TEXT = Condition(name="text", kind="text")


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    small_models.save_clip(root / "clip", steps=200)
    small_models.save_vit(root / "vit")
    small_models.save_dinov2(root / "dinov2")
    return root


@pytest.fixture(scope="module")
def judge(folder):
    return EmbeddingJudge(clip=str(folder / "clip"), dino=str(folder / "vit"))


@pytest.fixture(scope="module")
def calibrated(folder):
    made = EmbeddingJudge(clip=str(folder / "clip"), dino=str(folder / "vit"))
    made.calibrate(suite())
    return made


def case(colour, seed, kind="subject", pictures=2, target=True, **more):
    """A thing by its pictures, and its caption."""
    references = tuple(
        Reference(1, drawn(colour, seed + number), "thing", kind) for number in range(pictures)
    )
    settings = dict(
        id=f"{kind}/{colour}/{seed}",
        group=kind,
        instruction=Instruction("Draw [ref#1] again.", references),
        prompt=caption(colour),
        conditions=(Condition(name=kind, kind=kind, marker=1), TEXT),
        seed=0,
        target=drawn(colour, seed + 90) if target else None,
    )
    return Case(**{**settings, **more})


def suite(kind="subject", target=True):
    return [
        case(colour, 100 * number, kind, target=target) for number, colour in enumerate(COLOURS)
    ]


# -- Measures --------------------------------------------------------------------------------------


def test_a_picture_is_wholly_like_itself_whatever_its_role(judge):
    one = case("red", 1, pictures=1)
    (found,) = judge.measure([one], [one.instruction.references[0].image])
    assert found["subject"]["dino_i"] == pytest.approx(1, abs=1e-6)
    assert found["subject"]["clip_i"] == pytest.approx(1, abs=1e-6)
    (other,) = judge.measure([one], [drawn("blue", 5)])
    assert other["subject"]["dino_i"] < 0.95
    assert other["subject"]["clip_i"] < 0.95


def test_pictures_of_one_marker_count_by_their_mean(judge):
    image = drawn("green", 7)
    both = case("red", 1, pictures=2)
    found = judge.measure([both], [image])[0]["subject"]
    alone = []
    for reference in both.instruction.references:
        instruction = Instruction("Draw [ref#1].", (reference,))
        (one,) = judge.measure([replace(both, instruction=instruction)], [image])
        alone.append(one["subject"])
    for name in ("clip_i", "dino_i"):
        assert found[name] == pytest.approx(np.mean([one[name] for one in alone]), abs=1e-9)
        assert alone[0][name] != alone[1][name]


def test_only_the_pictures_of_its_own_marker_count(judge):
    red, blue = drawn("red", 1), drawn("blue", 2)
    references = (Reference(1, red, "thing", "subject"), Reference(2, blue, "thing", "subject"))
    conditions = tuple(
        Condition(name=f"subject {marker}", kind="subject", marker=marker) for marker in (1, 2)
    )
    instruction = Instruction("[ref#1] beside [ref#2]", references)
    both = case("red", 1, instruction=instruction, conditions=conditions)
    first, second = judge.measure([both, both], [red, blue])
    assert first["subject 1"]["dino_i"] == pytest.approx(1, abs=1e-6)
    assert second["subject 2"]["dino_i"] == pytest.approx(1, abs=1e-6)
    assert first["subject 2"]["dino_i"] == pytest.approx(second["subject 1"]["dino_i"], abs=1e-6)
    assert first["subject 2"]["dino_i"] < 0.95


def test_the_right_caption_is_nearer_than_any_wrong_one(judge):
    colours = list(COLOURS)
    cases = [case(one, 50) for one in colours]
    for turn in range(1, len(colours)):
        images = [drawn(one, 900) for one in colours]
        wrong = images[turn:] + images[:turn]
        for right, other in zip(
            judge.measure(cases, images), judge.measure(cases, wrong), strict=True
        ):
            assert right["text"]["clip_t"] > other["text"]["clip_t"]


def test_neither_batches_nor_order_nor_sizes_beside_change_a_measure(folder):
    cases = suite()
    images = [drawn(one, 900, side=32 + 8 * (row % 3)) for row, one in enumerate(COLOURS)]
    found = []
    for batch in ("1", "4", "64"):
        judge = EmbeddingJudge(clip=str(folder / "clip"), dino=str(folder / "vit"), batch=batch)
        found.append(judge.measure(cases, images))
        back = judge.measure(cases[::-1], images[::-1])[::-1]
        wanted = [one["text"]["clip_t"] for one in found[-1]]
        assert [one["text"]["clip_t"] for one in back] == pytest.approx(wanted, abs=1e-6)
        assert len(set(wanted)) == len(wanted)
    for first, second, third in zip(*found, strict=True):
        for name, measures in first.items():
            assert second[name] == pytest.approx(measures, abs=1e-5)
            assert third[name] == pytest.approx(measures, abs=1e-5)


def test_dino_is_the_first_token_after_the_last_norm(folder):
    picture = Image.fromarray(drawn("red", 3))
    features = load_dino(str(folder / "dinov2"), batch=4, device="cpu")
    network = AutoModel.from_pretrained(folder / "dinov2")
    with torch.inference_mode():  # of DINOv2, the pooler's output is that token
        pooled = network(**features.processor(images=[picture], return_tensors="pt")).pooler_output
    wanted = (pooled / pooled.norm()).numpy()
    np.testing.assert_allclose(features([picture]), wanted, atol=1e-6)


# -- Pixels ----------------------------------------------------------------------------------------


def test_pixels_are_scaled_once(judge):
    grey = Image.new("RGB", (32, 32), (51, 102, 255))
    for features in (judge._clip.images, judge._dino):
        values = np.asarray(pixel_values(features.processor, [grey]))
        mean, deviation = features.processor.image_mean, features.processor.image_std
        for channel, share in enumerate((0.2, 0.4, 1.0)):
            wanted = (share - mean[channel]) / deviation[channel]
            np.testing.assert_allclose(values[0, channel], wanted, atol=1e-6)


def test_floats_and_grey_are_refused(judge):
    one = case("red", 1)
    with pytest.raises(ImageError, match="uint8"):
        judge.measure([one], [one.target / 255])
    with pytest.raises(EvaluationError, match="RGB pictures of 8 bits, not L"):
        pixel_values(judge._dino.processor, [Image.new("L", (32, 32))])


@pytest.mark.parametrize("wrong", [{"do_rescale": False}, {"rescale_factor": 1.0}])
def test_a_processor_that_does_not_scale_once_is_refused(tmp_path, wrong):
    path = small_models.save_clip(tmp_path / "clip", steps=0, **wrong)
    with pytest.raises(EvaluationError, match=r"clip=.*: its image processor makes .* do_rescale"):
        EmbeddingJudge(clip=path)


# -- Thresholds ------------------------------------------------------------------------------------


def test_levels_are_those_of_pairs_that_are_told_by_hand(calibrated):
    cases = suite()
    embed = calibrated._dino
    targets = embed([Image.fromarray(one.target) for one in cases])
    means = np.stack([
        embed([Image.fromarray(r.image) for r in one.instruction.references]).mean(0)
        for one in cases
    ])  # fmt: skip
    similar = targets @ means.T
    other = ~np.eye(len(cases), dtype=bool)
    found = calibrated.thresholds.levels["subject"]
    assert (found.matched, found.mismatched) == (10, 90)
    assert found.partly == pytest.approx(np.quantile(similar[other], 0.95), abs=1e-6)
    reached = np.quantile(np.diag(similar), 0.02)
    assert found.full == pytest.approx(max(reached, np.quantile(similar[other], 0.99)), abs=1e-6)
    texts = targets_clip_t(calibrated, cases)
    found = calibrated.thresholds.levels["text"]
    assert (found.matched, found.mismatched) == (10, 90)
    assert found.partly == pytest.approx(np.quantile(texts[other], 0.95), abs=1e-6)
    reached = np.quantile(np.diag(texts), 0.02)
    assert found.full == pytest.approx(max(reached, np.quantile(texts[other], 0.99)), abs=1e-6)


def targets_clip_t(judge, cases):
    images = judge._clip.images([Image.fromarray(one.target) for one in cases])
    return images @ judge._clip.texts([one.prompt for one in cases]).T


def test_right_images_score_and_those_of_other_cases_do_not(calibrated):
    cases = suite()
    fresh = [drawn(colour, 7000 + row) for row, colour in enumerate(COLOURS)]
    right = calibrated.judge(cases, fresh)
    wrong = calibrated.judge(cases, fresh[3:] + fresh[:3])
    assert [one.condition for one in right[0].scores] == ["subject", "text"]
    assert np.mean([one.sc for one in right]) >= 0.5
    for row in range(2):  # subject, text
        assert np.mean([one.scores[row].value for one in right]) >= 0.6
    assert np.mean([one.sc for one in wrong]) <= 0.1
    assert "DINO-I is" in right[0].scores[0].reason
    assert set(right[0].measures) == {"clip_iqa", "clip_t"}


def test_shuffled_references_lower_the_subject_alone(calibrated):
    cases, images = suite(), [one.target for one in suite()]
    turned = [
        replace(one, instruction=other.instruction)
        for one, other in zip(cases, cases[3:] + cases[:3], strict=True)
    ]
    subjects, texts = ([], []), ([], [])
    for row, some in enumerate((cases, turned)):
        for verdict in calibrated.judge(some, images):
            subjects[row].append(verdict.scores[0].value)
            texts[row].append(verdict.scores[1].value)
    assert np.mean(subjects[0]) > 0.7
    assert np.mean(subjects[1]) <= 0.1
    assert texts[0] == texts[1]


def test_quality_falls_with_each_corruption(calibrated):
    cases = suite()
    fresh = [drawn(colour, 7000 + row) for row, colour in enumerate(COLOURS)]
    real = calibrated.judge(cases, fresh)
    for name in ("blurred", "noised", "half covered"):
        images = [np.asarray(corrupted(Image.fromarray(one))[name]) for one in fresh]
        spoilt = calibrated.judge(cases, images)
        assert np.mean([one.pq for one in spoilt]) < np.mean([one.pq for one in real]) - 0.3, name
        lower = [
            other.measures["clip_iqa"] < one.measures["clip_iqa"]
            for one, other in zip(real, spoilt, strict=True)
        ]
        assert np.mean(lower) >= 0.9, name


def test_the_order_of_the_cases_does_not_matter_and_nor_do_copies(folder, calibrated):
    judge = EmbeddingJudge(clip=str(folder / "clip"), dino=str(folder / "vit"))
    cases = suite()
    found = judge.calibrate([*cases[::-1], *cases[:4]])
    for kind, wanted in calibrated.thresholds.levels.items():
        assert found.levels[kind].full == pytest.approx(wanted.full, abs=1e-6)
        assert found.levels[kind].partly == pytest.approx(wanted.partly, abs=1e-6)
        assert found.levels[kind].mismatched == wanted.mismatched


def test_without_targets_pictures_of_a_marker_are_matched_with_each_other(folder):
    judge = EmbeddingJudge(clip=str(folder / "clip"), dino=str(folder / "vit"))
    cases = suite(target=False)
    with pytest.raises(
        EvaluationError, match=r"text: the suite has 0 matched pairs .* --full text"
    ):
        judge.calibrate(cases)
    found = judge.calibrate(cases, full={"text": 0.9})
    assert found.levels["text"].full == 0.9
    assert found.levels["text"].matched == 0
    subject = found.levels["subject"]
    assert (subject.matched, subject.mismatched) == (20, 20 * 9)
    pairs = []
    for one in cases:
        first, second = judge._dino([Image.fromarray(r.image) for r in one.instruction.references])
        pairs += [first @ second] * 2
    reached = np.quantile(pairs, 0.02)
    assert subject.full == pytest.approx(reached, abs=1e-6) or subject.full > reached


def test_style_is_judged_by_clip_i(folder):
    judge = EmbeddingJudge(clip=str(folder / "clip"))  # no DINO needed
    found = judge.calibrate(suite("style"))
    assert found.levels["style"].measure == "clip_i"
    (verdict,) = judge.judge([suite("style")[0]], [drawn("red", 12345)])
    assert verdict.scores[0].value >= 0.5
    assert set(verdict.scores[0].measures) == {"clip_i"}


def test_cases_that_share_a_picture_are_not_mismatched():
    one, same, other = case("red", 1), case("red", 2), case("blue", 1)
    assert shown(one, one.conditions[0]).identity & shown(same, same.conditions[0]).identity
    queries, things = reference_queries([one, same, other], "subject")
    assert len(things) == len(queries) == 3
    assert not shown(one, one.conditions[0]).identity & shown(other, other.conditions[0]).identity


def test_of_the_world_the_same_style_is_no_mismatch_though_the_pictures_differ():
    found = []
    for concept, style in (("dog", "noto"), ("cat", "noto"), ("dog", "twemoji")):
        placement = Placement(concept=concept, style=style, x=0.5, y=0.5, scale=0.5)
        background = Background(kind="plain", colours=("red",))
        picture = Picture(scene=Scene(background=background, placements=(placement,)))
        reference = ExampleReference(marker=1, text="x", role="style", picture=picture)
        example = Example(
            task="styled", text="[ref#1]", caption="", references=(reference,), target=picture
        )
        made = case("red", len(found), "style", example=example)
        condition = made.conditions[0]
        found.append((shown(made, condition), shown(made, replace(condition, kind="subject"))))
    (style, subject), (same_style, other), (other_style, _) = found
    assert style.identity == same_style.identity != other_style.identity
    assert not subject.identity & other.identity


def test_models_that_tell_nothing_apart_are_refused(tmp_path, folder):
    path = small_models.save_clip(tmp_path / "clip", steps=0)
    judge = EmbeddingJudge(clip=path, dino=str(folder / "vit"))
    with pytest.raises(EvaluationError, match="cannot tell them apart"):
        judge.calibrate(suite())


def test_the_very_pair_that_made_a_level_reaches_it_again():
    found = level("text", "clip_t", np.linspace(0.7, 0.9, 11), np.linspace(0, 0.4, 101))
    assert found.value(0.704 - 1e-8) == 1
    assert found.value(0.704 - 1e-4) == 0.5


def test_levels_need_enough_pairs():
    right, wrong = np.linspace(0.7, 0.9, 11), np.linspace(0, 0.4, 101)
    found = level("text", "clip_t", right, wrong)
    assert (found.partly, found.full) == (pytest.approx(0.38), pytest.approx(0.704))
    assert [found.value(x) for x in (0.37, 0.39, 0.70, 0.71)] == [0, 0.5, 0.5, 1]
    with pytest.raises(EvaluationError, match="4 matched pairs"):
        level("text", "clip_t", right[:4], wrong)
    with pytest.raises(EvaluationError, match="19 mismatched pairs"):
        level("text", "clip_t", right, wrong[:19])
    with pytest.raises(EvaluationError, match="cannot tell them apart"):
        level("text", "clip_t", right, wrong, given=0.3)


def test_thresholds_are_kept_and_hold_for_the_same_models_alone(tmp_path, folder, calibrated):
    path = tmp_path / "new" / "thresholds.json"
    calibrated.thresholds.save(path)
    moved = shutil.copytree(folder / "clip", tmp_path / "elsewhere")
    spec = f"embedding:clip={moved},dino={folder / 'vit'},thresholds={path}"
    again = open_judge(spec)
    assert again.thresholds.levels == calibrated.thresholds.levels
    assert again.fingerprint == calibrated.fingerprint
    with pytest.raises(EvaluationError, match=r"of dino=.*vit, not of dino=.*dinov2"):
        open_judge(spec.replace("/vit", "/dinov2"))
    with pytest.raises(EvaluationError, match="not of dino=none"):
        open_judge(f"embedding:clip={moved},thresholds={path}")


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.update(version=99),
        lambda data: data.pop("levels"),
        lambda data: data["levels"]["pq"].update(partly=2.0),
        lambda data: data["levels"]["pq"].pop("measure"),
    ],
)
def test_a_file_that_holds_no_thresholds_is_one_line(tmp_path, change):
    path = tmp_path / "t.json"
    one = Level(measure="clip_iqa", partly=0.1, full=0.2, matched=9, mismatched=99)
    Thresholds(models={"clip": {"name": "x", "weights": "y"}}, levels={"pq": one}).save(path)
    assert Thresholds.load(path).levels == {"pq": one}
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    with pytest.raises(EvaluationError, match="instruct-imagen calibrate"):
        Thresholds.load(path)
    with pytest.raises(EvaluationError, match="cannot be read"):
        Thresholds.load(tmp_path / "none.json")


def test_the_fingerprint_is_of_models_and_thresholds(folder, judge, calibrated):
    other = EmbeddingJudge(clip=str(folder / "clip"), dino=str(folder / "dinov2"))
    same = EmbeddingJudge(clip=str(folder / "clip"), dino=str(folder / "vit"), batch="3")
    assert same.fingerprint == judge.fingerprint
    assert len({judge.fingerprint, other.fingerprint, calibrated.fingerprint}) == 3


# -- Refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["edge", "depth", "mask", "sketch", "content", "source"])
def test_it_is_blind_to_all_else_and_says_so(calibrated, kind):
    one = case("red", 1, kind)
    with pytest.raises(EvaluationError, match=f"cannot judge the condition '{kind}'.*vlm.*truth"):
        calibrated.judge([one], [one.target])


def test_what_is_missing_is_named(folder, judge, calibrated):
    one = case("red", 1)
    with pytest.raises(EvaluationError, match="no thresholds"):
        judge.judge([one], [one.target])
    with pytest.raises(EvaluationError, match="the case has none"):
        calibrated.judge([replace(one, prompt="")], [one.target])
    with pytest.raises(EvaluationError, match="no level of style"):
        style = case("red", 1, "style")
        calibrated.judge([style], [style.target])
    with pytest.raises(EvaluationError, match="add dino="):
        EmbeddingJudge(clip=str(folder / "clip")).measure([one], [one.target])
    with pytest.raises(EvaluationError, match="no case has a condition"):
        judge.calibrate([replace(case("red", 1, "edge"), conditions=())])
    with pytest.raises(EvaluationError, match="a level of style is not used"):
        judge.calibrate([one], full={"style": 0.5})


def test_wrong_models_and_options_are_one_line(folder, tmp_path):
    clip, vit = str(folder / "clip"), str(folder / "vit")
    with pytest.raises(EvaluationError, match="vit is no CLIP"):
        EmbeddingJudge(clip=vit)
    with pytest.raises(EvaluationError, match="no CLS token"):
        EmbeddingJudge(clip=clip, dino=clip)
    with pytest.raises(EvaluationError, match="cannot be loaded"):
        EmbeddingJudge(clip=str(tmp_path / "none"))
    with pytest.raises(EvaluationError, match="batch=0"):
        EmbeddingJudge(clip=clip, batch="0")
    with pytest.raises(EvaluationError, match="needs clip"):
        open_judge("embedding")


def test_broken_weights_are_not_a_score(tmp_path, folder):
    path = shutil.copytree(folder / "vit", tmp_path / "vit")
    features = load_dino(str(path), batch=1, device="cpu")
    network = features.network.__closure__[0].cell_contents
    with torch.no_grad():
        network.layernorm.weight.fill_(float("nan"))
    with pytest.raises(EvaluationError, match="NaN"):
        features([Image.fromarray(drawn("red", 1))])


def test_long_prompts_are_cut_and_said_to_be(calibrated):
    one = replace(case("red", 1), prompt=" ".join(["a red thing"] * 20))
    (verdict,) = calibrated.judge([one], [one.target])
    assert "read only the beginning" in verdict.scores[1].reason
    (short,) = calibrated.judge([case("red", 1)], [one.target])
    assert "beginning" not in short.scores[1].reason


def test_hashes_are_of_pixels_and_shape():
    pixels = drawn("red", 1)
    turned = Image.fromarray(pixels.reshape(16, 64, 3))
    assert picture_hash(Image.fromarray(pixels)) != picture_hash(turned)
