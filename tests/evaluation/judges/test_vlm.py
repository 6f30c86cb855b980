"""The judge by a vision-language model, against a small server that speaks the protocol."""

from __future__ import annotations

import email.utils
import gc
import json
import threading
import time

import numpy as np
import pytest
from PIL import Image

from instruct_imagen.evaluation.case import CONDITION_KINDS, Case, Condition, EvaluationError
from instruct_imagen.evaluation.judges import vlm_client
from instruct_imagen.evaluation.judges.registry import judge_classes, open_judge
from instruct_imagen.evaluation.judges.vlm import VlmJudge
from instruct_imagen.evaluation.judges.vlm_client import seconds
from instruct_imagen.evaluation.judges.vlm_endpoint import Usage
from instruct_imagen.evaluation.judges.vlm_prompts import (
    MEANINGS,
    AnswerError,
    Rating,
    consistency_messages,
    meaning,
    ratings,
)
from instruct_imagen.instruction import Instruction, Reference
from tests.evaluation.judges import chat_server
from tests.evaluation.judges.chat_server import COLOURS, ChatServer, say

KEY = "sk-very-secret-0123456789"


@pytest.fixture
def server():
    with ChatServer() as started:
        yield started


@pytest.fixture
def judge(server, tmp_path):
    return vlm(server, cache=str(tmp_path / "cache"))


def vlm(server, **options):
    settings = dict(url=server.url, model="tiny-vlm", pause="0.01", timeout="5", retries="2")
    return VlmJudge(**{**settings, **options})


