"""Fetches Conceptual Captions: the table of 3.3 million addresses, then the pictures that still exist.

    python data_scripts/conceptual_captions.py --to data/conceptual --splits test      15,840 addresses
    python data_scripts/conceptual_captions.py --to data/conceptual --count 100000     a part of train
    python data_scripts/conceptual_captions.py --to data/conceptual                    all of it
    … --distributor pyspark --master spark://HOST:7077     on a Spark cluster
    … --distributor ray --master HOST:6379                 on a Ray cluster

The pictures are fetched by img2dataset into webdataset shards. It runs in an environment of its own, which
is made at the first run (650 MB), or in the one that --python names. A run that was killed goes on with
the shards that it had not finished. On a cluster the folder must be one that all machines see under the
same path, and each machine needs an environment with img2dataset.

Behind a firewall that closes addresses, get Train_GCC-training.tsv and Validation_GCC-1.1.0-Validation.tsv from
https://ai.google.com/research/ConceptualCaptions/download by other means and give their folder with --from.
"""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tqdm import tqdm

from coursekit import sizes
from coursekit.datasets import conceptual, web_workers
from coursekit.datasets.conceptual import ConceptualCaptions
from coursekit.datasets.fetching import Archive, bring, options, run
from coursekit.errors import CourseError

PLACE = "https://storage.googleapis.com/gcc-data/"
TABLES = {
    "train": Archive(
        "GCC-training.tsv", (PLACE + "Train/GCC-training.tsv",), also=("Train_GCC-training.tsv",)
    ),
    "test": Archive(
        "GCC-1.1.0-Validation.tsv",
        (PLACE + "Validation/GCC-1.1.0-Validation.tsv",),
        also=("Validation_GCC-1.1.0-Validation.tsv",),
    ),
}
# imghdr, which img2dataset imports, left Python with 3.13
PACKAGES = ["img2dataset==1.47.0", "standard-imghdr; python_version >= '3.13'"]
MODULES = {"multiprocessing": "img2dataset", "pyspark": "pyspark", "ray": "ray"}
LOOKED_AT = 1000  # pictures of a split that are read at the end


def interpreter(chosen):
    """The Python of an environment with img2dataset and what the distributor needs, made if need be."""
    needed = {"img2dataset", MODULES[chosen.distributor]}
    if chosen.python:
        if not _has(chosen.python, needed):
            raise CourseError(
                f"{chosen.python} cannot import {' and '.join(sorted(needed))}; "
                "install them there, or leave --python out."
            )
        return chosen.python
    folder = Path(sizes.build_folder("img2dataset"))
    python = folder / "bin/python"
    if not (python.exists() and _has(python, needed)):
        print(f"Making an environment for img2dataset in {folder} …", flush=True)
        _uv("venv", "--allow-existing", "--python", sys.executable, folder)
        _uv("pip", "install", "--python", python, *PACKAGES, *sorted(needed - {"img2dataset"}))
    return python


def _has(python, modules):
    try:
        code = ";".join(f"import {name}" for name in modules)
        return (
            subprocess.run([python, "-W", "ignore", "-c", code], capture_output=True).returncode
            == 0
        )
    except OSError:
        return False


def _uv(*arguments):
    beside = Path(sys.executable).with_name("uv")
    uv = beside if beside.exists() else shutil.which("uv")
    if uv is None:
        raise CourseError("uv is not installed; run `pip install uv`, or name a --python.")
    done = subprocess.run([uv, *arguments], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1].strip()
        raise CourseError(
            f"The environment for img2dataset could not be made ({last}); "
            "make one with img2dataset yourself and give its Python with --python."
        )


