"""What a factorial study found, as text, tables and figures."""

import csv
from pathlib import Path

from coursekit.errors import writing
from coursekit.plots.charts import PIXELS_PER_INCH
from coursekit.plots.studies import dots


def text(found):
    """All cells and effects as aligned tables, two for each group of scores, and what they say."""
    parts = []
    for group, scores in found.study.scores.items():
        for title, table in _tables(found, scores):
            parts.append(f"{group}: {title}\n{_aligned(table)}")
        parts.append("\n".join(finding(found, key) for key in scores))
    return "\n\n".join(parts)


def write(found, out):
    """Leaves report.md with its figures, and cells.csv, summary.csv and effects.csv in the folder `out`."""
    out = Path(out)
    _csv(out / "cells.csv", _rows(found))
    _csv(out / "summary.csv", _summaries(found))
    _csv(out / "effects.csv", _effects(found))
    parts = [f"# Ablation: {found.study.name}\n", f"{_about(found.study)}\n"]
    for group, scores in found.study.scores.items():
        parts += [f"## {group}\n", *(f"- {finding(found, key)}" for key in scores), ""]
        for name, figure, alt in _figures(found, group, scores):
            _picture(out / name, figure, alt)
            parts.append(f"![{alt}]({name})\n")
        for title, table in _tables(found, scores):
            parts += [f"{title[0].upper()}{title[1:]}:\n", _markdown(table), ""]
    with writing(out / "report.md") as path:
        path.write_text("\n".join(parts), encoding="utf-8")


def _about(study):
    cells, seeds = len(study.combinations()), ", ".join(map(str, study.seeds))
    return (
        f"{cells} cells, each trained with the seeds {seeds}. Intervals are Student's t over the seeds; "
        "of 20 of them one misses what it should hold by chance."
    )


def finding(found, key):
    """What changes a score most, in a line: of the choices whose interval leaves out 0 the one furthest from it."""
    group, score = next((g, each[key]) for g, each in found.study.scores.items() if key in each)
    name, effects = f"{score.name} ({group})", found.effects(key)
    if not effects:
        return f"{name} of a single cell"
    if len(found.study.seeds) == 1:
        return f"One seed cannot tell what changes {name} from chance"
    sure = [each for each in effects if abs(each["mean"]) > each["half_width"]]
    if not sure:
        return f"No choice changes {name} further than seeds do"
    most = max(sure, key=lambda each: abs(each["mean"]))
    return (
        f"{name} changes most with {most['level']} instead of {most['against']}: {_told(most, '+')}"
    )


def _tables(found, scores):
    """(title, rows of strings, names first) of a group's cells and of its effects, where there is a choice."""
    seeds = len(found.study.seeds)
    over = f"mean of {seeds} seeds ± half of its 95 % interval" if seeds > 1 else "one seed"
    spread = " (standard deviation)" if seeds > 1 else ""
    tables = [(f"every cell, {over}{spread}", _cells_table(found, scores))]
    if effects := _effects_table(found, scores):
        tables.append((f"what one choice changes, all else equal, {over}", effects))
    return tables


def _cells_table(found, scores):
    study = found.study
    rows = [[*study.factors, *(each.name for each in scores.values()), *study.costs.values()]]
    for levels in study.combinations():
        told = [_told(found.cell(levels, key), sd=True) for key in scores]
        costs = [f"{found.cell(levels, key)['mean']:,.0f}" for key in study.costs]
        rows.append([*levels.values(), *told, *costs])
    return rows


def _effects_table(found, scores):
    columns = [found.effects(key) for key in scores]
    names = [f"{each['factor']}: {_choice(each)}" for each in columns[0]]
    rows = [
        [name, *(_told(e, "+") for e in row)] for name, *row in zip(names, *columns, strict=True)
    ]
    return [["choice", *(each.name for each in scores.values())], *rows] if rows else []


def _choice(effect):
    return f"{effect['level']} − {effect['against']}"