def flat(colour, size=16, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    base = np.full((size, size, 3), COLOURS[colour], dtype=float)
    return np.clip(base + rng.normal(0, noise, base.shape), 0, 255).astype(np.uint8)


def case(first="red", second="blue", number=0):
    """Two subjects of one colour each, and words that ask for the first."""
    references = (
        Reference(1, flat(first), "thing", "subject"),
        Reference(1, flat(first, 20), "thing", "subject"),
        Reference(2, flat(second), "other thing", "subject"),
    )
    return Case(
        id=f"pairs/{first}-{second}-{number}",
        group="pairs",
        instruction=Instruction("Draw [ref#1] and [ref#2]", references),
        prompt=f"a {first} thing",
        conditions=(
            Condition(name="subject 1", kind="subject", marker=1),
            Condition(name="subject 2", kind="subject", marker=2),
            Condition(name="text", kind="text"),
        ),
        seed=number,
    )


def values(verdict):
    return [score.value for score in verdict.scores]


# -- What it sees and says -------------------------------------------------------------------------


def test_each_condition_is_judged_by_its_own_reference(judge):
    right, wrong = judge.judge([case(), case()], [flat("red"), flat("blue")])
    assert [one.condition for one in right.scores] == ["subject 1", "subject 2", "text"]
    assert values(right) == [1, 0, 1]
    assert values(wrong) == [0, 1, 0]
    assert (right.pq, right.sc) == (1, 0)
    assert right.scores[0].reason == "colours differ by 0"
    assert right.scores[0].measures == {"rating": 10.0}
    assert right.measures == {"quality_rating": 10.0}


def test_quality_falls_with_noise_and_is_asked_without_inputs(judge, server):
    images = [flat("red", noise=noise) for noise in (0, 40, 120)]
    verdicts = judge.judge([case()] * 3, images)
    assert [one.pq for one in verdicts] == [1, 0.5, 0]
    asked = [body for body in server.bodies if "Conditions:" not in json.dumps(body)]
    assert len(asked) == 3
    for body in asked:
        text = json.dumps(body["messages"], ensure_ascii=False)
        assert "ref#" not in text and "Draw" not in text and "a red thing" not in text


def test_what_is_sent_is_what_the_case_holds(server):
    judge = vlm(server, detail="low", side="12", temperature="", max_tokens="77")
    judge.judge([case()], [flat("red")])
    body = next(one for one in server.bodies if "Conditions:" in json.dumps(one))
    assert body["model"] == "tiny-vlm"
    assert body["max_tokens"] == 77 and "temperature" not in body
    parts = body["messages"][1]["content"]
    texts = [part["text"] for part in parts if part["type"] == "text"]
    assert texts[0] == "Instruction: Draw [ref#1] and [ref#2]"
    assert texts[1:4] == [
        "Reference [ref#1]: “thing”, given as subject",
        "Reference [ref#1]: “thing”, given as subject",
        "Reference [ref#2]: “other thing”, given as subject",
    ]
    pictures = [part for part in parts if part["type"] == "image_url"]
    assert [part["image_url"]["detail"] for part in pictures] == ["low"] * 4
    assert {chat_server.pixels(part).shape for part in pictures} == {(12, 12, 3)}


def test_pictures_that_are_small_enough_go_out_as_they_are():
    image = flat("green", noise=60)
    messages = consistency_messages(case(), Image.fromarray(image), detail="", side=16)
    part = [one for one in messages[1]["content"] if one["type"] == "image_url"][-1]
    np.testing.assert_array_equal(chat_server.pixels(part), image)
    assert "detail" not in part["image_url"]


def test_every_kind_of_condition_has_a_meaning_of_its_own():
    assert set(MEANINGS) == set(CONDITION_KINDS)
    markers = [None if kind in ("text", "edit") else 2 for kind in CONDITION_KINDS]
    made = [
        meaning(case(), Condition(name="x", kind=kind, marker=marker))
        for kind, marker in zip(CONDITION_KINDS, markers, strict=True)
    ]
    assert len(set(made)) == len(made)
    for kind, words in zip(CONDITION_KINDS, made, strict=True):
        assert "{" not in words and "None" not in words
        assert ("[ref#2]" in words) == (kind not in ("text", "edit"))
    assert made[0].endswith("“a red thing”")


def test_a_mask_says_where_the_source_has_to_stay():
    references = (Reference(1, flat("red"), "x", "source"), Reference(3, flat("red"), "m", "mask"))
    one = Case(
        id="e", group="e", instruction=Instruction("Change [ref#1] in [ref#3]", references),
        prompt="", conditions=(Condition(name="source", kind="source", marker=1),), seed=0,
    )  # fmt: skip
    assert "(outside the white part of [ref#3])" in meaning(one, one.conditions[0])


# -- Reading answers -------------------------------------------------------------------------------

GOOD = '{"scores": [{"name": "a", "reason": "r", "score": 7.5}]}'


@pytest.mark.parametrize(
    "answer",
    [
        GOOD,
        f"Sure! Here you are:\n```json\n{GOOD}\n```\nAnything else?",
        f"<think>perhaps {{3 or 4}} … {GOOD.replace('7.5', '2')}</think> {GOOD}",
        GOOD.replace("7.5", '7.5, "more": {"scores": 1}'),
    ],
)
def test_prose_around_the_json_is_passed_over(answer):
    assert ratings(answer, ["a"]) == {"a": Rating(score=7.5, reason="r")}


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("", "no complete JSON"),
        ("I am sorry, I cannot judge that.", "no complete JSON"),
        (GOOD[:-3], "no complete JSON"),
        ('{"score": 7}', "no complete JSON"),
        ("[" * 100000, "no complete JSON"),
        ('{"a":' * 3000, "no complete JSON"),
        (GOOD.replace('"a"', '"b"'), '"b" is no condition'),
        (GOOD.replace('"name": "a", ', ""), 'no "name"'),
        (GOOD.replace("7.5", "11"), "not from 0 to 10"),
        (GOOD.replace("7.5", "-1"), "not from 0 to 10"),
        (GOOD.replace("7.5", "NaN"), "not from 0 to 10"),
        (GOOD.replace("7.5", '"7"'), "is no number"),
        (GOOD.replace("7.5", "true"), "is no number"),
        (GOOD.replace('"r"', '" "'), 'no "reason"'),
        ('{"scores": []}', 'no score of "a"'),
        (GOOD.replace("]", ', {"name": "a", "reason": "r", "score": 1}]'), "there twice"),
    ],
)
def test_an_answer_that_is_not_right_is_no_score(answer, problem):
    with pytest.raises(AnswerError, match=problem):
        ratings(answer, ["a"])