def fetch_split(split, chosen):
    """Fetches the pictures of one table; prints what became of its addresses."""
    folder, table = chosen.to / split, chosen.to / f"{split}.tsv"
    source = bring(TABLES[split], chosen)
    conceptual.settings_agree(
        chosen.to / f"{split}.json",
        {"addresses a shard": chosen.shard, "image size": chosen.image_size},
    )
    # Whole shards only: a shard once finished is not looked at again
    count = chosen.count and math.ceil(chosen.count / chosen.shard) * chosen.shard
    rows, wrong = conceptual.write_table(source, table, count)
    print(f"{split}: {rows:,} addresses ({wrong:,} lines of the table are none)", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = math.ceil(rows / chosen.shard)
    if _done(folder) < wanted:
        _work(interpreter(chosen), folder, table, wanted, chosen)
    _tell(split, folder, wanted)


def _done(folder):
    return sum(1 for _ in folder.glob("*_stats.json"))


def _work(python, folder, table, wanted, chosen):
    """Runs img2dataset to its end, with a bar that counts finished shards."""
    asked = {
        "distributor": chosen.distributor,
        "master": chosen.master,
        "settings": _settings(folder, table, chosen),
    }
    log = chosen.to / f"{folder.name}.log"
    bar = tqdm(
        total=wanted, desc=folder.name, unit="shard", file=sys.stdout, mininterval=0.5, leave=False
    )
    with bar, open(log, "ab") as lines:
        worker = subprocess.Popen(
            [python, web_workers.__file__, json.dumps(asked)],
            stdout=lines, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            while worker.poll() is None:
                time.sleep(0.2)
                if new := _done(folder) - bar.n:
                    bar.update(new)
        finally:
            _end(worker)
    if worker.returncode:
        raise CourseError(
            f"img2dataset ended with exit code {worker.returncode}; {log} says why; "
            "run this again to go on."
        )


def _end(worker):
    """Ends the worker with all its processes, whatever this process goes through."""
    try:
        os.killpg(worker.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    worker.wait()


def _settings(folder, table, chosen):
    return {
        "url_list": str(table.resolve()),
        "output_folder": str(folder.resolve()),
        "input_format": "tsv",
        "url_col": "url",
        "caption_col": "caption",
        "output_format": "webdataset",
        "image_size": chosen.image_size,
        # The smaller side becomes image_size; what is smaller already stays as it is
        "resize_mode": "keep_ratio",
        "resize_only_if_bigger": True,
        "number_sample_per_shard": chosen.shard,
        "processes_count": chosen.processes,
        "thread_count": chosen.threads,
        "timeout": chosen.timeout,
        "retries": chosen.retries,
        "incremental_mode": "incremental",
    }


def _tell(split, folder, wanted):
    found = conceptual.report(folder)
    print(
        f"{split}: {found['came']:,} pictures came, {found['dead']:,} of {found['tried']:,} are dead"
    )
    for kind, times in found["why"].items():
        print(f"  {times:9,}  {kind}")
    if _done(folder) < wanted:
        raise CourseError(
            f"{wanted - _done(folder)} of {wanted} shards are not finished; "
            f"{folder}.log says why; run this again to go on."
        )


def look(root, split):
    """Reads pictures of a split all over the set, LOOKED_AT at most; prints the set."""
    dataset = ConceptualCaptions(split, root)
    step = math.ceil(len(dataset) / LOOKED_AT)
    for index in range(0, len(dataset), step):
        dataset.image(index)
    print(f"{dataset}; every {step}. picture read" if step > 1 else f"{dataset}; all read")


def fetch(chosen):
    """Every split that was asked for, one after the other."""
    if chosen.prepare:
        chosen.to = interpreter(chosen)
        return
    for split in chosen.splits:
        fetch_split(split, chosen)
        look(chosen.to, split)


if __name__ == "__main__":
    parser = options(__doc__, "conceptual")
    tables = list(TABLES)
    parser.add_argument("--splits", nargs="+", choices=tables, default=tables, metavar="SPLIT")
    parser.add_argument("--count", type=int, help="the first addresses only, in whole shards")
    parser.add_argument("--shard", type=int, default=10_000, help="addresses a shard")
    parser.add_argument("--image-size", type=int, default=256, help="smaller side, in pixels")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--threads", type=int, default=64, help="pictures at once in each process")
    parser.add_argument("--timeout", type=int, default=10, help="seconds a server may be silent")
    parser.add_argument("--retries", type=int, default=0)
    parser.add_argument("--distributor", choices=list(MODULES), default="multiprocessing")
    parser.add_argument("--master", metavar="ADDRESS", help="of a Spark or Ray cluster")
    parser.add_argument("--python", metavar="PATH", help="a Python that has img2dataset")
    parser.add_argument(
        "--prepare", action="store_true", help="only make img2dataset's environment"
    )
    sys.exit(run(fetch, parser))
