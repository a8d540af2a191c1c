"""Colab takes its machine back with all that was trained on it: keeps that on the reader's Drive, or brings it home.

How google.colab asks, and how it fails: googlecolab/colabtools, google/colab/drive.py and files.py. Both talk to the
browser through the notebook's kernel, so nothing here works in a process beside it.
"""

import functools
import io
import lzma
import os
import shutil
import stat
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path, PureWindowsPath

from tqdm import tqdm

from coursekit.errors import CourseError, check_place, writing
from coursekit.places import build_folder

DRIVE = Path("/content/drive")
# The folder on Drive, and the one that holds all members of a zip: unpacked and packed again by hand, it stays one
NAME = "coursekit"
# Left out of a zip: computed or fetched again where they are missing
CACHES = ("features", "downloads")
QUESTION = (
    "Keep what is trained on your Google Drive, so that a disconnect does not lose it? [y/N] "
)
SAVE = "`from coursekit import colab; colab.download()` saves it"
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,
    NotImplementedError,
)


def on_colab():
    """Whether this is the kernel of a notebook on Colab, which loads google.colab before anything else."""
    return "google.colab" in sys.modules


def keep():
    """Points COURSEKIT_HOME to a folder of Drive if the reader agrees; returns a sentence: where things are kept.

    Asks once a kernel, and not at all where Drive is mounted or COURSEKIT_HOME names another place. A refusal, an
    error and no answer leave everything on Colab's own disk. Does nothing elsewhere.
    """
    if not on_colab():
        return f"This is not Colab: what is trained stays in {build_folder()}."
    home = os.environ.get("COURSEKIT_HOME")
    if home and not _on_drive(home):
        return f"Kept in {home}, as the variable COURSEKIT_HOME asks."
    folder, before = Path(home or DRIVE / "MyDrive" / NAME), build_folder()
    if why := _no_drive(folder):
        os.environ.pop("COURSEKIT_HOME", None)
        return f"Kept on Colab's own disk ({why}), which a disconnect loses: {SAVE}."
    os.environ["COURSEKIT_HOME"] = str(folder)
    earlier = f"; what was made before stays in {before}" if not home and _made(before) else ""
    return f"Kept in {folder}, where a disconnect does not lose it{earlier}."


def _on_drive(path):
    return Path(path).is_relative_to(DRIVE)


def _mounted():
    # os.path.isdir says False where a Drive that hangs makes Path.is_dir raise
    return os.path.isdir(DRIVE / "MyDrive")


def _no_drive(folder):
    """Why nothing can be kept in this folder of Drive, a few words; "" when it can."""
    if not _mounted() and (why := _asked()):
        return why
    if not _mounted():
        return "Drive is no longer mounted"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return f"{folder} cannot be written to: {error.strerror}"
    return ""


@functools.cache
def _asked():
    """Asks for Drive and mounts it: why that came to nothing, a few words; "" when it is mounted."""
    try:
        answer = input(QUESTION)
    except Exception:  # EOFError, IPython's StdinNotImplementedError: nobody is there
        return "nobody answered"
    if answer.strip().lower() not in ("y", "yes"):
        return "Drive was not wanted"
    try:
        from google.colab import drive

        drive.mount(str(DRIVE))
    except Exception as error:  # MessageError, ValueError, NotImplementedError, pexpect's own
        return f"Drive was not mounted: {_brief(error)}"
    return "" if _mounted() else "Drive was mounted without a MyDrive"


def _brief(error):
    first, *_ = str(error).strip().splitlines() or [type(error).__name__]
    return first[:100].rstrip(". ")


def _made(folder=None):
    """{name: path} of all files that training left in the course's folder, without caches and links; may be empty."""
    base = folder or build_folder()
    found = {}
    for top, folders, names in os.walk(base):
        inside = Path(top).relative_to(base)
        folders[:] = sorted(each for each in folders if not _left_out(inside / each))
        for name in sorted(names):
            path = Path(top, name)
            if path.is_file() and not path.is_symlink() and not _left_out(inside / name):
                found[(inside / name).as_posix()] = path
    return found


def _left_out(inside):
    # What begins with a dot is half written
    return inside.name.startswith(".") or inside.as_posix() in CACHES


def download(path=None):
    """Packs what was trained into one zip (default: coursekit.zip here) and hands it to the browser.

    The folders in CACHES are left out. Outside Colab a zip is packed only where `path` names one. Raises CourseError
    if the zip cannot be written.
    """
    if path is None and not on_colab():
        print(f"This is not Colab: what was trained stays in {build_folder()}.")
        return
    path = Path(path or f"{NAME}.zip")
    check_place(path, ".zip")
    files = {name: file for name, file in _made().items() if file.resolve() != path.resolve()}
    if not files:
        print(f"Nothing was trained in {build_folder()} yet: there is nothing to save.")
        return
    _pack(files, path)
    print(f"{path}: {len(files)} files, {_mb(path.stat().st_size)}, without {' and '.join(CACHES)}, which are made again")  # fmt: skip
    if on_colab():
        _hand_over(path)