def test_the_cuts():
    found = [Rating(score=score, reason="r").value for score in (0, 3.9, 4, 7.9, 8, 10)]
    assert found == [0, 0, 0.5, 0.5, 1, 1]


# -- Repair and failure ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        lambda right: right[: len(right) // 2],
        lambda right: right.replace("subject 2", "subject two"),
        lambda right: "I would say it is rather good.",
        lambda right: "",
    ],
)
def test_an_unreadable_answer_is_asked_for_once_more(server, tmp_path, wrong):
    server.script.append(say(wrong))
    judge = vlm(server, cache=str(tmp_path), parallel="1")
    (verdict,) = judge.judge([case()], [flat("red")])
    assert values(verdict) == [1, 0, 1]
    assert (judge.usage.requests, judge.usage.repairs, judge.usage.failures) == (3, 1, 0)
    first, again, _ = server.bodies
    assert again["messages"][:2] == first["messages"]
    assert [one["role"] for one in again["messages"][2:]] == ["assistant", "user"]
    assert '"subject 1", "subject 2", "text"' in again["messages"][3]["content"]
    vlm(server, cache=str(tmp_path)).judge([case()], [flat("red")])
    assert len(server.bodies) == 3  # what was repaired is kept as well


def test_a_case_without_an_answer_is_named_and_gets_no_score(server, tmp_path, capsys):
    broken = say(lambda _: "no")
    server.script += [broken, broken]  # SC of the first case and its repair
    judge = vlm(server, cache=str(tmp_path), parallel="1")
    cases, images = [case(), case("green", "red")], [flat("red"), flat("green")]
    with pytest.raises(
        EvaluationError, match=r"1 of 2 images .*\(pairs/red-blue-0\).*it said “no”"
    ):
        judge.judge(cases, images)
    assert judge.usage.failures == 1
    del judge
    gc.collect()
    assert "1 failures" in capsys.readouterr().err
    done = len(server.bodies)
    again = vlm(server, cache=str(tmp_path))
    assert [values(one) for one in again.judge(cases, images)] == [[1, 0, 1], [1, 0, 1]]
    assert len(server.bodies) == done + 1  # only what failed is asked again
    assert again.usage.cache_hits == 3


@pytest.mark.parametrize(
    "misbehave",
    [
        say(lambda _: None, refusal="I cannot help with that"),
        say(lambda _: "I cannot help with that", finish="content_filter"),
    ],
)
def test_a_refusal_is_a_failure(server, misbehave):
    server.script.append(misbehave)
    judge = vlm(server, parallel="1")
    with pytest.raises(EvaluationError, match="refused: I cannot help"):
        judge.judge([case()], [flat("red")])
    assert judge.usage.repairs == 0


def test_a_case_that_fails_and_then_has_a_verdict_is_no_failure(server):
    server.script.append(chat_server.refuse(400, "not now"))
    judge = vlm(server, parallel="1")
    for failures in (1, 0):
        if failures:
            with pytest.raises(EvaluationError, match="1 of 1"):
                judge.judge([case()], [flat("red")])
        else:
            assert judge.judge([case()], [flat("red")])
        assert judge.usage.failures == failures


def test_a_request_that_is_refused_fails_its_case_alone(server):
    server.script.append(chat_server.refuse(400, "picture too small"))
    judge = vlm(server, parallel="1")
    with pytest.raises(EvaluationError, match=r"1 of 2 .*HTTP 400: picture too small"):
        judge.judge([case(), case("green")], [flat("red"), flat("green")])
    assert judge.usage.retries == 0
    assert len(server.bodies) == 4


