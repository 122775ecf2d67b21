"""A server of chat completions on loopback: it answers by what it is asked, and misbehaves as a test tells it to."""

from __future__ import annotations

import json
import re
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "sk-this-is-the-key-of-the-test"


def completion(text, *, finish="stop", refusal=None, tokens=(100, 20)):
    """The body of a completion as OpenAI sends it."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "served",
        "choices": [
            {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, "refusal": refusal}}
        ],
        "usage": {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)},
    }


def sentence_in(request):
    """The sentence that a request asks to reword; None where it asks for a caption."""
    found = re.search(r"^Sentence: (.*)$", request["messages"][0]["content"][-1]["text"], re.MULTILINE)
    return found[1] if found else None


def other_words(sentence):
    """A faithful rewording, by rule."""
    for old, new in (
        ("Can you tell me whether", "Do you know whether"),
        ("Tell me when", "Let me know when"),
        ("What happened", "So what happened"),
        ("Yes, ", "Yes indeed, "),
        ("No, ", "No, sorry, "),
    ):
        if sentence.startswith(old):
            return new + sentence.removeprefix(old)
    if sentence.startswith("How many"):
        return sentence
    if sentence.endswith("?"):
        return sentence.replace("?", ", please?")
    return f"Well, {sentence if sentence.startswith('I ') else sentence[0].lower() + sentence[1:]}"


def obedient(request):
    """What a model that keeps the rules says."""
    sentence = sentence_in(request)
    pictures = [part for part in request["messages"][0]["content"] if part["type"] == "image_url"]
    said = (
        {"caption": f"Something is seen in {len(pictures)} views."}
        if sentence is None
        else {"text": other_words(sentence)}
    )
    return completion(json.dumps(said))


class Server:
    """What it was asked, and what it does: `steps` are taken first, one a request, then `answer` answers."""

    def __init__(self):
        self.requests = []
        self.headers = []
        self.steps = []
        self.answer = obedient
        self.delay_s = 0.0
        self.at_once = self.most_at_once = 0
        self.times = []
        self.lock = threading.Lock()
        self.url = ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        server = self.server.state
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.requests.append(request)
            server.headers.append(self.headers)
            server.times.append(time.monotonic())
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
            step = server.steps.pop(0) if server.steps else None
        try:
            time.sleep(server.delay_s)
            if step is None:
                send(self, 200, server.answer(request))
            else:
                step(self, request)
        finally:
            with server.lock:
                server.at_once -= 1


def send(handler, status, body, *, content_type="application/json", headers=()):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", content_type)
    handler.send_header("Content-Length", str(len(content)))
    for name, value in headers:
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(content)


def status(code, *, headers=(), message="no", error_code=None):
    """A step: an error of a server."""
    return lambda handler, _: send(handler, code, {"error": {"message": message, "code": error_code}}, headers=headers)


def says(text, **more):
    """A step: a completion with this text."""
    return lambda handler, _: send(handler, 200, completion(text, **more))


def answers(body):
    """A step: this body, whatever it is."""
    return lambda handler, _: send(handler, 200, body)


def html(handler, _):
    """A step: a page where a completion belongs."""
    send(handler, 200, b"<html>welcome</html>", content_type="text/html")


def cut(handler, _):
    """A step: the connection ends inside the answer."""
    content = json.dumps(completion("{}")).encode()
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])
    handler.wfile.flush()
    handler.close_connection = True


def hang_up(handler, _):
    """A step: the connection ends before an answer."""
    handler.close_connection = True


def slow(seconds):
    """A step: the answer comes late."""

    def step(handler, request):
        time.sleep(seconds)
        send(handler, 200, obedient(request))

    return step


def dripping(handler, _):
    """A step: a byte now and then, never all of it."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    try:
        for _ in range(200):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)
    except OSError:
        pass
    handler.close_connection = True


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    # Where more call at once than may wait, the system resets who is left over.
    request_queue_size = 128


@contextmanager
def serving():
    """Run a server while a test lasts."""
    state = Server()
    http = _Http(("127.0.0.1", 0), _Handler)
    http.state = state
    state.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
