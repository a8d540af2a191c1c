"""Where the course keeps what it makes."""

import os
from pathlib import Path


def build_folder(*parts):
    """The folder of trained and downloaded things: $COURSEKIT_HOME, else `.build` beside the course."""
    home = os.environ.get("COURSEKIT_HOME")
    repository = Path(__file__).resolve().parents[1]
    inside = (repository / "course").is_dir()
    base = Path(home) if home else (repository if inside else Path.cwd()) / ".build"
    return base.joinpath(*parts)
