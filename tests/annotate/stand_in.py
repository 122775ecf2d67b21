"""Stands in for `label-studio` where a test is about starting and ending, not about labelling: run as its script.

Takes the options that `annotate.server` gives and answers what it asks. A file `mood` beside the data makes it die,
hang, be another version, forget its tokens, or listen elsewhere, as the real one does where its port is taken.
"""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TOKEN = "aa.bb.cc"


class Stand(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, value, status=200, kind="application/json", cookie=None):
        body = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if cookie:
            self.send_header("Set-Cookie", f"{cookie}; Path=/")
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/health":
            self.answer({"status": "UP"})
        elif self.path == "/api/version":
            version = "1.22.0" if self.server.mood == "old" else "1.23.2"
            self.answer({"label-studio-os-package": {"version": version}})
        elif self.path == "/api/current-user/whoami":
            known = self.headers.get("Authorization") == "Bearer bought"
            self.answer({"email": self.server.username} if known else {"detail": "no"}, 200 if known else 401)
        elif self.path == "/user/login/":
            self.answer("<html>", kind="text/html", cookie="csrftoken=yes")
        else:
            self.answer({}, 404)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        if self.path == "/user/login/":
            known = self.server.password in body and "csrfmiddlewaretoken=yes" in body
            self.answer("<html>", 302 if known else 200, kind="text/html")
        elif self.path == "/api/token/":
            self.server.asked += 1
            self.answer({"token": TOKEN}, 201)
        elif self.path == "/api/token/refresh/":
            known = json.loads(body).get("refresh") == TOKEN and self.server.mood != "forgets"
            self.answer({"access": "bought"} if known else {"detail": "no"}, 200 if known else 401)
        else:
            self.answer({}, 404)


def main():
    options = dict(zip(sys.argv[3::2], sys.argv[4::2], strict=True))  # after start, --no-browser
    data = Path(options["--data-dir"])
    mood = (data / "mood").read_text() if (data / "mood").exists() else ""
    if mood == "dies":
        sys.exit("no room on the disk")
    if mood == "hangs":
        signal.pause()
    (data / "environment.json").write_text(json.dumps(dict(os.environ)))
    port = 0 if mood == "moves" else int(options["--port"])
    server = ThreadingHTTPServer((options["--internal-host"], port), Stand)
    server.daemon_threads = True
    server.mood, server.asked = mood, 0
    server.username = os.environ["LABEL_STUDIO_USERNAME"]
    server.password = os.environ["LABEL_STUDIO_PASSWORD"]
    server.serve_forever()


if __name__ == "__main__":
    main()
