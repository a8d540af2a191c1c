"""Marks as Canvas and Moodle take them: the right person, the right column, nothing else changed."""

import csv
import io

import pytest

from coursekit.errors import CourseError
from coursekit.grading.grade import Row
from coursekit.grading.results.exports import canvas, moodle, moodle_gradebook, write_grades
from coursekit.grading.results.tables import plain, read_people

QUESTIONS = {"one": 3.0, "explain": None}
ROWS = [
    Row("absent", "nothing handed in", max_score=14),
    Row("ada", "graded", 12.5, 14, questions={"one": 3.0, "explain": 1.0}),
    Row("bob", "graded", 0.0, 14, questions={"one": 0.0, "explain": 0.0}),
    Row("cai", "graded", 3.0, 14, needs_manual_grade=True, questions=QUESTIONS),
]
PEOPLE = {
    "absent": dict(name="Absent, Ann", lms_id="11"),
    "ada": dict(name='Ada "the" Lövelace, née Byron', lms_id="12"),
    "bob": dict(name="=HYPERLINK(1)", lms_id="13"),
    "cai": dict(name="Cai", lms_id="14"),
}
# As GradebookExporter of Canvas writes it, with a muted column, totals and the test student
GRADEBOOK = """\
Student,ID,SIS User ID,SIS Login ID,Section,Notes,Quiz (5),A1: show and tell (77),Final Score
,,,,,,,Manual Posting,
    Points Possible,,,,,,10.00,14.00,(read only)
"Absent, Ann",11,u11,ann@uni.example,"Sec 1 and Sec 2",=1+1,5.00,,50
"Lövelace, Ada",12,u12,ada@uni.example,Sec 1,,6.00,1.00,60
"=cmd|x",13,u13,bob@uni.example,Sec 1,,,EX,
Cai,14,u14,cai@uni.example,Sec 1,,7.00,2.00,
"Dora",15,u15,dora@uni.example,Sec 1,,8.00,9.00,
"Student, Test",99,,abcdef,Sec 1,,,,
"""
# As Moodle's grading table is downloaded, and in German notation of numbers and dates
WORKSHEET = """\
Identifier,"Full name","Email address",Status,Grade,"Maximum Grade","Grade can be changed","Last modified (submission)","Online text","Last modified (grade)","Feedback comments"
"Participant 11","Ann Absent",ann@uni.example,"No submission",,"14,00",Yes,-,,-,
"Participant 12","Ada Lövelace",ada@uni.example,"Submitted for grading",,14.00,Yes,"Friday, 3 May 2024, 10:00 AM","=cmd|' /C calc'!A0","Friday, 3 May 2024, 11:00 AM","- well done"
"Participant 13",@bob,bob@uni.example,"Submitted for grading",7.00,14.00,Yes,"Friday, 3 May 2024, 10:00 AM",,-,
"Participant 14",Cai,cai@uni.example,"Submitted for grading",,14.00,Yes,"Friday, 3 May 2024, 10:00 AM",,-,
"""


def read(path):
    """A file's lines as lists of texts."""
    return list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))


def column(path, title, key):
    """{key: cell} of one column of a table."""
    head, *lines = read(path)
    return {line[head.index(key)]: line[head.index(title)] for line in lines}


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.csv"


@pytest.fixture
def gradebook(tmp_path):
    path = tmp_path / "gradebook.csv"
    path.write_text(GRADEBOOK, encoding="utf-8")
    return path


@pytest.fixture
def worksheet(tmp_path):
    path = tmp_path / "worksheet.csv"
    path.write_text(WORKSHEET, encoding="utf-8-sig")
    return path


# --- the course's own ---------------------------------------------------------------------------
def test_own_table_tells_missing_from_zero_and_holds_no_formula(out):
    write_grades([*ROWS, Row("@eve", "=1+1", 1.0, 14)], out, "a1")
    assert column(out, "score", "student") == {
        "absent": "", "ada": "12.5", "bob": "0.0", "cai": "3.0", "'@eve": "1.0",
    }  # fmt: skip
    assert column(out, "explain", "student")["cai"] == ""
    assert column(out, "status", "student")["'@eve"] == "'=1+1"


@pytest.mark.parametrize(
    "text, told",
    [
        ("=1+1", "'=1+1"),
        ("+49 30 1", "'+49 30 1"),
        ("-x", "'-x"),
        ("@x", "'@x"),
        (" =1", "' =1"),
        ("\t=1", "'\t'=1"),
        ("-", "-"),
        ("a\n=1", "a\n'=1"),
        ("x;=1", "x;'=1"),
        ("＝1", "'＝1"),
        ("-1.5", "-1.5"),
        ("-1,5", "-1,5"),
        ("a-b=c", "a-b=c"),
        ("Ümlaut, Ö.", "Ümlaut, Ö."),
        ("", ""),
    ],
)
def test_nothing_is_taken_for_a_formula(text, told):
    assert plain(text) == told


