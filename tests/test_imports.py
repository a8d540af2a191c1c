"""What the ledger and the floors test know about coursekit's own imports."""

import pytest

from coursekit import imports
from coursekit.errors import CourseError


def names(paths):
    return {str(path.relative_to(imports.PACKAGE)) for path in paths}


def write(folder, text):
    path = folder / "code.py"
    path.write_text(text)
    return path


def test_modules_and_their_own_imports_are_reached(tmp_path):
    found = names(imports.reached(write(tmp_path, "from coursekit import notebooks")))
    assert found == {"__init__.py", "notebooks.py", "doors.py", "errors.py"}


def test_imports_inside_functions_and_by_name_of_a_thing_are_reached(tmp_path):
    text = "def f():\n    from coursekit.errors import CourseError"
    assert names(imports.reached(write(tmp_path, text))) == {"__init__.py", "errors.py"}


def test_packages_are_reached_with_what_runs_on_the_way(tmp_path):
    found = names(imports.reached(write(tmp_path, "import coursekit.grading.engine")))
    assert {"grading/__init__.py", "grading/engine.py", "notebooks.py"} <= found


def test_dots_are_resolved(tmp_path, monkeypatch):
    package = tmp_path / "coursekit"
    (package / "a").mkdir(parents=True)
    (package / "a" / "one.py").write_text("from . import two\nfrom ..b import three\n")
    monkeypatch.setattr(imports, "PACKAGE", package)
    found = imports.imported(package / "a" / "one.py")
    assert {"coursekit.a.two", "coursekit.b", "coursekit.b.three"} <= found


def test_other_packages_are_not_reached(tmp_path):
    assert imports.reached(write(tmp_path, "import json\nimport coursekitchen")) == set()


def test_what_is_not_python_is_told(tmp_path):
    with pytest.raises(CourseError, match="not Python .line 1"):
        imports.imported(write(tmp_path, "def"))
