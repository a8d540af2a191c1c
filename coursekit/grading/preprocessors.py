"""What coursekit puts into nbgrader's own autograding, named in nbgrader_config.py.

So `nbgrader autograde`, Formgrader's button and `coursekit grade` repair and examine alike.
"""

import os
from pathlib import Path

from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import Bool, Dict

from coursekit.errors import CourseError
from coursekit.grading.engine import class_folder_of, connect, settings
from coursekit.grading.exam.jobs import LIMITS, answered, make_job
from coursekit.grading.exam.records import Records
from coursekit.grading.intake import form, repair
from coursekit.grading.intake.form import packed
from coursekit.grading.release import register
from coursekit.notebooks import quick_import

with quick_import():
    from nbformat.notebooknode import from_dict


def make_known(assignment, student, notebooks):
    """Enters an assignment into the gradebook that Formgrader is the first to grade; nbgrader's hook
    before an autograding, called in the course's folder."""
    root = Path.cwd()
    config = settings(root)
    if assignment not in {one.name for one in connect(config).gradebook.assignments}:
        register(assignment, root=root, class_folder=class_folder_of(config))


class Repair(NbGraderPreprocessor):
    """Puts a student's notebook back into the assignment's form, before nbgrader looks at it."""

    def preprocess(self, nb, resources):
        course = _course(self)
        made = form.form(resources["nbgrader"]["assignment"], course.root)
        repaired = repair.repair(nb, made)
        for note in repaired.notes:
            self.log.warning("%s: %s", resources["nbgrader"]["student"], note)
        return from_dict(repaired.notebook), resources


class Examine(NbGraderPreprocessor):
    """Runs a repaired notebook as coursekit.grading.exam.examine does, in place of nbgrader's Execute.

    What `coursekit grade` has examined already is taken from its record.
    """

    limits = Dict(help=f"changes of {LIMITS}").tag(config=True)
    trust_submissions = Bool(False, help="grade without walls").tag(config=True)

    def preprocess(self, nb, resources):
        course, told = _course(self), resources["nbgrader"]
        student, name = told["student"], told["assignment"]
        work = Path(course.format_path(course.submitted_directory, student, name))
        job = make_job(nb, packed(work), name, course.root, self.limits)
        records = Records(class_folder(course), name)
        found = records.find(student, job) or examine_now(
            job, records, student, self.trust_submissions
        )
        return from_dict(found["notebook"]), resources


def examine_now(job, records, student, trust):
    """Examines a submission on this machine, keeps the record and returns it.

    Raises CourseError if there is no result.
    """
    asked = job | {"kept": records.kept(student, job)}
    return records.save(student, job, answered(asked, trust, os.cpu_count()))


def class_folder(course):
    """The folder of a class, from nbgrader's course directory."""
    place = Path(course.format_path(course.autograded_directory, "student", "assignment"))
    return place.parents[1].parent


def _course(preprocessor):
    """nbgrader's CourseDirectory, from the converter that a preprocessor works for."""
    parent = preprocessor.parent
    while parent is not None:
        if getattr(parent, "coursedir", None) is not None:
            return parent.coursedir
        parent = parent.parent
    raise CourseError("This works only inside nbgrader: call `nbgrader autograde`.")
