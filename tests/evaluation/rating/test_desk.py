"""What the page is answered."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.rating.items import pixels_id, rating_items, sampled
from tests.evaluation.rating.small import small_cases, small_desk, write_images

CASES = len(small_cases())


def rate(desk, answer, sc=1.0, pq=0.5, rater="ann", **more):
    click = more.pop("click", f"click {rater} {answer['token']} {sc} {pq}")
    return desk.ask(
        {"rater": rater, "rate": answer["token"], "sc": sc, "pq": pq, "click": click, **more}
    )


def rate_all(desk, rater, **more):
    answer, seen = desk.ask({"rater": rater, **more}), []
    while "token" in answer:
        seen.append(answer)
        answer = rate(desk, answer, rater=rater, **more)
    return seen, answer


def test_three_raters_rate_everything_and_the_fourth_nothing(tmp_path):
    desk = small_desk(tmp_path)
    for rater, short in (("ann", CASES), ("bob", CASES), ("carl", 0)):
        seen, end = rate_all(desk, rater)
        assert len(seen) == 2 * CASES
        assert [one["done"] for one in seen] == list(range(2 * CASES))
        assert {one["all"] for one in seen} == {2 * CASES}
        assert (end["end"], end["short"], end["more"]) == (True, short, False)
    assert rate_all(desk, "dora")[0] == []
    ratings = desk.store.ratings()
    assert len(ratings) == len({rating.key for rating in ratings}) == 3 * 2 * CASES


def test_methods_of_a_case_follow_each_other_in_changing_order(tmp_path):
    desk = small_desk(tmp_path, methods=3)
    rate_all(desk, "ann")
    rate_all(desk, "bob")
    queues = [desk.queue(rater) for rater in ("ann", "bob")]
    for queue in queues:
        for start in range(0, len(queue), 3):
            group = queue[start : start + 3]
            assert len({item.case.id for item in group}) == 1
            assert {item.method for item in group} == {"method-0", "method-1", "method-2"}
        assert len({tuple(i.method for i in queue[s : s + 3]) for s in range(0, 30, 3)}) > 1
    cases = [[item.case.id for item in queue[::3]] for queue in queues]
    assert sorted(cases[0]) == sorted(cases[1]) and cases[0] != cases[1]


def test_answers_hold_no_name_of_method_case_or_file(tmp_path):
    desk = small_desk(tmp_path)
    path = tmp_path / "methods" / "method-0" / f"{small_cases()[0].id}.png"
    about = PngImagePlugin.PngInfo()
    about.add_text("model", "method-0")
    Image.open(path).save(path, pnginfo=about)
    seen, end = rate_all(desk, "ann")
    for answer in (*seen, end):
        text = json.dumps(answer)
        assert "method" not in text and str(tmp_path) not in text
        assert not any(case.id in text for case in small_cases())
        if "image" in answer:
            assert "model" not in png(answer["image"]).info


def png(address):
    head, _, content = address.partition(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


def test_what_is_shown_is_the_image_and_its_instruction(tmp_path):
    desk = small_desk(tmp_path)
    seen, _ = rate_all(desk, "ann")
    for answer, item in zip(seen, desk.queue("ann"), strict=True):
        pixels = np.asarray(png(answer["image"]))
        assert np.array_equal(pixels, np.asarray(Image.open(item.path)))
        instruction = item.case.instruction
        assert answer["text"] == instruction.text
        assert answer["markers"] == list(instruction.markers)
        for shown, one in zip(answer["references"], instruction.references, strict=True):
            assert (shown["marker"], shown["text"]) == (one.marker, one.text)
            assert np.array_equal(np.asarray(png(shown["image"])), one.image)
        assert [one["marker"] for one in answer["questions"]] == [
            one.marker for one in item.case.conditions
        ]
    stored = {(one.case, one.method): one.image for one in desk.store.ratings()}
    for item in desk.queue("ann"):
        assert stored[item.case.id, item.method] == pixels_id(np.asarray(Image.open(item.path)))


def test_a_rater_goes_on_where_they_were_on_another_desk(tmp_path):
    desk = small_desk(tmp_path)
    answer = desk.ask({"rater": "Ann"})
    for _ in range(3):
        answer = rate(desk, answer)
    again = small_desk(tmp_path).ask({"rater": " ANN "})
    assert again == answer
    assert again["done"] == 3
    assert small_desk(tmp_path).ask({"rater": "bob"})["done"] == 0


def test_back_shows_what_was_given_and_a_new_rating_replaces_it(tmp_path):
    desk = small_desk(tmp_path)
    first = desk.ask({"rater": "ann"})
    second = rate(desk, first, 1.0, 0.5)
    third = rate(desk, second, 0.0, 0.0)
    back = desk.ask({"rater": "ann", "show": third["back"]})
    assert (back["token"], back["sc"], back["pq"]) == (second["token"], 0.0, 0.0)
    back = desk.ask({"rater": "ann", "show": back["back"]})
    assert (back["token"], back["sc"], back["pq"], back["back"]) == (first["token"], 1.0, 0.5, "")
    after = rate(desk, back, 0.5, 1.0)
    assert (after["token"], after["sc"], after["done"]) == (second["token"], 0.0, 2)
    item = desk.queue("ann")[0]
    (kept,) = (r for r in desk.store.ratings() if (r.case, r.method) == (item.case.id, item.method))
    assert (kept.sc, kept.pq) == (0.5, 1.0)


def test_a_click_that_is_sent_again_is_one_rating(tmp_path):
    desk = small_desk(tmp_path)
    first = desk.ask({"rater": "ann"})
    answers = [rate(desk, first, click="one") for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    assert len(desk.store.ratings()) == 1


def test_after_their_share_raters_are_asked_for_no_more_but_may_go_on(tmp_path):
    desk = small_desk(tmp_path, raters=1, people=2)
    seen, end = rate_all(desk, "ann")
    assert len(seen) == CASES  # half of the cases, two methods
    assert {one["all"] for one in seen} == {CASES}
    assert end["more"] and end["short"] == CASES / 2
    more, end = rate_all(desk, "ann", more=True)
    assert len(more) == CASES
    assert not end["more"] and end["short"] == 0


@pytest.mark.parametrize(
    ("question", "error"),
    [
        ({"rater": "a/b"}, "cannot be a rater's name"),
        ({}, "cannot be a rater's name"),
        ({"rater": "ann", "show": "nothing"}, "not among yours"),
        ({"rater": "ann", "rate": "nothing", "sc": 1, "pq": 1, "click": "c"}, "not among yours"),
    ],
)
def test_wrong_questions_have_one_line_and_store_nothing(tmp_path, question, error):
    desk = small_desk(tmp_path)
    answer = desk.ask(question)
    assert list(answer) == ["error"] and error in answer["error"]
    assert desk.store.ratings() == []


def test_wrong_scores_and_other_peoples_images_are_refused(tmp_path):
    desk = small_desk(tmp_path)
    first = desk.ask({"rater": "ann"})
    for more in ({"sc": 0.3}, {"sc": None}, {"pq": True}, {"sc": "1"}, {"click": ""}):
        assert "error" in rate(desk, first, **more)
    desk.ask({"rater": "bob"})
    assert "not among yours" in rate(desk, first, rater="bob")["error"]
    assert desk.store.ratings() == []


def test_items_need_an_image_of_every_method_and_a_task(tmp_path):
    cases = small_cases()
    whole = write_images(tmp_path / "whole", cases, 0)
    part = write_images(tmp_path / "part", cases[:3], 0)
    assert len(rating_items(cases, {"a": whole, "b": whole})) == 2 * CASES
    with pytest.raises(EvaluationError, match=f"method b has no image of {CASES - 3} cases"):
        rating_items(cases, {"a": whole, "b": part})
    with pytest.raises(EvaluationError, match="no case of the suite has its images there"):
        rating_items([], {"a": whole})


def test_a_sample_is_even_over_groups_and_part_of_a_larger_one():
    cases = small_cases(each=3)
    drawn = sampled(cases, 15)
    groups = [case.group for case in drawn]
    assert len(drawn) == 15 and {groups.count(group) for group in groups} == {1, 2}
    assert set(drawn) <= set(sampled(cases, 20)) <= set(cases)
    assert sampled(cases, 10**6) == tuple(cases)
    assert list(drawn) == [case for case in cases if case in drawn]


def test_an_image_that_cannot_be_read_is_told_without_its_path(tmp_path, capsys):
    desk = small_desk(tmp_path)
    for path in (tmp_path / "methods").rglob("*.png"):
        path.write_bytes(b"no image")
    answer = desk.ask({"rater": "ann"})
    assert set(answer) == {"error"} and "cannot be read" in answer["error"]
    assert "method" not in json.dumps(answer)
    assert str(tmp_path) in capsys.readouterr().err