def many(count):
    return (
        [case(number=number) for number in range(count)],
        [flat("red", noise=9, seed=number) for number in range(count)],
    )


def test_many_questions_in_a_row_without_an_answer_end_the_run(server):
    server.script += [chat_server.refuse(400, "no such parameter")] * 200
    judge = vlm(server, parallel="2")
    cases, images = many(50)
    with pytest.raises(EvaluationError, match="no such parameter; the rest was not asked: 8"):
        judge.judge(cases, images)
    sent = len(server.bodies)
    assert sent <= vlm_client.GIVE_UP + 2
    for one, image in zip(cases, images, strict=True):  # as a runner does after a failed batch
        with pytest.raises(EvaluationError, match="gives no answers: 8 questions in a row"):
            judge.judge([one], [image])
    assert len(server.bodies) == sent
    assert judge.usage.failures == 50


@pytest.mark.parametrize(
    "refusal",
    [
        say(lambda _: None, refusal="no faces"),
        lambda handler, _: handler.send(
            400, {"error": {"message": "no faces", "code": "content_filter"}}
        ),
    ],
)
def test_a_model_that_refuses_some_pictures_is_asked_of_all_others(server, refusal):
    server.script += [refusal] * 30
    cases, images = many(20)
    judge = vlm(server, parallel="1")
    with pytest.raises(EvaluationError, match=r"15 of 20 .* and 5 more\).*no faces"):
        judge.judge(cases, images)
    assert len(server.bodies) == 40


# -- Retries ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "misbehave",
    [
        chat_server.refuse(500),
        chat_server.refuse(503),
        chat_server.refuse(429),
        chat_server.refuse(408),
        chat_server.hang_up,
        chat_server.raw(b'{"choices": [{"mess'),
        chat_server.raw(b"<html>gateway</html>"),
        chat_server.raw({"choices": []}),
        chat_server.raw({"choices": [{"message": None}]}),
    ],
)
def test_errors_that_pass_are_waited_out(server, misbehave):
    server.script += [misbehave, misbehave]
    judge = vlm(server, parallel="1", retries="2")
    (verdict,) = judge.judge([case()], [flat("red")])
    assert values(verdict) == [1, 0, 1]
    assert (judge.usage.requests, judge.usage.retries) == (4, 2)


def test_time_outs_are_tried_again(server):
    server.script.append(chat_server.sleep(1.2))
    judge = vlm(server, parallel="1", timeout="0.4")
    assert values(judge.judge([case()], [flat("red")])[0]) == [1, 0, 1]
    assert judge.usage.retries >= 1


def test_errors_that_stay_are_told_with_their_cause(server):
    server.script += [chat_server.refuse(500, "out of memory")] * 3
    judge = vlm(server, parallel="1", retries="2")
    with pytest.raises(EvaluationError, match=r"HTTP 500: out of memory \(3 tries\)"):
        judge.judge([case()], [flat("red")])


def test_the_pause_doubles(server):
    server.script += [chat_server.refuse(500)] * 3
    judge = vlm(server, parallel="1", retries="3", pause="0.1")
    judge.judge([case()], [flat("red")])
    gaps = np.diff(server.times[:4])
    for gap, whole in zip(gaps, (0.1, 0.2, 0.4), strict=True):
        assert gap >= whole / 2


def test_retry_after_is_honoured(server):
    server.script.append(chat_server.refuse(429, Retry_After="0.5"))
    judge = vlm(server, parallel="1")
    judge.judge([case()], [flat("red")])
    assert server.times[1] - server.times[0] >= 0.5


