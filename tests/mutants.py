"""How many small errors in the models, decoders and metrics the tests find: mutmut makes them, a sample is tried.

    python tests/mutants.py --sample 400 --seed 0
    python tests/mutants.py --sample 400 --seed 0 --again    those that were missed once more, after a change of the tests

`make mutants` calls it. mutmut, a copy of the tree and the verdicts lie in .build/mutants: a run that was cut off goes on,
and functions that have changed are tried anew. mutmut forks from a process that has met the tests, so what runs while
modules are imported counts as missed. Exit codes: 0 the share caught is FLOOR or more, 1 it is not, 3 the package index
cannot be reached.
"""

import argparse
import ast
import json
import os
import random
import subprocess
import sys

from drift import ROOT, Refused, Unreachable, uv

MUTMUT = "mutmut==3.8.1"
FLOOR = 0.80
PLACE = ROOT / ".build" / "mutants"
MUTATED = ["coursekit/models/*.py", "coursekit/decoding.py", "coursekit/metrics/*.py"]
# mutmut measures which test reaches which function; these files hold the quick tests that reach any of them
TESTS = "attention cache cider decoding digit_judge encoders gpt image_gpt intervals judgement lstm metrics pixel_metrics prefix published sources spice vit_gpt2"
TESTS = [f"tests/test_{name}.py" for name in TESTS.split()]
COPIED = ["coursekit", "tests", "benchmarks", "docs", "pyproject.toml"]
# A mutant has ten times the seconds of its tests and five more; what git says of the copy tells nothing
SETTINGS = dict(
    source_paths=["coursekit"], only_mutate=MUTATED, also_copy=COPIED[2:], pytest_add_cli_args_test_selection=TESTS,
    timeout_multiplier=["10"], timeout_constant=["5"], use_git_change_detection=["false"], on_dependency_change=["ignore"],
)  # fmt: skip
# Programs that a test starts meet the mutated package, too
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": "mutants"}
# Exit codes as mutmut keeps them: no test failed, or none reaches the function; and out of time
MISSED, LATE = {0, 5, 33}, {24, -24, 36, 152, 255}
MAKE = "from mutmut.__main__ import *; copy_src_dir(); copy_also_copy_files(); create_mutants(1)"


def install():
    """The folder of a venv's programs, with mutmut and all of the lock; made once."""
    venv = PLACE / "venv"
    if not (venv / "made").is_file():
        print(f"Installing {MUTMUT} into {venv.relative_to(ROOT)} ...", flush=True)
        uv("venv", "--clear", "--quiet", "--python", sys.executable, venv)
        where = ["--python", venv / "bin" / "python"]
        uv("pip", "install", "--quiet", *where, "-r", "requirements.txt", MUTMUT)
        (venv / "made").touch()
    return venv / "bin"


def copy(tree):
    """Brings the tree up to date; a file that has not changed keeps its time."""
    found = [path for name in COPIED for path in [ROOT / name, *(ROOT / name).rglob("*")]]
    for path in (one for one in found if one.is_file() and one.suffix != ".pyc"):
        text, target = path.read_bytes(), tree / path.relative_to(ROOT)
        if any(path.match(pattern) for pattern in MUTATED):
            text = bare(text.decode()).encode()
        if not target.is_file() or target.read_bytes() != text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(text)
    lines = ["\n    ".join([f"{key} =", *values]) for key, values in SETTINGS.items()]
    (tree / "setup.cfg").write_text("\n".join(["[mutmut]", *lines, ""]), encoding="utf-8")


def bare(source):
    """A module's text with decorators applied below their functions, since mutmut passes over decorated ones."""
    body, lines = ast.parse(source).body, source.splitlines(keepends=True)
    classes = [node for node in body if isinstance(node, ast.ClassDef)]
    nodes = [node for each in [body, *(one.body for one in classes)] for node in each]
    for node in sorted(nodes, key=lambda one: -one.lineno):
        names = [ast.unparse(one) for one in getattr(node, "decorator_list", [])]
        if names and node not in classes and not {"staticmethod", "classmethod"} & set(names):
            after = [f"{' ' * node.col_offset}{node.name} = {one}({node.name})\n" for one in names]
            lines[node.end_lineno : node.end_lineno] = reversed(after)
            del lines[node.decorator_list[0].lineno - 1 : node.lineno - 1]
    return "".join(lines)


