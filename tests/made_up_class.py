"""A made-up class for the tests of the report: rows and records as grading writes them."""

import random

from test_similar import FIRST, MODEL, QUESTIONS, SECOND, SOLUTION, copied, handed_in

from coursekit.grading.bank import points
from coursekit.grading.grade import Row
from coursekit.notebooks import grade_id

WRITTEN = "reading_failures"
FULL = points(SOLUTION) | {WRITTEN: 4.0}
LIKELY = {
    "vocabulary": ("words = ['<pad>', 'a']", "['<pad>', 'The']", "capitals: 'Red' and 'red' are one word"),
    "lstm_step": ("c' [0, 2] = 0.0433 (to 1e-05)", "0.41, the largest difference is 0.9", "the gates are in the order i, g, f, o; nn.LSTM stacks them i, f, g, o"),
    "masked_loss": ("the loss = 2.56196 (to 1e-05)", "1.873, the largest difference is 0.69", "the mean is over padding too"),
    "captioner": ("a value", "RuntimeError: Tensors must have same number of dimensions: got 3 and 2 in line 9 of forward: x = torch.cat([picture, words], 1)", "the code stopped with an error before it returned"),
    "greedy": ("captions = [[5, 3, 3, 7], [4], []]", "[[5, 3, 3, 7, 2], [4, 2], [2]]", "<eos> is a signal, not a word of the caption"),
}  # fmt: skip


def failing(question, rng):
    """An error output as a check leaves it: one verdict, or that nothing is written yet."""
    if rng.random() < 0.2:
        text = f"○ {question}: not written yet"
    else:
        expected, got, likely = LIKELY.get(
            question, ("a value", "None", "the function does not return its result")
        )
        if rng.random() < 0.3:
            got, likely = f"{rng.random():.3f}", "the result has the wrong sign"
        text = f"✗ {question}\n  expected  {expected}\n  got       {got}\n  likely    {likely}"
    return dict(output_type="error", ename="CheckFailed", evalue=text, traceback=[text])


def student(name, number, rng, skill):
    """(row, record) of one student; the more skill, the more answers are right."""
    right = {
        q: rng.random() < skill + 0.25 * (q == "padding") - 0.3 * (q == "train") for q in QUESTIONS
    }
    answers = copied(MODEL | dict(rng.sample(sorted(FIRST.items()), 3)), number)
    marks, notebook = {}, handed_in(answers, [f"print({number})"])
    for cell in notebook["cells"]:
        key = grade_id(cell)
        if key in FULL and key != WRITTEN:
            question = key.rpartition("_")[0]
            held = right[question] or (key.endswith("open") and rng.random() < 0.3)
            marks[key] = FULL[key] * held
            cell["outputs"] = [] if held else [failing(question, rng)]
    waits = rng.random() < 0.2
    marks[WRITTEN] = None if waits else float(rng.randint(0, 4))
    score = sum(mark or 0.0 for mark in marks.values())
    row = Row(name, "graded", score, sum(FULL.values()), waits, questions=marks)
    record = dict(notebook=notebook, seconds=rng.gauss(96, 7), peak_mb=rng.gauss(905, 25))
    return row, record | dict(verdict="graded", notes=[])


def made_up_class(size=60):
    """(rows, records) of a class with everything in it that a report shows."""
    rng, rows, records = random.Random(0), [], {}
    for number in range(size - 4):
        name = f"student{number:02}"
        row, records[name] = student(name, number, rng, rng.betavariate(4, 2))
        rows.append(row)
    for name, answers, seed in (("alice", FIRST | SECOND, 900), ("mallory", FIRST | SECOND, 901)):
        row, record = student(name, 0, rng, 0.8)
        rows.append(row)
        records[name] = record | dict(notebook=handed_in(copied(answers, seed)))
    rows[3].notes = ["cells deleted or changed (repaired): train_open", "wrong name (repaired)"]
    records["student05"]["seconds"], records["student06"]["peak_mb"] = 611.0, 2890.0
    empty = dict.fromkeys(FULL)
    why = ["nothing handed in", "not a notebook: the file is not what Jupyter saves"]
    for name, status in zip(["absent", "zoe_broken"], why, strict=True):
        rows.append(Row(name, status, None, sum(FULL.values()), questions=dict(empty)))
        records[name] = dict(notebook=None, seconds=0.0, peak_mb=0.0, verdict=status, notes=[])
    return sorted(rows, key=lambda row: row.student), records
