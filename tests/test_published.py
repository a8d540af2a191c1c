"""Published figures: each row has its source, and stands beside our own in one table."""

import pytest

from coursekit.errors import CourseError
from coursekit.metrics.captions import ORDER, Scores
from coursekit.metrics.intervals import Interval
from coursekit.metrics.published import ROWS, TAU_C, comparison_table, published


def test_rows_are_complete():
    for row in ROWS:
        assert row.scores and set(row.scores) <= set(ORDER), row
        assert row.source and row.differs and row.status in ("seen", "reprint"), row
        assert all(0 < value < 1.5 for value in row.scores.values()), row
        assert all(value < 1 for name, value in row.scores.items() if name != "CIDEr"), row
        bleu = [row.scores[name] for name in ORDER[:4] if name in row.scores]
        assert bleu == sorted(bleu, reverse=True), row
    assert len(set((row.system, row.data, row.source) for row in ROWS)) == len(ROWS)
    assert set(TAU_C) >= {"Bleu_4", "CIDEr", "SPICE"} and all(0 < tau < 1 for tau in TAU_C.values())


def test_published_of_a_set():
    names = {row.data for row in published()}
    assert names == {"flickr8k", "flickr30k", "coco", "conceptual"} and published() == list(ROWS)
    soft = next(row for row in published("flickr8k") if row.system.endswith("soft"))
    assert soft.scores == pytest.approx(
        {"Bleu_1": 0.67, "Bleu_2": 0.448, "Bleu_3": 0.299, "Bleu_4": 0.195, "METEOR": 0.1893}
    )
    with pytest.raises(CourseError, match="no published figures of 'scenes'; choose one of coco"):
        published("scenes")


def cells(table):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_table():
    ours = {
        "ours": Scores({"CIDEr": 0.4567, "Bleu_4": 0.1234}),
        "ours, with intervals": Scores({"Bleu_4": Interval(0.1234, 0.1111, 0.1356)}),
    }
    head, rule, *rows = cells(comparison_table(ours, "flickr8k"))
    assert head[0] == "system" and head[-2:] == ["source", "what differs"]
    assert {len(row) for row in (head, rule, *rows)} == {len(head)}
    bleu, cider = head.index("BLEU-4"), head.index("CIDEr")
    assert rows[0][bleu] == "12.3" and rows[0][cider] == "45.7" and rows[0][-2] == "here"
    assert rows[1][bleu] == "12.3 (11.1 to 13.6)" and rows[1][cider] == ""
    assert len(rows) == 2 + len(published("flickr8k"))
    soft = next(row for row in rows if row[0].endswith("soft"))
    assert soft[bleu] == "19.5" and "1502.03044" in soft[-2] and "VGG" in soft[-1]
    assert "SPICE" not in head  # a column nobody fills


def test_table_of_ours_alone_and_odd_names():
    head, _, row = cells(comparison_table({"a b\nc": {"Bleu_1": 1.0}}))
    assert head == ["system", "BLEU-1", "source", "what differs"] and row[0] == "a b c"
    assert "a\\|b" in comparison_table({"a|b": {"Bleu_1": 1.0}})


@pytest.mark.parametrize("rows", [{}, {"ours": {}}, {"ours": 0.3}])
def test_no_rows(rows):
    with pytest.raises(CourseError, match="Give rows as"):
        comparison_table(rows)
    if not rows:
        assert comparison_table(rows, "coco").startswith("| system")
