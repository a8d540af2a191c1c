"""Runs img2dataset: on this machine, or on a Spark or Ray cluster.

This file is run by path, in an environment of img2dataset's own, and so imports nothing of coursekit.
Its one argument is JSON: {"distributor": …, "master": address or null, "settings": arguments of
img2dataset.download}.
"""

import json
import os
import signal
import sys
import threading
import time


def die_with(parent):
    """Ends this process and all its workers as soon as `parent`, the process that began it, is gone."""

    def watch():
        while os.getppid() == parent:
            time.sleep(0.5)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def join_spark(master):
    """Makes the session that img2dataset then finds; without one it makes its own, on this machine."""
    from pyspark.sql import SparkSession

    # Spark's workers would take whatever python3 is on the PATH, which has no img2dataset
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    return SparkSession.builder.master(master).appName("img2dataset").getOrCreate()


def join_ray(master):
    """Joins a Ray cluster, or starts one here. Without ray, img2dataset would quietly do nothing."""
    import ray

    ray.init(address=master, log_to_driver=False)


def main():
    """Does what the argument says."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    asked = json.loads(sys.argv[1])
    die_with(os.getppid())
    if asked["distributor"] == "pyspark":
        join_spark(asked["master"] or f"local[{asked['settings']['processes_count']}]")
    if asked["distributor"] == "ray":
        join_ray(asked["master"])
    import img2dataset

    img2dataset.download(distributor=asked["distributor"], **asked["settings"])


if __name__ == "__main__":
    main()
