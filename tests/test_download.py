"""Downloads over a line that fails, stalls, lies and is cut, and archives that do not behave."""

import hashlib
import http.server
import signal
import subprocess
import sys
import threading
import time
import zipfile

import pytest

from coursekit.datasets.download import download, matches, unpack
from coursekit.errors import CourseError

CONTENT = bytes(range(256)) * 4000  # 1 MB
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
HALF = len(CONTENT) // 2


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT at every path; `moods` says how the next requests are answered."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.moods, self.seen = [], []
        self.over = threading.Event()

    def url(self, path="file.zip"):
        return f"http://127.0.0.1:{self.server_port}/{path}"

    def handle_error(self, request, client_address):
        """A client that hangs up is part of the tests."""


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.seen.append((self.path, wanted))
        mood = self.server.moods.pop(0) if self.server.moods else "well"
        if isinstance(mood, int):
            return self.send_error(mood)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if wanted and start >= len(CONTENT):
            return self.send_error(416)
        self.answer(mood, 0 if mood == "no ranges" else start)

    def answer(self, mood, start):
        body = CONTENT[::-1] if mood == "other file" else CONTENT[start:]
        self.send_response(206 if start else 200)
        if start:
            first = start + 7 if mood == "wrong part" else start
            self.send_header("Content-Range", f"bytes {first}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: HALF if mood in ("cut", "stall") else None])
        if mood == "stall":
            self.wfile.flush()
            self.server.over.wait(20)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = Server()
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()


def get(server, path, urls=None, **options):
    quick = {"tries": 3, "timeout": 0.5, "pause": 0, "progress": False}
    return download(urls or [server.url()], path, **{"checksum": SHA256} | quick | options)


def test_whole_file(server, tmp_path):
    path = get(server, tmp_path / "deep" / "file.zip", urls=server.url())
    assert path.read_bytes() == CONTENT
    assert [each.name for each in path.parent.iterdir()] == ["file.zip"]


@pytest.mark.parametrize("mood", ["cut", "stall"])
def test_broken_line_goes_on_where_it_stopped(server, tmp_path, mood):
    server.moods = [mood]
    assert get(server, tmp_path / "file.zip").read_bytes() == CONTENT
    assert [wanted for _, wanted in server.seen] == [None, f"bytes={HALF}-"]


def test_next_call_goes_on_after_all_tries_failed(server, tmp_path):
    server.moods = ["cut", 500]
    with pytest.raises(CourseError, match="could not be fetched from .*500 .*run this again later"):
        get(server, tmp_path / "file.zip", tries=2)
    assert [each.name for each in tmp_path.iterdir()] == ["file.zip.part"]
    get(server, tmp_path / "file.zip")
    assert server.seen[-1][1] == f"bytes={HALF}-"


def test_next_call_goes_on_after_a_kill(server, tmp_path):
    server.moods = ["stall"]
    path = tmp_path / "file.zip"
    code = "import sys; from coursekit.datasets.download import download; download(*sys.argv[1:])"
    process = subprocess.Popen([sys.executable, "-c", code, server.url(), path])
    part, patience = tmp_path / "file.zip.part", time.monotonic() + 30
    while not (part.exists() and part.stat().st_size > HALF // 2) and time.monotonic() < patience:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    arrived = part.stat().st_size
    assert not path.exists() and arrived > HALF // 2
    assert get(server, path).read_bytes() == CONTENT
    assert server.seen[-1][1] == f"bytes={arrived}-"


def test_killed_between_last_byte_and_rename(server, tmp_path):
    (tmp_path / "file.zip.part").write_bytes(CONTENT)
    assert get(server, tmp_path / "file.zip").read_bytes() == CONTENT
    assert server.seen == []
    (tmp_path / "other.zip.part").write_bytes(CONTENT)
    assert get(server, tmp_path / "other.zip", checksum=None).read_bytes() == CONTENT


def test_server_without_ranges_starts_again(server, tmp_path):
    server.moods = ["cut", "no ranges"]
    assert get(server, tmp_path / "file.zip").read_bytes() == CONTENT


def test_second_source_goes_on(server, tmp_path):
    server.moods = ["cut", 404]
    urls = [server.url("first"), server.url("second")]
    assert get(server, tmp_path / "file.zip", urls).read_bytes() == CONTENT
    assert server.seen[-1] == ("/second", f"bytes={HALF}-")


def test_two_sources_are_never_joined_unchecked(server, tmp_path):
    server.moods = ["cut", 404]
    urls = [server.url("first"), server.url("second")]
    assert get(server, tmp_path / "file.zip", urls, checksum=None).read_bytes() == CONTENT
    assert server.seen[-1] == ("/second", None)


def test_gone_source_is_not_tried_again(server, tmp_path):
    server.moods = [404]
    get(server, tmp_path / "file.zip", [server.url("first"), server.url("second")])
    assert [path for path, _ in server.seen] == ["/first", "/second"]


def test_busy_server_is_tried_again(server, tmp_path):
    server.moods = [503, 429]
    assert get(server, tmp_path / "file.zip").read_bytes() == CONTENT


def test_wrong_part_of_the_file(server, tmp_path):
    server.moods = ["cut", "wrong part"]
    with pytest.raises(CourseError, match="another part of the file"):
        get(server, tmp_path / "file.zip")


def test_wrong_checksum_is_never_left_behind(server, tmp_path):
    server.moods = ["other file"] * 3
    with pytest.raises(CourseError, match="checksum is wrong"):
        get(server, tmp_path / "file.zip")
    assert list(tmp_path.iterdir()) == []


def test_damaged_beginning_is_fetched_anew(server, tmp_path):
    (tmp_path / "file.zip.part").write_bytes(b"x" * HALF)
    assert get(server, tmp_path / "file.zip").read_bytes() == CONTENT


def test_file_at_hand_is_kept_or_refused(server, tmp_path):
    path = tmp_path / "file.zip"
    path.write_bytes(CONTENT)
    assert get(server, path) == path and server.seen == []
    path.write_bytes(b"old")
    with pytest.raises(CourseError, match="does not match its checksum; delete it"):
        get(server, path)
    assert path.read_bytes() == b"old"


def test_all_sources_are_named(tmp_path):
    urls = ["http://127.0.0.1:9/a", "http://nowhere.invalid/b"]
    with pytest.raises(CourseError) as told:
        download(urls, tmp_path / "a", tries=1, timeout=0.5, progress=False)
    for word in (*urls, "refused", f"put it at {tmp_path / 'a'}."):
        assert word in str(told.value)


def test_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CourseError, match="cannot be made"):
        get(server, tmp_path / "file" / "a.zip")


def test_md5(tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    assert matches(tmp_path / "a", "md5:0CC175B9C0F1B6A831C399E269772661")
    assert not matches(tmp_path / "a", "md5:" + "0" * 32)


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("photos/a.jpg", CONTENT)
        bundle.writestr("photos/b.jpg", b"b" * 1000)
        bundle.writestr("__MACOSX/photos/a.jpg", b"rubbish")
    return path


def files(folder):
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file())


def test_unpack(archive, tmp_path):
    out = tmp_path / "out"
    assert unpack(archive, out, progress=False) == 2
    assert files(out) == ["photos/a.jpg", "photos/b.jpg"]
    assert (out / "photos/a.jpg").read_bytes() == CONTENT


def test_unpack_again_mends_what_is_missing(archive, tmp_path):
    out = tmp_path / "out"
    unpack(archive, out, progress=False)
    (out / "photos/a.jpg").write_bytes(b"half")
    before = (out / "photos/b.jpg").stat().st_mtime_ns
    unpack(archive, out, progress=False)
    assert (out / "photos/a.jpg").read_bytes() == CONTENT
    assert (out / "photos/b.jpg").stat().st_mtime_ns == before


@pytest.mark.parametrize("name", ["../out.txt", "/tmp/out.txt", "a/../../out", "C:\\x", "..\\x"])
def test_unpack_never_leaves_its_folder(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as bundle:
        bundle.writestr("fine.txt", "fine")
        bundle.writestr(name, "escaped")
    with pytest.raises(CourseError, match="outside the folder; do not use"):
        unpack(tmp_path / "bad.zip", tmp_path / "in" / "side", progress=False)
    assert files(tmp_path) == ["bad.zip"]


def test_unpack_refuses_links(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as bundle:
        bundle.writestr(link, "/etc")
    with pytest.raises(CourseError, match="outside the folder"):
        unpack(tmp_path / "bad.zip", tmp_path / "out", progress=False)


def test_unpack_of_a_cut_or_false_archive(archive, tmp_path):
    whole = archive.read_bytes()
    for content in (b"", b"<html>sign in</html>", whole[:-40], whole[: len(whole) // 2]):
        archive.write_bytes(content)
        with pytest.raises(CourseError, match="not a whole zip archive .*fetch it again"):
            unpack(archive, tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()
    with pytest.raises(CourseError, match="There is no archive"):
        unpack(tmp_path / "none.zip", tmp_path / "out", progress=False)


def test_unpack_leaves_no_half_written_file(tmp_path):
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as bundle:
        bundle.writestr("a.jpg", b"good" * 100_000)
    path.write_bytes(path.read_bytes().replace(b"good" * 2, b"evil" * 2))
    with pytest.raises(CourseError, match="not a whole zip archive"):
        unpack(path, tmp_path / "out", progress=False)
    assert files(tmp_path / "out") == []