def test_a_server_that_wants_to_be_left_alone_ends_the_run(server):
    server.script.append(chat_server.refuse(429, "quota is used up", Retry_After="86400"))
    started = time.monotonic()
    with pytest.raises(EvaluationError, match="quota is used up, and asks to wait 86400 s"):
        vlm(server, parallel="1").judge([case()], [flat("red")])
    assert time.monotonic() - started < 5


def test_retry_after_may_be_a_date():
    assert 25 < seconds(email.utils.formatdate(time.time() + 30, usegmt=True)) <= 30
    assert seconds(email.utils.formatdate(time.time() - 30, usegmt=True)) == 0
    assert [seconds(text) for text in ("2.5", "", "soon", "-3", "nan")] == [2.5, 0, 0, 0, 0]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_no_request_can_pass_ends_the_run_at_once(server, status):
    server.script += [chat_server.refuse(status, "go away")] * 20
    judge = vlm(server, parallel="1")
    with pytest.raises(EvaluationError, match=f"gives no answers: HTTP {status}: go away"):
        judge.judge([case(number=n) for n in range(9)], [flat("red")] * 9)
    assert len(server.bodies) == 1


def test_nobody_there_is_one_line():
    with ChatServer() as gone:
        url = gone.url
    judge = VlmJudge(url=url, model="m", pause="0.01", retries="1")
    with pytest.raises(EvaluationError, match=r"gives no answers: .*refused.*\(2 tries\)"):
        judge.judge([case()], [flat("red")])


def test_what_is_known_is_told_after_the_endpoint_went_away(tmp_path):
    with ChatServer() as server:
        judge = vlm(server, cache=str(tmp_path), retries="0")
        found = judge.judge([case()], [flat("red")])
    with pytest.raises(EvaluationError, match="gives no answers"):
        judge.judge([case("green")], [flat("green")])
    assert judge.judge([case()], [flat("red")]) == found


# -- Cache -----------------------------------------------------------------------------------------


def test_a_repeated_run_asks_nothing(server, tmp_path):
    cases = [case(first, second) for first in COLOURS for second in COLOURS]
    images = [flat("red", noise=number) for number in range(len(cases))]
    first = vlm(server, cache=str(tmp_path))
    found = first.judge(cases, images)
    assert len(server.bodies) == first.usage.requests == 2 * len(cases)
    again = vlm(server, cache=str(tmp_path))
    assert again.judge(cases, images) == found
    assert (again.usage.requests, again.usage.cache_hits) == (0, 2 * len(cases))
    assert len(server.bodies) == 2 * len(cases)
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize(
    "other",
    [
        {"options": {"model": "other"}},
        {"options": {"temperature": "0.5"}},
        {"options": {"detail": "high"}},
        {"options": {"side": "10"}},
        {"case": case("green")},
        {"image": flat("red", noise=1)},
    ],
)
def test_anything_else_that_is_sent_is_another_question(server, tmp_path, other):
    vlm(server, cache=str(tmp_path)).judge([case()], [flat("red")])
    judge = vlm(server, cache=str(tmp_path), **other.get("options", {}))
    judge.judge([other.get("case", case())], [other.get("image", flat("red"))])
    assert judge.usage.requests == (1 if "case" in other else 2)  # its image was judged before


def test_damaged_answers_in_the_cache_are_asked_again(server, tmp_path):
    vlm(server, cache=str(tmp_path)).judge([case()], [flat("red")])
    first, second = sorted(tmp_path.rglob("*.json"))
    first.write_text(first.read_text()[:20])
    kept = json.loads(second.read_text())
    second.write_text(json.dumps({**kept, "answer": "no scores"}))
    judge = vlm(server, cache=str(tmp_path))
    assert values(judge.judge([case()], [flat("red")])[0]) == [1, 0, 1]
    assert judge.usage.requests == 2
    assert json.loads(first.read_text())["key"] == first.stem


def test_the_same_question_is_asked_once_also_without_a_folder():
    with ChatServer(delay=0.05) as server:
        judge = vlm(server, parallel="4")
        verdicts = judge.judge([case()] * 6, [flat("red")] * 6)
        assert len({str(one) for one in verdicts}) == 1
        assert (judge.usage.requests, judge.usage.cache_hits) == (2, 10)