# --- Canvas -------------------------------------------------------------------------------------
def test_marks_go_into_a_gradebook_of_canvas(out, gradebook):
    told = canvas(ROWS, out, "a1_show_and_tell", gradebook=gradebook, people=PEOPLE)
    head, muted, points, *lines = read(out)
    assert head == [
        *"Student,ID,SIS User ID,SIS Login ID,Section".split(","),
        "A1: show and tell (77)",
    ]
    assert muted[-1] == "Manual Posting" and points[0] == "    Points Possible"
    assert {line[1]: line[-1] for line in lines} == {
        "11": "",  # missing work stays an empty cell
        "12": "12.5",
        "13": "0",  # a true zero
        "14": "2.00",  # a person has still to mark: Canvas keeps what it has
        "15": "9.00",
        "99": "",
    }
    assert (told.marks, told.unfinished, told.unknown) == (2, ["cai"], [])
    assert told.missing == {"absent": "nothing handed in"}
    assert told.others == ["Dora", "Student, Test"]


def test_an_export_is_told_in_one_line(out, gradebook):
    told = canvas(ROWS, out, "a1_show_and_tell", gradebook=gradebook, people=PEOPLE)
    assert str(told) == (
        f"{out}: 2 marks; 1 without a mark: absent (nothing handed in); "
        "1 waiting for a person, left out: cai; "
        "2 in the file given, but not here: Dora, Student, Test"
    )


def test_names_of_others_are_no_formulas_either(out, gradebook):
    canvas(ROWS, out, "a1_show_and_tell", gradebook=gradebook, people=PEOPLE)
    assert column(out, "Student", "ID")["13"] == "'=cmd|x"
    assert column(out, "Student", "ID")["12"] == "Lövelace, Ada"


@pytest.mark.parametrize("key", ["SIS Login ID", "SIS User ID"])
def test_people_are_found_by_login_where_no_number_is_known(out, gradebook, key):
    logins = column(gradebook, "ID", key)
    rows = [Row(login.upper(), "graded", 1.0, 14) for login in logins if logins[login] == "12"]
    canvas(rows, out, "a1_show_and_tell", gradebook=gradebook)
    assert column(out, "A1: show and tell (77)", "ID")["12"] == "1"


def test_a_mark_never_goes_to_somebody_else(out, gradebook):
    """A Moodle number, a name or a part of a login is nobody's number in Canvas."""
    people = {"x": dict(name="Lövelace, Ada", lms="moodle", lms_id="12")}
    rows = [Row(student, "graded", 5.0, 14) for student in ("x", "ada", "Cai")]
    told = canvas(rows, out, "a1_show_and_tell", gradebook=gradebook, people=people)
    assert told.unknown == ["x", "ada", "Cai"] and told.marks == 0
    assert column(out, "A1: show and tell (77)", "ID")["12"] == "1.00"


def test_two_folders_of_one_person_are_refused(out, gradebook):
    people = PEOPLE | {"ada2": dict(name="Ada", lms_id="12")}
    rows = [*ROWS, Row("ada2", "graded", 5.0, 14)]
    with pytest.raises(CourseError, match="'ada' and 'ada2' are the same person"):
        canvas(rows, out, "a1_show_and_tell", gradebook=gradebook, people=people)
    assert not out.exists()


def test_a_login_that_two_people_share_finds_neither(out, gradebook):
    gradebook.write_text(GRADEBOOK.replace("cai@", "ada@"), encoding="utf-8")
    rows = [Row("ada@uni.example", "graded", 5.0, 14)]
    assert canvas(rows, out, "a1_show_and_tell", gradebook=gradebook).unknown == ["ada@uni.example"]


def test_the_column_is_found_by_number_or_title(out, gradebook):
    canvas(ROWS, out, "other", gradebook=gradebook, people=PEOPLE, assignment_id=77)
    assert column(out, "A1: show and tell (77)", "ID")["12"] == "12.5"
    with pytest.raises(CourseError, match="0 columns with the title 'a1'"):
        canvas(ROWS, out, "a1", gradebook=gradebook)
    with pytest.raises(CourseError, match="0 columns with the number 7:"):
        canvas(ROWS, out, "a1_show_and_tell", gradebook=gradebook, assignment_id=7)
    gradebook.write_text(GRADEBOOK.replace("Quiz (5)", "a1 show_and tell (5)"), encoding="utf-8")
    with pytest.raises(CourseError, match="2 columns"):
        canvas(ROWS, out, "a1_show_and_tell", gradebook=gradebook)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("14.00", "100.00", "Canvas gives 100 points for the assignment, which has 14"),
        ("14.00", "(read only)", "read only"),
        ("Student,ID", "Pupil,Number", "no columns Student and ID"),
    ],
)
def test_a_gradebook_that_does_not_fit_is_refused(out, gradebook, old, new, message):
    gradebook.write_text(GRADEBOOK.replace(old, new), encoding="utf-8")
    with pytest.raises(CourseError, match=message):
        canvas(ROWS, out, "a1_show_and_tell", gradebook=gradebook, people=PEOPLE)