def sample(mutants, count, seed):
    """`count` names of {file: names}, of each file in proportion: every so many-th of all, shuffled within files."""
    chance = random.Random(seed)
    names = [one for _, own in sorted(mutants.items()) for one in chance.sample([*own], len(own))]
    start, step = chance.random(), max(1, len(names) / count)
    return [names[int((start + number) * step)] for number in range(min(count, len(names)))]


def interval(caught, tried, z=1.96):
    """Wilson's 95 % interval of a share (1927); a little wide, since files are drawn in proportion."""
    share, extra = caught / tried, z * z / tried
    half = z * (share * (1 - share) / tried + extra / (4 * tried)) ** 0.5
    return tuple((share + extra / 2 + side * half) / (1 + extra) for side in (-1, 1))


def verdicts(tree):
    """{file: {name: exit code, None where not tried}} of every mutant."""
    found = {}
    for path in sorted((tree / "mutants").rglob("*.py.meta")):
        told = json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
        found[path.relative_to(tree / "mutants").with_suffix("").as_posix()] = told
    return found


def measure(tree, program, options):
    """Tries what is left of the sample; {file: {name: exit code}} of it."""
    run = {"cwd": tree, "env": dict(os.environ, **ENVIRONMENT)}
    subprocess.run([program / "python", "-c", MAKE], check=True, stdout=subprocess.DEVNULL, **run)
    drawn = set(sample(verdicts(tree), options.sample, options.seed))
    redo = {None, *MISSED, *LATE} if options.again else {None}
    kept = [pair for own in verdicts(tree).values() for pair in own.items()]
    left = [name for name, code in kept if name in drawn and code in redo]
    print(f"{len(drawn)} of {len(kept)} mutants drawn, {len(left)} to try.", flush=True)
    if left:
        subprocess.run([program / "mutmut", "run", "--max-children", "1", *left], **run)
    found = verdicts(tree).items()
    return {file: {name: own[name] for name in own if name in drawn} for file, own in found}


def summary(found):
    """Lines on {file: {name: exit code}}, the last with the share caught and its interval; and that share."""
    rows = {file: [one for one in own.values() if one is not None] for file, own in found.items()}
    rows["all"] = [code for own in rows.values() for code in own]
    lines = [f"{'':34}{'tried':>7}{'caught':>8}{'late':>6}{'missed':>8}"]
    for file, own in rows.items():
        missed, late = (sum(code in kind for code in own) for kind in (MISSED, LATE))
        lines.append(f"{file:34}{len(own):7}{len(own) - missed:8}{late:6}{missed:8}")
    if not own:
        return ["No mutant was tried."], 0.0
    share, (low, high) = 1 - missed / len(own), interval(len(own) - missed, len(own))
    lines.append(f"{share:.1%} caught (95 % interval {low:.1%} to {high:.1%}), late ones by their time")  # fmt: skip
    return lines, share


def main(arguments=None):
    """Measures and prints; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--sample", type=int, default=400, help="how many mutants")
    parser.add_argument("--seed", type=int, default=0, help="which")
    parser.add_argument("--again", action="store_true", help="also those not caught before")
    options, tree = parser.parse_args(arguments), PLACE / "tree"
    try:
        program = install()
    except (Refused, Unreachable) as error:
        print(f"NOT MEASURED: {error}.", file=sys.stderr)
        return 3 if isinstance(error, Unreachable) else 1
    copy(tree)
    found = measure(tree, program, options)
    for name in [name for own in found.values() for name in own if own[name] in MISSED]:
        subprocess.run([program / "mutmut", "show", name], cwd=tree)
    lines, share = summary(found)
    if left := sum(code is None for own in found.values() for code in own.values()):
        lines.append(f"{left} more were drawn and not tried: mutmut has ended before, see above.")
    print("\n".join(["", *lines]))
    return int(bool(left) or share < FLOOR)


if __name__ == "__main__":
    sys.exit(main())
