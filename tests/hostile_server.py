"""A server on localhost that fails, stalls, cuts off, lies about lengths, and leads in circles."""

import http.server
import threading
from contextlib import contextmanager

CONTENT = bytes(range(256)) * 4000  # 1 MB
HALF = len(CONTENT) // 2


class Server(http.server.ThreadingHTTPServer):
    """Serves `files` by path, or CONTENT at every path while there are none.

    `moods` says how the next requests are answered, one each; `always` how a path is, every time.
    A mood is an error code or one of the words that Handler knows.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.moods, self.always, self.seen = {}, [], {}, []
        self.over = threading.Event()

    def url(self, path="file.zip"):
        return f"http://127.0.0.1:{self.server_port}/{path}"

    def mood(self, path):
        if path in self.always:
            return self.always[path]
        return self.moods.pop(0) if self.moods else "well"

    def handle_error(self, request, client_address):
        """A client that hangs up is part of the tests."""


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path, _, redirected = self.path.lstrip("/").partition("?")
        wanted = self.headers.get("Range")
        self.server.seen.append((self.path, wanted))
        content = self.server.files.get(path) if self.server.files else CONTENT
        mood = "well" if redirected else self.server.mood(path)
        if content is None or isinstance(mood, int):
            return self.send_error(404 if content is None else mood)
        if mood in ("redirect", "circle", "to a file"):
            return self.lead_on(mood)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if wanted and start >= len(content):
            return self.send_error(416)
        self.answer(mood, 0 if mood == "no ranges" else start, content)

    def lead_on(self, mood):
        self.send_response(302)
        self.send_header(
            "Location",
            {
                "redirect": f"{self.path}?redirected",
                "circle": self.path,
                "to a file": "file:///etc/passwd",
            }[mood],
        )
        self.send_header("Content-Length", "0")
        self.end_headers()

    def answer(self, mood, start, content):
        body, half = content[start:], len(content) // 2
        if mood == "other file":
            body = content[::-1]
        self.send_response(206 if start else 200)
        if start:
            first = start + 7 if mood == "wrong part" else start
            total = len(content) - 9 if mood == "short total" else len(content)
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{total}")
        lengths = {"too short": half, "too long": len(body) + 99, "odd length": "many"}
        if mood != "no length":
            self.send_header("Content-Length", str(lengths.get(mood, len(body))))
        self.end_headers()
        self.wfile.write(body[: half if mood in ("cut", "stall", "no length") else None])
        if mood == "stall":
            self.wfile.flush()
            self.server.over.wait(20)

    def log_message(self, *_):
        pass


@contextmanager
def serving():
    """A Server that answers while the block runs."""
    server = Server()
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()