def test_separator_first_names_and_byte_order_mark_stay(out, gradebook):
    text = GRADEBOOK.replace("Student,ID", "LastName,FirstName,ID").replace(
        ",,,,,,,Manual", ",,,,,,,,Manual"
    )
    text = text.replace("Possible,", "Possible,,").replace('"Absent, Ann"', "Absent,Ann")
    text = (
        text.replace('"Lövelace, Ada"', "Lövelace,Ada")
        .replace('"=cmd|x"', "=cmd|x,")
        .replace("Cai,", "Cai,,")
    )
    text = text.replace('"Dora"', "Dora,").replace('"Student, Test"', "Student,Test")
    text = text.replace("14.00", "14,00 ").replace(",", ";").replace("14;00 ", "14,00")
    gradebook.write_text(text, encoding="utf-8-sig")
    canvas(ROWS, out, "a1_show_and_tell", gradebook=gradebook, people=PEOPLE)
    assert out.read_bytes().startswith(b"\xef\xbb\xbfLastName;FirstName;ID;")
    assert "Lövelace;Ada;12;u12;ada@uni.example;Sec 1;12.5\r\n" in out.read_bytes().decode(
        "utf-8-sig"
    )


def test_a_gradebook_can_be_made_without_one_of_canvas(out):
    people = {"ada": dict(name="Lövelace, Ada", lms="canvas", lms_id="12")}
    told = canvas(ROWS, out, "a1", people=people, assignment_id=77)
    assert read(out) == [
        ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "a1 (77)"],
        ["    Points Possible", "", "", "", "", "14"],
        ["absent", "", "", "absent", "", ""],
        ["Lövelace, Ada", "12", "", "", "", "12.5"],
        ["bob", "", "", "bob", "", "0"],
        ["cai", "", "", "cai", "", ""],
    ]
    assert told.marks == 2


def test_unfinished_work_goes_out_only_when_asked_for(out):
    told = canvas(ROWS, out, "a1", unfinished=True)
    assert column(out, "a1", "Student")["cai"] == "3" and told.marks == 3
    assert "1 waiting for a person, with their points so far: cai" in str(told)


# --- Moodle -------------------------------------------------------------------------------------
def test_marks_go_into_a_worksheet_of_moodle(out, worksheet):
    told = moodle(ROWS, out, "a1", worksheet=worksheet, people=PEOPLE)
    assert column(out, "Grade", "Identifier") == {
        "Participant 11": "", "Participant 12": "12.5", "Participant 13": "0", "Participant 14": "",
    }  # fmt: skip
    assert (told.marks, told.unknown, told.others) == (2, [], [])
    given, made = read(worksheet), read(out)
    assert made[0] == given[0] and out.read_bytes().startswith(b"\xef\xbb\xbf")
    assert [line[5:8] for line in made] == [line[5:8] for line in given]
    assert made[2][9:] == given[2][9:]  # dates and a teacher's comment, letter by letter


def test_what_students_wrote_into_moodle_is_no_formula(out, worksheet):
    moodle(ROWS, out, "a1", worksheet=worksheet, people=PEOPLE)
    assert column(out, "Online text", "Identifier")["Participant 12"].startswith("'=cmd")
    assert column(out, "Full name", "Identifier")["Participant 13"] == "'@bob"


def test_a_grade_given_in_moodle_stays_where_there_is_no_mark(out, worksheet):
    moodle(ROWS[:1], out, "a1", worksheet=worksheet, people={"absent": dict(lms_id="13")})
    assert column(out, "Grade", "Identifier")["Participant 13"] == "7.00"


def test_feedback_goes_to_those_who_have_some(out, worksheet):
    told = {"bob": "=see <page>", "nobody": "x"}
    moodle(ROWS, out, "a1", worksheet=worksheet, people=PEOPLE, feedback=told)
    comments = column(out, "Feedback comments", "Identifier")
    assert comments["Participant 13"] == "'=see <page>"
    assert comments["Participant 12"] == "- well done" and comments["Participant 11"] == ""