# -- Parallel, usage, options ----------------------------------------------------------------------


def test_parallel_requests_give_the_same_verdicts_in_the_same_order():
    cases = [case(first, second) for first in COLOURS for second in COLOURS]
    images = [flat(list(COLOURS)[row % 3], noise=3, seed=row) for row in range(len(cases))]
    with ChatServer(delay=0.02) as server:
        alone = vlm(server, parallel="1").judge(cases, images)
        assert server.most_active == 1
        assert vlm(server, parallel="4").judge(cases, images) == alone
        assert 2 <= server.most_active <= 4
        back = vlm(server, parallel="3").judge(cases[::-1], images[::-1])
    assert back[::-1] == alone
    assert len({str(one) for one in alone}) > 4
    assert not [one for one in threading.enumerate() if "ThreadPool" in one.name]


def test_tokens_and_cost_are_counted(server, capsys):
    judge = vlm(server, price_in="2", price_out="8")
    judge.judge([case()], [flat("red")])
    assert (judge.usage.prompt_tokens, judge.usage.completion_tokens) == (2000, 100)
    assert judge.usage.cost == pytest.approx((2000 * 2 + 100 * 8) / 1e6)
    assert capsys.readouterr().err == ""
    del judge
    gc.collect()
    printed = capsys.readouterr().err
    assert printed.startswith("vlm: 2 requests (0 retries, 0 repairs), 0 answers from the cache")
    assert "2000 + 100 tokens, cost 0.0048" in printed
    assert Usage(prompt_tokens=5).cost is None


def test_answers_without_a_count_are_said_to_have_none(server, capsys):
    def uncounted(handler, right):
        handler.send(200, {k: v for k, v in chat_server.completion(right).items() if k != "usage"})

    server.script.append(uncounted)
    vlm(server, price_in="1", price_out="1").judge([case()], [flat("red")])
    gc.collect()
    assert "(1 answers came without a count)" in capsys.readouterr().err


