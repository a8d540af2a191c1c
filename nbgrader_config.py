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
c.CourseDirectory.db_url = f"sqlite:///{root / class_folder / 'gradebook.db'}"
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__", ".DS_Store", "*.py"]

# A training cell may take minutes; nbgrader's own limit is 30 seconds.
c.Execute.timeout = 900
c.Execute.iopub_timeout = 30
c.Execute.startup_timeout = 120
# Other users of this machine cannot read what passes between grader and kernel.
c.KernelManager.transport_encryption = "auto"
# A deleted test cell comes back from the source instead of vanishing from the marks.
c.OverwriteCells.add_missing_cells = True
c.ClearSolutions.code_stub = {"python": 'raise NotImplementedError("write me")'}
c.ClearSolutions.text_stub = "Write your answer here."
