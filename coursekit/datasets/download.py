"""Fetching a large file so that it survives bad lines."""

import hashlib
import http.client
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from coursekit.errors import CourseError

CHUNK = 1 << 18  # bytes read at once
# The line or the server failed; OSError covers URLError, timeouts and resets
LINE_ERRORS = (OSError, http.client.HTTPException)


class _Refused(Exception):
    """This source cannot give the file; the next one may."""


def download(urls, path, checksum=None, tries=4, timeout=30, pause=1.0, progress=True):
    """Fetches the first of `urls` that works to `path` and returns `path`.

    What has arrived waits in `path`.part, so that a call after a failure or a kill goes on where
    the last one stopped (HTTP Range).  `checksum` is "md5:…" or "sha256:…" in hex; a file that does
    not match is never left at `path`.  Several sources without a checksum each start anew, for fear
    of joining two files.  Each source gets `tries` tries with `pause`, 2 `pause`, …
    seconds between; `timeout` is how long the line may be silent, in seconds.
    Raises CourseError, naming every source and its failure, when none works.
    """
    path = Path(path)
    if path.is_file():
        if matches(path, checksum):
            return path
        raise CourseError(f"{path} does not match its checksum; delete it and run this again.")
    part = path.with_name(path.name + ".part")
    urls = [urls] if isinstance(urls, str) else urls
    failures = []
    for url in urls:
        try:
            _make_folder(path.parent)
            if checksum is None and len(urls) > 1:
                part.unlink(missing_ok=True)
            _fetch(url, part, checksum, tries, timeout, pause, progress)
            os.replace(part, path)
            return path
        except _Refused as refusal:
            failures.append(f"{url} ({refusal})")
    raise CourseError(
        f"{path.name} could not be fetched from {' nor from '.join(failures)}; "
        f"run this again later, or get the file by other means and put it at {path}."
    )


def matches(path, checksum):
    """Whether the file at `path` has `checksum` ("md5:…" or "sha256:…"); True for None."""
    if checksum is None:
        return True
    kind, _, wanted = checksum.partition(":")
    with open(path, "rb") as file:
        return hashlib.file_digest(file, kind).hexdigest() == wanted.lower()


def _make_folder(folder):
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CourseError(
            f"The folder {folder} cannot be made ({error.strerror}); choose another one."
        ) from error


def _fetch(url, part, checksum, tries, timeout, pause, progress):
    """Fills `part` from `url` until it is whole and its checksum right, or raises _Refused."""
    reason = "no try was made"
    for turn in range(tries):
        if turn:
            time.sleep(pause * turn)
        try:
            _fetch_once(url, part, checksum, timeout, progress)
        except urllib.error.HTTPError as error:
            # urllib puts several lines into the reason of a redirect that leads nowhere
            reason = f"the server says {error.code} {' '.join(str(error.reason).split())}"
            if error.code == 416:  # the server's file is not longer than what is here
                part.unlink(missing_ok=True)
            elif 300 <= error.code < 500 and error.code not in (408, 429):
                break
        except LINE_ERRORS as error:
            reason = f"the line failed: {getattr(error, 'reason', None) or error}"
        else:
            if matches(part, checksum):
                return
            reason = "its checksum is wrong"
            part.unlink()
    raise _Refused(reason)


def _fetch_once(url, part, checksum, timeout, progress):
    """Appends what `part` still lacks; raises one of LINE_ERRORS if it stays incomplete."""
    start = part.stat().st_size if part.exists() else 0
    if start and checksum and matches(part, checksum):
        return  # killed between the last byte and the rename
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        start, total = _what_comes(answer, start)
        _append(answer, part, start, total, progress)
    arrived = part.stat().st_size
    if total is not None and arrived < total:
        raise OSError(f"it broke off after {arrived} of {total} bytes")
    if total is not None and arrived > total:
        part.unlink()
        raise OSError(f"{arrived} bytes came where it announced {total}")


def _what_comes(answer, start):
    """(first byte, size of the whole file or None) of an answer to a request for bytes `start`-."""
    length = answer.headers.get("Content-Length")
    if answer.status != 206:
        return 0, int(length) if length and length.isdigit() else None
    first, _, total = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    if first.partition("-")[0] != str(start):
        raise _Refused("it sends another part of the file than was asked for")
    return start, int(total) if total.isdigit() else None


def _append(answer, part, start, total, progress):
    bar = tqdm(
        total=total, initial=start, unit="B", unit_scale=True, desc=part.stem, leave=False,
        file=sys.stdout, disable=not progress, mininterval=0.5,
    )  # fmt: skip
    with bar, _opened(part, "r+b" if start else "wb") as file:
        file.seek(start)
        while chunk := answer.read1(CHUNK):
            _store(file, chunk)
            bar.update(len(chunk))


def _opened(path, mode):
    try:
        return open(path, mode)
    except OSError as error:
        raise CourseError(
            f"{path} cannot be written ({error.strerror}); choose another folder."
        ) from error


def _store(file, chunk):
    try:
        file.write(chunk)
    except OSError as error:
        raise CourseError(
            f"{file.name} cannot be written ({error.strerror}); make room and run this again."
        ) from error
