"""Downloads over a line that fails, stalls, lies and is cut, and archives that do not behave."""

import gzip
import hashlib
import io
import multiprocessing
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile

import pytest
from hostile_server import CONTENT, HALF, serving

from coursekit.datasets import archives
from coursekit.datasets.archives import unpack
from coursekit.datasets.download import download, matches
from coursekit.errors import CourseError

SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server():
    with serving() as server:
        yield server


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
    part, patience = tmp_path / "file.zip.part", time.monotonic() + 120
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


LIES = ["too long", "too short", "odd length", "no length"]


@pytest.mark.parametrize("lie", LIES)
def test_lies_about_the_length(server, tmp_path, lie):
    server.moods = [lie]
    assert get(server, tmp_path / "file.zip").read_bytes() == CONTENT


def test_lies_about_the_length_of_what_is_left(server, tmp_path):
    server.moods = ["cut", "short total"]
    path = get(server, tmp_path / "file.zip", checksum=None)
    assert path.read_bytes() == CONTENT
    assert [wanted for _, wanted in server.seen] == [None, f"bytes={HALF}-", None]


def test_a_short_length_without_checksum_is_found_when_it_is_unpacked(server, archive, tmp_path):
    server.files, server.moods = {"file.zip": archive.read_bytes()}, ["too short"]
    path = get(server, tmp_path / "file.zip", checksum=None)
    with pytest.raises(CourseError, match="not a whole zip archive .*fetch it again"):
        unpack(path, tmp_path / "out", progress=False)


def test_redirects(server, tmp_path):
    server.moods = ["redirect"]
    assert get(server, tmp_path / "file.zip").read_bytes() == CONTENT
    for mood, words in (("circle", "infinite loop"), ("to a file", "not allowed")):
        server.always = {"other.zip": mood}
        with pytest.raises(CourseError, match=words) as told:
            get(server, tmp_path / "other.zip", server.url("other.zip"))
        assert "\n" not in str(told.value)


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
    with pytest.raises(CourseError, match="a link or device .*outside the folder"):
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


