"""Illnesses of training: for each a small panel, the curve of the ill run beside that of the cured one."""

from coursekit.errors import CourseError
from coursekit.plots.charts import BLUE, RED, panels


def illnesses(cases, title, columns=3):
    """A panel for each illness, its ill curve dashed and red, its cured one blue.

    cases: {name: {"ill": (xs, ys), "cured": (xs, ys), "y": what the curves show, with its unit}}; with "log" True the
    panel's y axis is logarithmic, and "x" names the x axis where it is not steps.
    Raises CourseError if there is no case, or one lacks a curve.
    """
    _check(cases)
    columns = max(1, min(columns, len(cases)))
    rows = -(-len(cases) // columns)
    size = dict(width=3.1 * columns, height=2.4 * rows + 0.7)
    figure, grid = panels(rows, columns, title=title, squeeze=False, **size)
    for axes in grid.flat[len(cases) :]:
        axes.axis("off")
    for axes, (name, case) in zip(grid.flat, cases.items(), strict=False):
        axes.plot(*case["ill"], color=RED, linestyle="--", label="ill")
        axes.plot(*case["cured"], color=BLUE, label="cured")
        axes.set_title(name, fontsize=10)
        axes.set_xlabel(case.get("x", "steps"), fontsize=9)
        axes.set_ylabel(case["y"], fontsize=9)
        if case.get("log"):
            axes.set_yscale("log")
        if all(float(x).is_integer() for x in (*case["ill"][0], *case["cured"][0])):
            axes.xaxis.get_major_locator().set_params(integer=True)
    grid.flat[0].legend(fontsize=9)
    return figure


def illnesses_alt(cases):
    """The panels for those who cannot see them: where each curve begins and ends."""
    _check(cases)
    told = []
    for name, case in cases.items():
        ends = [
            f"{kind} from {case[kind][1][0]:.2f} to {case[kind][1][-1]:.2f}"
            for kind in ("ill", "cured")
        ]
        told.append(f"{name}, {case['y']}: {', '.join(ends)}")
    return "Curves of ill runs beside cured ones. " + "; ".join(told) + "."


def _check(cases):
    if not cases:
        raise CourseError("There is no illness to show: give at least one case.")
    for name, case in cases.items():
        for kind in ("ill", "cured"):
            xs, ys = case.get(kind, ((), ()))
            if not len(xs) or len(xs) != len(ys):
                raise CourseError(
                    f"The case '{name}' needs a curve '{kind}': (xs, ys), equally long and not empty."
                )