def test_the_key_is_sent_and_seen_nowhere(monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("THE_KEY", KEY + "\n")
    with ChatServer(key=KEY) as server:
        judge = vlm(server, key_env="THE_KEY", cache=str(tmp_path), parallel="1")
        judge.judge([case()], [flat("red")])
        assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
        echo = say(lambda _: f"your key is {KEY}")
        server.script += [echo, echo]
        with pytest.raises(EvaluationError, match="your key is \\[key\\]") as failed:
            judge.judge([case("green")], [flat("green")])
        assert KEY not in repr(failed.value)
        told = say(lambda right: right.replace("colours", KEY))
        server.script.append(told)
        assert KEY not in str(judge.judge([case("blue")], [flat("blue")]))
        server.script += [chat_server.refuse(403, f"{KEY} is blocked")]
        with pytest.raises(EvaluationError, match="\\[key\\] is blocked"):
            judge.judge([case("yellow")], [flat("yellow")])
        monkeypatch.setenv("THE_KEY", "sk-another-secret-key")
        wrong = vlm(server, key_env="THE_KEY")
        with pytest.raises(EvaluationError, match="wrong key: Bearer \\[key\\]"):
            wrong.judge([case()], [flat("red")])
    shown = capfd.readouterr()
    kept = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    for text in (shown.out, shown.err, kept, repr(judge._client.endpoint), judge.fingerprint):
        assert KEY not in text
    assert kept


def test_the_key_does_not_follow_a_redirect(monkeypatch, server):
    monkeypatch.setenv("THE_KEY", KEY)
    with ChatServer() as other:
        server.script.append(chat_server.redirect(f"{other.url}/chat/completions"))
        with pytest.raises(EvaluationError, match="HTTP 302"):
            vlm(server, key_env="THE_KEY").judge([case()], [flat("red")])
        assert other.bodies == []


@pytest.mark.parametrize("tail", ["", "/", "/chat/completions", "/chat/completions?version=1"])
def test_the_address_may_be_base_or_whole(tail):
    paths = ("/v1/chat/completions", "/v1/chat/completions?version=1")
    with ChatServer(paths=paths) as server:
        judge = vlm(server, url=server.url + tail)
        assert values(judge.judge([case()], [flat("red")])[0]) == [1, 0, 1]
        assert "?" not in judge._client.endpoint.shown
        bare = vlm(server, url=server.url.removesuffix("/v1"))
        assert bare.judge([case()], [flat("red")])


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"url": "127.0.0.1:8000"}, "no http address"),
        ({"url": "ftp://x/v1"}, "no http address"),
        ({"url": "http://x:port/v1"}, "no http address"),
        ({"url": "http://me:secret@x/v1"}, "holds a name or password"),
        ({"model": ""}, "model is empty"),
        ({"key_env": "NO_SUCH_VARIABLE"}, "key_env is not the name"),
        ({"detail": "fine"}, "detail=fine"),
        ({"retries": "-1"}, "retries=-1"),
        ({"timeout": "0"}, "timeout=0"),
        ({"parallel": "0"}, "parallel=0"),
        ({"pause": "nan"}, "pause=nan"),
        ({"side": "big"}, "side=big"),
        ({"price_in": "free"}, "price_in=free"),
    ],
)
def test_wrong_options_are_one_line(options, cause):
    with pytest.raises(EvaluationError, match=cause) as failed:
        VlmJudge(**{"url": "http://127.0.0.1:9/v1", "model": "m", **options})
    assert "\n" not in str(failed.value) and "secret" not in str(failed.value)


def test_a_key_that_is_given_for_its_variable_is_not_repeated():
    with pytest.raises(EvaluationError) as failed:
        open_judge(f"vlm:url=http://127.0.0.1:9/v1,model=m,key_env={KEY}")
    assert KEY not in str(failed.value)


def test_a_key_that_no_header_can_hold_is_refused(monkeypatch):
    for key in ("two words", "schlüssel", "a\tb"):
        monkeypatch.setenv("THE_KEY", key)
        with pytest.raises(EvaluationError, match="no header can") as failed:
            VlmJudge(url="http://127.0.0.1:9/v1", model="m", key_env="THE_KEY")
        assert key not in str(failed.value)


def test_a_short_key_is_no_secret_and_changes_no_answer(monkeypatch, server):
    monkeypatch.setenv("THE_KEY", "none")
    server.script.append(say(lambda right: right.replace("colours", "none")))
    (verdict,) = vlm(server, key_env="THE_KEY", parallel="1").judge([case()], [flat("red")])
    assert verdict.scores[0].reason.startswith("none differ")


def test_a_cache_that_is_a_file_is_refused(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EvaluationError, match=r"cache=.* cannot be made"):
        vlm(server, cache=str(tmp_path / "file"))


def test_the_registry_finds_both():
    assert {"embedding", "vlm"} <= set(judge_classes())


def test_the_fingerprint_is_of_what_may_change_a_score(server, tmp_path, monkeypatch):
    monkeypatch.setenv("THE_KEY", KEY)
    own = vlm(server).fingerprint
    free = {"key_env": "THE_KEY", "cache": str(tmp_path), "parallel": "2", "retries": "9",
            "timeout": "9", "price_in": "3", "pause": "3"}  # fmt: skip
    assert vlm(server, **free).fingerprint == own
    for changed in ({"model": "x"}, {"detail": "low"}, {"side": "99"}, {"temperature": "1"}):
        assert vlm(server, **changed).fingerprint != own
    monkeypatch.setattr("instruct_imagen.evaluation.judges.vlm_prompts.FULL", 9)
    assert vlm(server).fingerprint != own