def test_unpack_of_a_zip_that_would_fill_the_disk(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as bundle:
        for number in range(10):
            bundle.writestr(f"{number}.txt", bytes(10_000_000))
    with pytest.raises(CourseError, match="would grow from .*do not use this archive"):
        unpack(tmp_path / "bomb.zip", tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_unpack_wants_room(archive, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1_000_000})
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(CourseError, match="needs 0.0 GB unpacked and .*make room"):
        unpack(archive, tmp_path / "out", progress=False)
    # What is there already needs no room
    (tmp_path / "out/photos").mkdir(parents=True)
    (tmp_path / "out/photos/a.jpg").write_bytes(CONTENT)
    assert unpack(archive, tmp_path / "out", progress=False) == 2


def member(name, content=b"", **settings):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in settings.items():
        setattr(info, key, value)
    return info, content


def tarred(path, *members, mode="w:gz"):
    with tarfile.open(path, mode, format=tarfile.GNU_FORMAT) as bundle:
        for info, content in members:
            bundle.addfile(info, io.BytesIO(content))
    return path


GOOD = [
    member("./photos", type=tarfile.DIRTYPE),
    member("./photos/a.jpg", CONTENT),
    member("photos/b.jpg", b"b" * 1000),
    member("photos/._b.jpg", b"what a Mac knows"),
]


@pytest.mark.parametrize("name, mode", [("photos.tar.gz", "w:gz"), ("photos.tar", "w")])
def test_unpack_a_tar(tmp_path, name, mode):
    path, out = tarred(tmp_path / name, *GOOD, mode=mode), tmp_path / "out"
    assert unpack(path, out, progress=False) == 2
    assert files(out) == ["photos/a.jpg", "photos/b.jpg"]
    assert (out / "photos/a.jpg").read_bytes() == CONTENT
    (out / "photos/b.jpg").write_bytes(b"half")
    before = (out / "photos/a.jpg").stat().st_mtime_ns
    unpack(path, out, progress=False)
    assert (out / "photos/b.jpg").read_bytes() == b"b" * 1000
    assert (out / "photos/a.jpg").stat().st_mtime_ns == before


EVIL = {
    "link": member("photos/l", type=tarfile.SYMTYPE, linkname="/etc"),
    "hard link": member("photos/l", type=tarfile.LNKTYPE, linkname="/etc/passwd"),
    "device": member("photos/d", type=tarfile.BLKTYPE),
    "pipe": member("photos/p", type=tarfile.FIFOTYPE),
    "above": member("photos/../../out.txt", b"escaped"),
    "absolute": member("/tmp/escaped.txt", b"escaped"),
    "windows": member("..\\x", b"escaped"),
}


@pytest.mark.parametrize("kind", EVIL)
def test_unpack_never_leaves_its_folder_for_a_tar(tmp_path, kind):
    path = tarred(tmp_path / "bad.tar.gz", *GOOD, EVIL[kind])
    with pytest.raises(CourseError, match="outside the folder; do not use this archive"):
        unpack(path, tmp_path / "in" / "side", progress=False)
    assert files(tmp_path) == ["bad.tar.gz"]


def test_unpack_of_a_cut_or_damaged_tar(tmp_path):
    plain = tarred(tmp_path / "whole.tar", *GOOD, mode="w").read_bytes()
    packed, second = gzip.compress(plain), plain.index(b"photos/b.jpg")
    damaged = plain[:second] + b"?" * 400 + plain[second + 400 :]
    cuts = [plain[: second + 100], plain[:second], plain[: second + 600], damaged, b"", b"<html>"]
    for number, content in enumerate([*cuts, packed[:-9], packed[: len(packed) // 2], packed[:3]]):
        (tmp_path / "bad.tar").write_bytes(content)
        with pytest.raises(CourseError, match="not a whole tar archive .*fetch it again"):
            unpack(tmp_path / "bad.tar", tmp_path / "out", progress=False)
        assert not (tmp_path / "out").exists(), number


def test_unpack_of_a_tar_that_would_fill_disk_or_memory(tmp_path):
    path = tarred(tmp_path / "bomb.tar.gz", member("zeros", bytes(80_000_000)))
    with pytest.raises(CourseError, match="would grow from .*do not use this archive"):
        unpack(path, tmp_path / "out", progress=False)
    # A name of two million letters, which tarfile would read at once
    tarred(path, member("n" * 2_000_000, b"content"))
    with pytest.raises(CourseError, match="not a whole tar archive"):
        unpack(path, tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_unpack_where_a_file_and_a_folder_have_one_name(tmp_path):
    path = tarred(tmp_path / "odd.tar", member("a/b", b"b"), member("a", b"a"), mode="w")
    with pytest.raises(CourseError, match="cannot be unpacked .*choose another folder"):
        unpack(path, tmp_path / "out", progress=False)


def test_unpack_goes_on_after_a_kill(tmp_path, monkeypatch):
    path = tarred(tmp_path / "many.tar", *(member(f"{i}.jpg", CONTENT) for i in range(4)), mode="w")
    out, copy = tmp_path / "out", shutil.copyfileobj

    def slow(source, target, length):
        copy(source, target, length)
        target.flush()
        if len(files(out)) > 2:
            time.sleep(60)

    monkeypatch.setattr(archives.shutil, "copyfileobj", slow)
    child = multiprocessing.get_context("fork").Process(target=unpack, args=(path, out, False))
    child.start()
    patience = time.monotonic() + 60
    while len(files(out) if out.exists() else []) < 3 and time.monotonic() < patience:
        time.sleep(0.02)
    child.kill()
    child.join()
    monkeypatch.undo()
    assert files(out)[1:] == ["0.jpg", "1.jpg"] and ".part." in files(out)[0]
    assert unpack(path, out, progress=False) == 4
    assert all((out / f"{i}.jpg").read_bytes() == CONTENT for i in range(4))