def _told(told, sign="", sd=False):
    mean = f"{told['mean']:{sign}.3f}"
    if told["sd"] is None:
        return mean
    return f"{mean} ± {told['half_width']:.3f}" + (f" ({told['sd']:.3f})" if sd else "")


def _ends(told):
    """Both ends of an interval; None for that of one seed."""
    half = told["half_width"]
    return (None, None) if half is None else (told["mean"] - half, told["mean"] + half)


def _aligned(rows):
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    words = sum(not any(letter.isdigit() for letter in cell) for cell in rows[-1])
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if k < words else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _markdown(rows):
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, f"|{'---|' * len(rows[0])}", *body])


def _rows(found):
    """One line a cell and seed: all that was measured."""
    return [row.levels | {"seed": row.seed} | row.values for row in found.rows]


def _summaries(found):
    """One line a cell and number."""
    study = found.study
    return [
        levels | {"score": key} | _interval(found.cell(levels, key), len(study.seeds))
        for levels in study.combinations()
        for key in (*study.keys(), *study.costs)
    ]


def _effects(found):
    """One line a choice and score."""
    names = ("factor", "level", "against")
    return [
        {name: each[name] for name in names}
        | {"score": key}
        | _interval(each, len(each["seeds"]))
        | {name: each[name] for name in ("cells", "above")}
        for key in found.study.keys()
        for each in found.effects(key)
    ]


def _interval(told, seeds):
    low, high = _ends(told)
    return {"mean": told["mean"], "sd": told["sd"], "low": low, "high": high, "seeds": seeds}


def _csv(path, rows):
    names = list(dict.fromkeys(name for row in rows for name in row))
    with writing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, names)
        table.writeheader()
        table.writerows(rows)


def _figures(found, group, scores):
    """(file name, figure, text for those who cannot see it): the first score cell by cell, all scores' effects."""
    seeds = len(found.study.seeds)
    note = f"mean of {seeds} seeds and its 95 % interval" if seeds > 1 else "one seed"
    key, score = next(iter(scores.items()))
    title = finding(found, key)
    figure = dots(_panels(found, key), title, f"{score.name} ({score.unit})", note)
    drawn = [(f"cells-{group}.png", figure, _cells_alt(found, key, f"{score.name}, {note}"))]
    if found.effects(key):
        panels = {
            each.name: {_choice(e): {"": (e["mean"], e["half_width"])} for e in found.effects(key)}
            for key, each in scores.items()
        }
        figure = dots(panels, title, "difference", note, zero=True)
        drawn.append((f"effects-{group}.png", figure, _effects_alt(found, group, scores)))
    return drawn


def _panels(found, key):
    """{levels of all further factors: {level of the first: {level of the second: (mean, half-width)}}}."""
    panels = {}
    for levels in found.study.combinations():
        row, *names = levels.values()
        told = found.cell(levels, key)
        panel = panels.setdefault(", ".join(names[1:]), {})
        panel.setdefault(row, {})["".join(names[:1])] = (told["mean"], told["half_width"])
    return panels


def _cells_alt(found, key, label):
    means = {
        ", ".join(levels.values()): found.cell(levels, key)["mean"]
        for levels in found.study.combinations()
    }
    low, high = min(means, key=means.get), max(means, key=means.get)
    return (
        f"Dots with intervals, one for each of {len(means)} cells: {label}. Lowest {means[low]:.3f} "
        f"with {low}; highest {means[high]:.3f} with {high}. {finding(found, key)}."
    )


def _effects_alt(found, group, scores):
    told = [
        f"{score.name}: " + ", ".join(f"{_choice(e)} {_told(e, '+')}" for e in found.effects(key))
        for key, score in scores.items()
    ]
    return f"Differences that one choice makes, all else equal, {group}. {'; '.join(told)}."


def _picture(path, figure, alt):
    with writing(path) as temporary:
        figure.savefig(temporary, dpi=2 * PIXELS_PER_INCH, metadata={"Description": alt})
