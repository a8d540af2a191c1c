"""Where Java is, and the folders of pycocoevalcap that hold Java programs."""

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path


def find_java():
    """The path of Java: $JAVA_HOME's, else the first on PATH; None if there is none."""
    home = os.environ.get("JAVA_HOME")
    return home and shutil.which("java", path=os.path.join(home, "bin")) or shutil.which("java")


def java_version(java):
    """The main version, as 8 or 17, of the Java at a path; None if it does not say."""
    try:
        told = subprocess.run(
            [java, "-version"], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', told.stderr + told.stdout)  # 8 calls itself 1.8
    return int(found[1]) if found else None


def package_folder(name):
    """A folder of pycocoevalcap, without importing it."""
    found = importlib.util.find_spec("pycocoevalcap")
    return Path(found.submodule_search_locations[0]) / name