def test_people_of_moodle_are_found_by_address(out, worksheet):
    rows = [Row("Ada@uni.example", "graded", 1.0, 14), Row("x", "graded", 2.0, 14)]
    people = {"x": dict(email="cai@uni.example")}
    told = moodle(rows, out, "a1", worksheet=worksheet, people=people)
    grades = column(out, "Grade", "Identifier")
    assert (grades["Participant 12"], grades["Participant 14"]) == ("1", "2")
    assert told.others == ["Ann Absent", "@bob"]


def test_a_worksheet_can_be_made_of_the_participants_numbers(out):
    people = PEOPLE | {"cai": dict(name="Cai", lms="canvas", lms_id="14")}
    told = moodle(ROWS, out, "a1", people=people, feedback={"ada": "fine"})
    head, *lines = read(out)
    assert head[0] == "Identifier" and head[-2:] == ["Last modified (grade)", "Feedback comments"]
    assert [line[0] for line in lines] == ["Participant 11", "Participant 12", "Participant 13"]
    assert [line[head.index("Grade")] for line in lines] == ["", "12.5", "0"]
    assert lines[1][1] == 'Ada "the" Lövelace, née Byron' and lines[1][-1] == "fine"
    assert lines[2][1] == "'=HYPERLINK(1)" and told.marks == 2
    with pytest.raises(CourseError, match="Nobody's number in Moodle is known"):
        moodle(ROWS, out, "a1")


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("Grade,", "Bewertung,", "no column 'grade': set Moodle to English"),
        ("Last modified (grade)", "x", "no column 'last modified"),
        ("14.00", "100.00", "Moodle gives 100 points for the assignment, which has 14"),
    ],
)
def test_a_worksheet_that_does_not_fit_is_refused(out, worksheet, old, new, message):
    worksheet.write_text(WORKSHEET.replace(old, new), encoding="utf-8")
    with pytest.raises(CourseError, match=message):
        moodle(ROWS, out, "a1", worksheet=worksheet, people=PEOPLE)
    with pytest.raises(CourseError, match="no column 'feedback comments'"):
        worksheet.write_text(WORKSHEET.replace('"Feedback comments"', "x"), encoding="utf-8")
        moodle(ROWS, out, "a1", worksheet=worksheet, feedback={"ada": "x"})


def test_a_table_for_the_gradebook_of_moodle(out):
    people = PEOPLE | {"ada": dict(name="Ada", email="ada@uni.example", login="al12")}
    told = moodle_gradebook(ROWS, out, "a1", people=people)
    assert read(out) == [
        ["Username", "Full name", "Email address", "a1"],
        ["absent", "Absent, Ann", "", ""],
        ["al12", "Ada", "ada@uni.example", "12.5"],
        ["bob", "'=HYPERLINK(1)", "", "0"],
        ["cai", "Cai", "", ""],
    ]
    assert told.marks == 2 and told.unfinished == ["cai"]


# --- files --------------------------------------------------------------------------------------
def test_who_is_who_is_read_where_it_is_known(tmp_path):
    path = tmp_path / "collected.csv"
    assert read_people(path) == {}
    path.write_text(
        'student,name,lms,lms_id,late\nada,"Byron, Ada",canvas,12,no\n', encoding="utf-8-sig"
    )
    assert read_people(path)["ada"] == dict(
        student="ada", name="Byron, Ada", lms="canvas", lms_id="12", late="no"
    )
    path.write_text("name,lms_id\nAda,12\n", encoding="utf-8")
    with pytest.raises(CourseError, match="no column 'student'"):
        read_people(path)


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "cannot be read"),
        (b"", "holds no table"),
        (b"no table at all\n", "holds no table"),
        ("Student,ID\nMüller,1\n".encode("cp1252"), "not a CSV file in UTF-8"),
        ("Student,ID\n".encode("utf-16"), "not a CSV file in UTF-8"),
        (b"PK\x03\x04\x00\xff\xfe", "not a CSV file in UTF-8"),
    ],
)
def test_a_file_that_is_no_table_is_told(tmp_path, out, content, message):
    path = tmp_path / "given.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CourseError, match=message):
        canvas(ROWS, out, "a1", gradebook=path)
    assert not out.exists()


def test_a_mark_that_is_no_number_is_refused(out):
    with pytest.raises(CourseError, match="A mark is nan"):
        canvas([Row("x", "graded", float("nan"), 14)], out, "a1")


@pytest.mark.parametrize(
    "score, told", [(3.0, "3"), (1 / 3, "0.33"), (0.0, "0"), (-0.0, "0"), (1234567.5, "1234567.5")]
)
def test_points_are_written_short(out, score, told):
    moodle_gradebook([Row("x", "graded", score, 14)], out, "a1")
    assert column(out, "a1", "Username") == {"x": told}
