"""The image-edit client against a small server that takes the protocol at its word."""

from __future__ import annotations

import base64
import email
import io
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.peers.openai_edit import KEY, OpenAIEdit, prompt_of
from instruct_imagen.instruction import Instruction, Reference

RED, BLUE = (np.zeros((40, 20, 3), np.uint8) + np.array(c, np.uint8)
             for c in ((250, 0, 0), (0, 0, 250)))  # fmt: skip
TWO = Instruction(
    "Draw the [ref#1] dog in the style of [ref#2].",
    (Reference(1, RED, "dog", "subject"), Reference(2, BLUE, "style image", "style")),
)


class Server(BaseHTTPRequestHandler):
    """Answers with the mean colour of the images that it is sent; fails as it is told."""

    def do_POST(self):
        state = self.server.state
        body = self.rfile.read(int(self.headers["Content-Length"]))
        state["asked"].append((self.path, self.headers, body))
        if state["fail"]:
            return self._failed(state["fail"].pop(0))
        if self.path == "/v1/images/edits":
            fields, files = self._form(body)
        elif self.path == "/v1/images/generations":
            fields, files = json.loads(body), []
            assert isinstance(fields["n"], int)
        else:
            return self._failed(404)
        state["fields"] = fields
        if set(fields) != {"model", "prompt", "n", "size"} or fields["model"] != "painter":
            return self._failed(400)
        width, height = map(int, re.fullmatch(r"(\d+)x(\d+)", fields["size"]).groups())
        pictures = [np.asarray(Image.open(io.BytesIO(one)).convert("RGB")) for one in files]
        state["shapes"] = [one.shape for one in pictures]
        colour = np.mean([p.mean((0, 1)) for p in pictures], 0) if pictures else (9, 99, 9)
        buffer = io.BytesIO()
        Image.new("RGB", (width, height), tuple(int(c) for c in colour)).save(buffer, "PNG")
        encoded = base64.b64encode(buffer.getvalue()).decode()
        self._reply(200, state["reply"] or {"created": 1, "data": [{"b64_json": encoded}]})

    def _form(self, body):
        head = f"Content-Type: {self.headers['Content-Type']}\r\nMIME-Version: 1.0\r\n\r\n"
        message = email.message_from_bytes(head.encode() + body)
        assert message.is_multipart()
        assert not message.defects
        fields, files = {}, []
        for part in message.get_payload():
            assert part.get_content_disposition() == "form-data"
            name = part.get_param("name", header="content-disposition")
            content = part.get_payload(decode=True)
            if name == "image[]":
                assert part.get_content_type() == "image/png"
                assert part.get_filename()
                files.append(content)
            else:
                fields[name] = content.decode()
        assert files, "an edit needs images"
        return fields, files

    def _failed(self, status):
        if status == "slow":
            time.sleep(1.0)
            status = 500
        self._reply(status, {"error": {"message": f"sorry,\nstatus {status}"}})

    def _reply(self, status, content):
        data = json.dumps(content).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except BrokenPipeError:  # the client has given up on a slow reply
            pass

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    found = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    found.state = {"asked": [], "fail": [], "reply": None}
    thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


def client(server, **options) -> OpenAIEdit:
    url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    return OpenAIEdit(**{"url": url, "model": "painter", "size": "32", "wait": "0", **options})


def test_all_references_go_as_files_and_the_words_as_prompt(server, monkeypatch):
    monkeypatch.setenv(KEY, "secret")
    image = client(server).generate(TWO, seed=1)
    assert image.size == (32, 32)
    # Mean of both squares, whose sides are padded with white.
    assert np.asarray(image)[0, 0].tolist() == pytest.approx([190, 128, 190], abs=4)
    assert server.state["shapes"] == [(32, 32, 3)] * 2
    assert server.state["fields"]["prompt"] == (
        "Draw the (image 1) dog in the style of (image 2). Image 1: dog. Image 2: style image."
    )
    ((path, headers, _),) = server.state["asked"]
    assert path == "/v1/images/edits"
    assert headers["Authorization"] == "Bearer secret"


def test_without_references_an_image_is_generated(server, monkeypatch):
    monkeypatch.delenv(KEY, raising=False)
    image = client(server).generate(Instruction("A field."), seed=1)
    assert np.asarray(image)[5, 5].tolist() == [9, 99, 9]
    ((path, headers, _),) = server.state["asked"]
    assert path == "/v1/images/generations"
    assert "Authorization" not in headers


def test_several_images_of_one_marker_are_named_together():
    both = (Reference(1, RED, "dog"), Reference(1, BLUE, "dog"))
    assert prompt_of(Instruction("The [ref#1] dog.", both)) == (
        "The (images 1, 2) dog. Image 1: dog. Image 2: dog."
    )


def test_what_fails_for_the_moment_is_asked_again(server):
    server.state["fail"] = [429, 503, "slow"]
    assert client(server, timeout="0.3").generate(TWO, seed=1).size == (32, 32)
    assert len(server.state["asked"]) == 4


def test_what_fails_for_good_is_one_line(server):
    server.state["fail"] = [401]
    with pytest.raises(EvaluationError, match="refuses: 401 sorry, status 401") as raised:
        client(server).generate(TWO, seed=1)
    assert "\n" not in str(raised.value)
    assert len(server.state["asked"]) == 1
    server.state["fail"] = [500] * 9
    with pytest.raises(EvaluationError, match="failed 3 times, last with: 500 sorry"):
        client(server, retries="2").generate(TWO, seed=1)


@pytest.mark.parametrize(
    "reply",
    [{"data": []}, {"data": [{"url": "http://x"}]}, {"data": [{"b64_json": "AAAA"}]}, [1],
     {"data": [{"b64_json": "no base64!"}]}],
)  # fmt: skip
def test_a_reply_without_an_image_is_one_line(server, reply):
    server.state["reply"] = reply
    with pytest.raises(EvaluationError, match=r"no image in data\[0\].b64_json"):
        client(server).generate(TWO, seed=1)


def test_a_server_that_is_not_there_is_one_line(server):
    server.shutdown()
    server.server_close()
    with pytest.raises(EvaluationError, match=r"failed 2 times, last with: .*refused"):
        client(server, retries="1").generate(TWO, seed=1)


def test_options_are_checked_and_models_tell_themselves_apart(server):
    with pytest.raises(EvaluationError, match="must begin with http"):
        client(server, url="ftp://x")
    with pytest.raises(EvaluationError, match="timeout=soon must be a number"):
        client(server, timeout="soon")
    assert client(server).fingerprint == client(server, retries="9").fingerprint
    assert client(server).fingerprint != client(server, model="other").fingerprint
