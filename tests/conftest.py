"""What the tests share: the real data beside the repository, and Java, each skipped when absent."""

import os
from pathlib import Path

import pytest

from coursekit.grading.exam import walls
from coursekit.metrics.meteor import no_meteor

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_configure(config):
    config.addinivalue_line("markers", "shared: needs the real data beside the repository")
    config.addinivalue_line("markers", "java: needs a Java runtime")
    config.addinivalue_line("markers", "walls: needs bubblewrap and user namespaces")


def pytest_runtest_setup(item):
    if item.get_closest_marker("java") and (reason := no_meteor()):
        pytest.skip(f"NOT TESTED: {reason}")
    if item.get_closest_marker("walls") and (reason := walls.missing()):
        pytest.skip(f"NOT TESTED: no walls here: {reason}")


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real data: $COURSEKIT_SHARED, else shared/data beside the repository."""
    folder = Path(os.environ.get("COURSEKIT_SHARED", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"NOT TESTED: no real data in {folder}; set COURSEKIT_SHARED to where it is")
    return folder
