"""What came of examining a submission, kept on disk, so that nothing is examined twice."""

import json
from pathlib import Path

from coursekit.errors import writing
from coursekit.grading.exam.jobs import keys
from coursekit.grading.intake.form import kind
from coursekit.notebooks import grade_id


class Records:
    """The records of one assignment of a class: a JSON file a student, in `CLASS/NAME/records`."""

    def __init__(self, class_folder, name):
        self.folder = Path(class_folder) / name / "records"

    def path(self, student):
        """Where a student's record lies."""
        return self.folder / f"{student}.json"

    def load(self, student):
        """A student's record, or {} where there is none or it is damaged."""
        try:
            return json.loads(self.path(student).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}

    def save(self, student, job, result):
        """Keeps a result beside the keys of the job that it answers; returns the record."""
        record = result | {"keys": keys(job)}
        with writing(self.path(student)) as part:
            part.write_text(json.dumps(record), encoding="utf-8")
        return record

    def find(self, student, job):
        """The record that answers this very job, or None."""
        record = self.load(student)
        return record if record.get("keys") == keys(job) else None

    def kept(self, student, job):
        """Outputs of tests that need not run again: {grade_id: outputs}.

        A test keeps what came of it while neither it nor the student's work nor anything that both
        run on has changed.
        """
        record, now = self.load(student), keys(job)
        before = record.get("keys", {"work": None})
        if before["work"] != now["work"]:
            return {}
        same = {key for key, state in now["tests"].items() if before["tests"].get(key) == state}
        cells = [cell for cell in record["notebook"]["cells"] if kind(cell) == "test"]
        return {grade_id(cell): cell["outputs"] for cell in cells if grade_id(cell) in same}
