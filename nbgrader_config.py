"""nbgrader's settings, for its own commands, for Formgrader and for `coursekit grade` alike."""

import os
from pathlib import Path

c = get_config()

root = Path(__file__).resolve().parent
# Where a class lives: submitted, autograded, feedback and the gradebook. Never in git.
class_folder = os.environ.get("COURSEKIT_CLASS") or ".build/class"

c.CourseDirectory.root = str(root)
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "assignments"
c.CourseDirectory.submitted_directory = f"{class_folder}/submitted"
c.CourseDirectory.autograded_directory = f"{class_folder}/autograded"
c.CourseDirectory.feedback_directory = f"{class_folder}/feedback"
# SQLite unless COURSEKIT_GRADEBOOK holds another address, such as one of PostgreSQL.
c.CourseDirectory.db_url = (
    os.environ.get("COURSEKIT_GRADEBOOK") or f"sqlite:///{root / class_folder / 'gradebook.db'}"
)
# PostgreSQL wants marks to belong to a course that exists.
c.CourseDirectory.course_id = "coursekit"
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__", ".DS_Store", "*.py"]

# Submissions are put back into the assignment's form, then examined: their own cells in a kernel
# behind walls, the tests outside of it. Everything else is nbgrader's.
c.Autograde.sanitize_preprocessors = [
    "coursekit.grading.preprocessors.Repair",
    "nbgrader.preprocessors.ClearOutput",
    "nbgrader.preprocessors.DeduplicateIds",
    "nbgrader.preprocessors.OverwriteKernelspec",
    "nbgrader.preprocessors.OverwriteCells",
    "nbgrader.preprocessors.CheckCellMetadata",
]
c.Autograde.autograde_preprocessors = [
    "coursekit.grading.preprocessors.Examine",
    "nbgrader.preprocessors.LimitOutput",
    "nbgrader.preprocessors.SaveAutoGrades",
    "nbgrader.preprocessors.AssignLatePenalties",
    "nbgrader.preprocessors.CheckCellMetadata",
]
c.Autograde.pre_convert_hook = "coursekit.grading.preprocessors.make_known"
c.GenerateFeedback.preprocessors = [
    "nbgrader.preprocessors.GetGrades",
    "coursekit.grading.results.hide.HideTests",
    "nbconvert.preprocessors.CSSHTMLHeaderPreprocessor",
]
# Without bubblewrap and user namespaces, grading asks for `--trust-submissions`, or for this:
# c.Examine.trust_submissions = True
# A deleted test cell comes back from the source instead of vanishing from the marks.
c.OverwriteCells.add_missing_cells = True
c.ClearSolutions.code_stub = {"python": 'raise NotImplementedError("write me")'}
c.ClearSolutions.text_stub = "Write your answer here."
