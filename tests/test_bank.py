"""The quick proof of an assignment's tests: marks without a kernel, as nbgrader would give them.

That they equal nbgrader's own is tested in test_grading.py.
"""

import pytest
from small_course import FULL, make_released, source

from coursekit.errors import CourseError
from coursekit.grading import bank


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    return make_released(tmp_path_factory.mktemp("course"))


def test_marks_of_the_solution_are_full(course):
    assert bank.points(source(course)) == FULL
    assert bank.marks(source(course), {}) == (FULL, {})


def test_marks_of_every_answer_in_the_bank(course):
    wrong, right = bank.load_bank("small", course)
    for entry in wrong:
        got, messages = bank.marks(source(course), {entry.question: entry.source})
        lost = {key: FULL[key] - got[key] for key in FULL if got[key] < FULL[key]}
        assert lost == entry.loses, entry.name
        assert entry.message in "\n".join(messages.values())
    for entry in right:
        assert bank.marks(source(course), {entry.question: entry.source})[0] == FULL


def test_partial_points_are_nbgraders(course):
    got, messages = bank.marks(source(course), {"largest": "largest_of_all = 2"})
    assert got == {"test_double": 3, "test_largest": 0, "test_share": 1}
    assert "AssertionError: largest is 2, not 3" in messages["test_largest"]


def test_cells_run_on_after_an_error_and_an_exit(course):
    got, messages = bank.marks(source(course), {"double": "import sys\nsys.exit()"})
    assert got == {"test_double": 0, "test_largest": 2, "test_share": 0}
    assert "NameError" in messages["test_double"]


def test_a_verdict_that_draws_itself_is_the_message(course):
    answer = """\
class Verdict(Exception):
    def _render_traceback_(self):
        return ["✗ double: too large"]

def double(x):
    print("looking")
    raise Verdict("hidden")
"""
    _, messages = bank.marks(source(course), {"double": answer})
    assert messages["test_double"].splitlines() == ["looking", "✗ double: too large"]


def test_stderr_in_a_test_cell_costs_nothing_as_in_the_examination(course):
    answer = "import sys\ndef double(x):\n    print('oh', file=sys.stderr)\n    return 2 * x"
    assert bank.marks(source(course), {"double": answer})[0] == FULL


def test_each_run_is_alone(course):
    """Neither names, nor files, nor what was trained pass from one run to the next."""
    leave = """\
import os
home = os.environ["COURSEKIT_HOME"]
open("left", "w").close()
os.makedirs(home + "/trained")
"""
    find = """\
import os
home = os.environ["COURSEKIT_HOME"]
assert not os.path.exists("left") and not os.listdir(home)
"""
    rest = "def double(x):\n    return 2 * x"
    assert bank.marks(source(course), {"double": leave + rest})[0] == FULL
    assert bank.marks(source(course), {"double": find + rest})[0] == FULL
    found = bank.marks(source(course), {"double": leave + find + rest})[0]
    assert found["test_double"] == 0, "the check above would not see what is left"


def test_slow_imports_are_done_before_the_run(course):
    answer = "import sys\nassert 'torch' in sys.modules\ndef double(x):\n    return 2 * x"
    assert bank.marks(source(course), {"double": answer})[0] == FULL


def test_magics_and_inspection_work_without_ipython(course):
    answer = """\
%matplotlib inline
import inspect
def double(x):
    assert "return 2 * x" in inspect.getsource(double)
    return 2 * x
"""
    assert bank.marks(source(course), {"double": answer})[0] == FULL


@pytest.mark.parametrize(
    "replacements, told",
    [
        ({"nothing": "1"}, "no solution cell 'nothing'"),
        ({"test_double": "1"}, "no solution cell 'test_double'"),
        ({"double": "import os\nos._exit(3)"}, "exit code 3"),
        ({"double": "while True: pass"}, "longer than 2 s"),
    ],
)
def test_runs_without_an_end_and_unknown_questions_are_told(course, replacements, told):
    with pytest.raises(CourseError, match=told):
        bank.marks(source(course), replacements, seconds=2)


def test_missing_bank_is_told(course):
    with pytest.raises(CourseError, match="other_bank.py"):
        bank.load_bank("other", course)
