"""Who is who in a class: the ids that nbgrader gets, and the names and numbers that came."""

import csv
import hashlib
import re
import unicodedata

from coursekit.errors import CourseError, writing
from coursekit.grading.intake.bundles import shortened
from coursekit.grading.results.tables import plain

COLUMNS = ["student", "status", "name", "lms", "lms_id", "late", "file", "notes"]
BETWEEN = " | "  # between notes
LONGEST = 100  # bytes of an id, which becomes a folder's name


class Register:
    """The rows of collected.csv: {student id: {column: text}}, and new ids for those who come.

    Columns that a teacher has added, such as `login`, stay.  Raises CourseError if the file cannot
    be read.
    """

    def __init__(self, path):
        self.path, self.rows, self.columns = path, {}, list(COLUMNS)
        try:
            with open(path, newline="", encoding="utf-8-sig") as file:
                self._read(file)
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
            raise CourseError(f"{path} cannot be read ({error}): mend or delete it.") from error
        self.ids = {_key(row): student for student, row in self.rows.items()}

    def _read(self, file):
        separator = ";" if file.readline().count(";") > 1 else ","  # spreadsheets change it
        file.seek(0)
        table = csv.DictReader(file, delimiter=separator, restval="")
        self.columns += [one for one in table.fieldnames or [] if one not in COLUMNS]
        for row in table:
            self.rows[row["student"]] = {one: row[one] for one in self.columns}

    def student(self, who, own=False):
        """The id of a person, the same every time; two people never share one.

        own: it lies in the class's own folder, where folders bear the ids.
        """
        if who.lms == "source":
            return safe(who.name)
        key = _key(dict(name=plain(who.name), lms=who.lms, lms_id=who.number))
        known, copied = who.name in self.rows, not who.lms and key not in self.ids
        if known and (own or copied and self.rows[who.name]["lms"]):
            return who.name
        if key not in self.ids:
            self.ids[key] = self._new(who)
        return self.ids[key]

    def notes(self, student):
        """The notes that were written down of a student."""
        return [note for note in self.rows[student]["notes"].split(BETWEEN) if note]

    def enter(self, student, who, row):
        """Writes down what came of a student; returns the row as a dict."""
        told = dict(student=student, status=row.status, name=plain(who.name), lms=who.lms)
        told |= dict(lms_id=who.number, late={True: "yes", False: "no"}.get(row.late, ""))
        told |= dict(file=plain(row.file), notes=plain(BETWEEN.join(row.notes)))
        before = self.rows.get(student, dict.fromkeys(self.columns, ""))
        if before["student"] and not who.lms and who.name == student:  # the class's own folder
            told |= {key: before[key] for key in ("name", "lms", "lms_id", "late")}
        self.rows[student] = before | told
        return told

    def write(self):
        """Writes the file, sorted by student."""
        with writing(self.path) as part, open(part, "w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, self.columns)
            table.writeheader()
            table.writerows(self.rows[student] for student in sorted(self.rows))

    def _new(self, who):
        """Canvas numbers people, so theirs is part of the id; Moodle's differs by assignment."""
        numbered = who.lms == "canvas" and who.number != who.name
        name = shortened(who.name, LONGEST - 30)
        wish = safe(f"{name}_{who.number}" if numbered else who.name)
        taken = {one.casefold() for one in [*self.rows, *self.ids.values()]}
        more = [f"{wish}-{who.number}"] if who.number else []
        more += [f"{wish}-{count}" for count in range(2, len(taken) + 3)]
        return next(one for one in [wish, *more] if one.casefold() not in taken)


def safe(name):
    """An id that nbgrader can take: letters, digits, blanks and . _ - @, not too long."""
    name = re.sub(r"[^\w.@ -]", "_", unicodedata.normalize("NFC", name))
    name = shortened(re.sub(r"^[^\w@]+", "", name), LONGEST).rstrip(" .")
    bare = name.strip("_ ")
    return name if bare else "student-" + hashlib.sha256(name.encode()).hexdigest()[:8]


def _key(row):
    """What tells people apart: Canvas' number alone, since a name may change; else the name too."""
    return row["lms"], row["lms_id"], "" if row["lms"] == "canvas" else row["name"]
