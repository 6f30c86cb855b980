"""A small server of the chat protocol whose model compares mean colours; it errs on demand."""

from __future__ import annotations

import base64
import io
import json
import re
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "yellow": (255, 255, 0)}


class ProtocolError(Exception):
    """A request that the protocol does not allow."""


class ChatServer:
    """On 127.0.0.1; each request takes the next misbehaviour of `script`, or none.

    A misbehaviour is a function of the handler and the right answer that sends something else.
    """

    def __init__(self, key="", paths=("/v1/chat/completions",), delay=0.0):
        self.key, self.paths, self.delay = key, paths, delay
        self.script, self.bodies, self.times, self.headers = deque(), [], [], []
        self.active = self.most_active = 0
        self.lock = threading.Lock()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(self))
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"

    def __enter__(self):
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


def handler_of(server):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def send(self, status, value, headers=()):
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            for name, text in headers:
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(data)

        def fail(self, status, message, headers=()):
            self.send(status, {"error": {"message": message, "type": "test"}}, headers)

        def do_POST(self):
            try:
                self.answer()
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # the client did not wait

        def answer(self):
            data = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path not in server.paths:
                return self.fail(404, f"no such path {self.path}")
            if server.key and self.headers["Authorization"] != f"Bearer {server.key}":
                return self.fail(401, f"wrong key: {self.headers['Authorization']}")
            try:
                body = checked(self.headers, data)
            except ProtocolError as error:
                return self.fail(400, str(error))
            with server.lock:
                server.active += 1
                server.most_active = max(server.most_active, server.active)
            time.sleep(server.delay)
            with server.lock:  # before the answer, after which the client may ask again
                server.active -= 1
                server.bodies.append(body)
                server.times.append(time.monotonic())
                server.headers.append(dict(self.headers))
                misbehave = server.script.popleft() if server.script else None
            if misbehave is not None:
                return misbehave(self, seen(body))
            self.send(200, completion(seen(body)))

    return Handler


def completion(content, finish="stop", **more):
    """The protocol's answer."""
    message = {"role": "assistant", "content": content, **more}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050},
    }


def need(ok, message):
    if not ok:
        raise ProtocolError(message)


def checked(headers, data):
    """A request's body, if it is one of the protocol."""
    need(headers["Content-Type"] == "application/json", "content type")
    try:
        body = json.loads(data)
    except ValueError as error:
        raise ProtocolError(str(error)) from error
    known = {"model", "messages", "temperature", "max_tokens"}
    need(set(body) <= known, f"unknown {set(body) - known}")
    need(isinstance(body.get("model"), str) and body["model"], "model")
    need(isinstance(body.get("messages"), list) and body["messages"], "messages")
    need(isinstance(body.get("max_tokens", 1), int), "max_tokens")
    need(0 <= body.get("temperature", 0) <= 2, "temperature")
    for message in body["messages"]:
        need(set(message) == {"role", "content"}, "message")
        need(message["role"] in ("system", "user", "assistant"), "role")
        if isinstance(message["content"], str):
            need(message["content"], "empty content")
            continue
        need(message["role"] == "user", "pictures come from the user")
        for part in message["content"]:
            if part["type"] == "text":
                need(set(part) == {"type", "text"} and part["text"], "text part")
            else:
                need(part["type"] == "image_url" and set(part) == {"type", "image_url"}, "part")
                need(set(part["image_url"]) <= {"url", "detail"}, "image_url")
                need(part["image_url"].get("detail", "auto") in ("auto", "low", "high"), "detail")
                pixels(part)
    return body


def pixels(part):
    """The picture of a part, (H, W, 3)."""
    match = re.fullmatch(r"data:image/png;base64,([A-Za-z0-9+/=]+)", part["image_url"]["url"])
    need(match, "data URI")
    try:
        image = Image.open(io.BytesIO(base64.b64decode(match[1], validate=True)))
        image.load()
    except (ValueError, OSError) as error:
        raise ProtocolError(f"picture: {error}") from error
    need(image.format == "PNG" and image.mode == "RGB", "an RGB PNG")
    return np.asarray(image).astype(float)


def seen(body):
    """What the model sees in a request: a score for each condition, as JSON."""
    parts = next(one for one in body["messages"] if one["role"] == "user")["content"]
    references, judged, label = {}, None, ""
    for part in parts:
        if part["type"] == "text":
            label = part["text"]
        elif label.startswith("The picture to be judged"):
            judged = pixels(part)
        elif found := re.match(r"Reference \[ref#(\d+)\]", label):
            references.setdefault(int(found[1]), []).append(pixels(part))
        label = part.get("text", label)
    if not label.startswith("Conditions:"):
        need(len([one for one in parts if one["type"] == "image_url"]) == 1, "one picture")
        rough = np.abs(np.diff(judged, axis=1)).mean()
        return answer({"quality": (10 - rough / 5, f"roughness {rough:.1f}")})
    scores = {}
    for line in label.splitlines()[1:]:
        name = re.match(r'- "([^"]+)": ', line)[1]
        marker = re.search(r"\[ref#(\d+)\]", line)
        if marker:
            wanted = np.mean([one.mean((0, 1)) for one in references[int(marker[1])]], axis=0)
        else:
            words = re.search("“(.+)”", line)[1]
            wanted = next(np.array(c) for word, c in COLOURS.items() if word in words)
        away = np.abs(judged.mean((0, 1)) - wanted).max()
        scores[name] = (10 - away / 12, f"colours differ by {away:.0f}")
    return answer(scores)


def answer(scores):
    return json.dumps(
        {
            "scores": [
                {"name": name, "reason": reason, "score": round(min(10, max(0, score)), 1)}
                for name, (score, reason) in scores.items()
            ]
        }
    )


# -- Misbehaviours ---------------------------------------------------------------------------------


def refuse(status, message="not now", **headers):
    found = [(name.replace("_", "-"), text) for name, text in headers.items()]
    return lambda handler, _: handler.fail(status, message, found)


def say(change, **more):
    """Other words than the right ones."""
    return lambda handler, right: handler.send(200, completion(change(right), **more))


def raw(data):
    return lambda handler, _: handler.send(200, data)


def sleep(seconds_):
    def late(handler, right):
        time.sleep(seconds_)
        handler.send(200, completion(right))

    return late


def hang_up(handler, _):
    """Half of an answer."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.close_connection = True


def redirect(to):
    return lambda handler, _: handler.send(302, b"", [("Location", to)])
