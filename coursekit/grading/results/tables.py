"""CSV files that platforms and spreadsheets read: as they came, and harmless when opened."""

import csv
import io
import math
import re
from pathlib import Path

from coursekit.errors import CourseError, writing

# What a spreadsheet would take for a formula, at the start of a cell or where another separator
# would begin one
FORMULA = re.compile(r"(^|[;\t\r\n])(?=\s*[=+\-@＝＋－＠]\s*\S)")
LONGEST_CELL = 2**24


class Table:
    """A CSV file as lists of texts, read and written with its own separator and byte-order mark."""

    def __init__(self, rows, separator=",", mark=False):
        self.rows, self.separator, self.mark = rows, separator, mark

    @classmethod
    def read(cls, path):
        """Raises CourseError if there is no such file, or it is no table in UTF-8."""
        try:
            data = Path(path).read_bytes()
            text = data.decode("utf-8-sig")
            first = text.split("\n", 1)[0]
            separator = max(
                ",;\t", key=lambda one: len(next(csv.reader([first], delimiter=one), []))
            )
            csv.field_size_limit(LONGEST_CELL)
            rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
        except OSError as error:
            raise CourseError(
                f"{path} cannot be read ({error.strerror}): check the name."
            ) from error
        except (UnicodeDecodeError, csv.Error) as error:
            raise CourseError(
                f"{path} is not a CSV file in UTF-8: export it again, and do not save it from a "
                "spreadsheet before."
            ) from error
        width = max(map(len, rows), default=0)
        if width < 2:
            raise CourseError(f"{path} holds no table: export it again.")
        padded = [row + [""] * (width - len(row)) for row in rows if any(row)]
        return cls(padded, separator, data.startswith(b"\xef\xbb\xbf"))

    def write(self, path):
        """Writes the table whole or not at all."""
        encoding = "utf-8-sig" if self.mark else "utf-8"
        with writing(path) as part, open(part, "w", newline="", encoding=encoding) as file:
            csv.writer(file, delimiter=self.separator).writerows(self.rows)


def read_people(path):
    """{student: {"name", "lms", "lms_id", …}} from a class's collected.csv; {} if there is none.

    A column "login" or "email", where there is one, tells people apart too.
    Raises CourseError if the file has no column `student`.
    """
    if not Path(path).is_file():
        return {}
    table = Table.read(path)
    head = [title.strip().lower() for title in table.rows[0]]
    if "student" not in head:
        raise CourseError(f"{path} has no column 'student': write who is who there, or delete it.")
    lines = [dict(zip(head, line, strict=True)) for line in table.rows[1:]]
    return {line["student"]: line for line in lines if line["student"]}


def plain(text):
    """A text that no spreadsheet takes for a formula: ' goes before = + - and @."""
    text = str(text)
    return text if number(text) is not None else FORMULA.sub(r"\1'", text)


def number(text):
    """A cell's number, with point or comma; None if it is none."""
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def shown(points):
    """Points as text: at most two decimals, and none that says nothing."""
    if not math.isfinite(points):
        raise CourseError(f"A mark is {points}: grade that student again.")
    text = f"{points:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