def _pack(files, path):
    bar = tqdm(files.items(), path.name, unit="file", leave=False, file=sys.stdout)
    try:
        with writing(path) as part, zipfile.ZipFile(part, "w", strict_timestamps=False) as bundle:
            for name, file in bar:
                bundle.write(file, f"{NAME}/{name}")
    except OSError as error:
        raise CourseError(
            f"{path} cannot be written ({error.strerror}): make room or choose another place."
        ) from error


def _hand_over(path):
    try:
        from google.colab import files

        files.download(str(path))
        print("Leave this page open until the browser has it; colab.restore() brings it back.")
    except Exception as error:
        print(f"The browser did not take it ({_brief(error)}): find {path} in Colab's list of files and save it from there.")  # fmt: skip


def restore(path=None):
    """Puts what `download` packed back where it was, whole or not at all; asks for an upload where no path is given.

    Files of the same name are replaced. Raises CourseError, before anything is changed, for what is no such zip, is
    damaged or too large, or holds a member that would land elsewhere.
    """
    if path is None and not on_colab():
        print("This is not Colab: name the zip that was saved, as in colab.restore('coursekit.zip').")  # fmt: skip
        return
    source = path if path is not None else _uploaded()
    if source is None:
        print("No zip was chosen: nothing has changed.")
        return
    count = _unpack(source, build_folder())
    print(f"{count} files are back in {build_folder()}.")


def _uploaded():
    """The zip that the reader chose in the browser, as a file in memory; None where none was chosen."""
    try:
        from google.colab import files

        chosen = files.upload()
    except Exception as error:
        raise CourseError(
            f"The upload failed ({_brief(error)}): drag the zip into Colab's list of files, then say colab.restore('coursekit.zip')."
        ) from error
    if len(chosen) > 1:
        raise CourseError(f"{len(chosen)} files were chosen: choose the one zip that was saved.")
    return io.BytesIO(next(iter(chosen.values()))) if chosen else None


def _unpack(source, folder):
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (
            zipfile.ZipFile(source) as bundle,
            tempfile.TemporaryDirectory(dir=folder, prefix=".") as scratch,
        ):
            places = _places(bundle, folder)
            for number, info in enumerate(places.values()):
                with bundle.open(info) as packed, open(Path(scratch, str(number)), "wb") as file:
                    shutil.copyfileobj(packed, file, 1 << 20)
            for number, place in enumerate(places):  # all of it could be read
                place.parent.mkdir(parents=True, exist_ok=True)
                os.replace(Path(scratch, str(number)), place)
    except DAMAGE as error:
        raise CourseError(
            f"This is not a whole zip ({_brief(error)}): choose the one that colab.download() made."
        ) from error
    except OSError as error:
        raise CourseError(
            f"The zip cannot be unpacked ({error.strerror or error}): check its name, and that there is room."
        ) from error
    return len(places)


def _places(bundle, folder):
    """{where a member belongs: member} of a zip, all of it looked at; raises CourseError unless all can go there."""
    infos = [one for one in bundle.infolist() if not one.is_dir() and not one.filename.startswith("__MACOSX/")]  # fmt: skip
    places = {_place(info, folder): info for info in infos}
    above = {parent for place in places for parent in place.parents}
    taken = [p for p in places if p.is_dir() or p in above] + [p for p in above if p.is_file()]
    if not places or taken or len(places) < len(infos):
        raise CourseError("This zip does not fit here: choose the one that colab.download() made.")
    needed, free = sum(info.file_size for info in infos), shutil.disk_usage(folder).free
    if needed > free:
        raise CourseError(f"The zip needs {_mb(needed)} and {folder} has {_mb(free)}: make room.")
    return places


def _place(info, folder):
    first, *rest = info.filename.split("/")
    place = folder.joinpath(*rest)
    odd = not rest or {"", ".", ".."} & set(rest) or any(PureWindowsPath(p).anchor or "\\" in p for p in rest)  # fmt: skip
    outside = first != NAME or odd or not place.resolve().is_relative_to(folder.resolve())
    if outside or stat.S_ISLNK(info.external_attr >> 16):
        raise CourseError(
            f"The zip holds {info.filename!r}, which colab.download() does not make: nothing was unpacked, choose another zip."
        )
    return place


def offer():
    """At the end of a notebook: prints what was trained and how to save it, where a disconnect would lose it."""
    if not on_colab():
        print(f"This is not Colab: what was trained stays in {build_folder()}.")
    elif _on_drive(build_folder()):
        print(f"What was trained is kept in {build_folder()}: a disconnect does not lose it.")
    elif sizes := _sizes():
        told = ", ".join(f"{name} ({_mb(size)})" for name, size in sizes.items())
        print(f"Trained here: {told}. A disconnect loses it; {SAVE}.")


def _sizes():
    """{folder or file at the top: bytes} of what training left."""
    sizes = {}
    for name, path in _made().items():
        top = name.partition("/")[0]
        sizes[top] = sizes.get(top, 0) + path.stat().st_size
    return sizes


def _mb(size):
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"
