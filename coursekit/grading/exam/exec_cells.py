"""Runs code cells as a kernel would, without IPython: the body of a forked process of `bank`."""

import ast
import io
import json
import linecache
import os
import re
import shutil
import sys
import tempfile
import types
import warnings
from contextlib import redirect_stderr, redirect_stdout


def main(sources, folder, result, environment):
    """Runs `sources` in order in a copy of `folder`; writes each cell's outputs to `result`."""
    os.environ.clear()
    os.environ.update(environment)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(prefix="coursekit-cells-") as scratch:
        if folder:
            leave = shutil.ignore_patterns("*.ipynb", ".*", "__pycache__")
            shutil.copytree(folder, scratch, ignore=leave, dirs_exist_ok=True)
        os.chdir(scratch)
        namespace = _main_module()
        outputs = [outputs_of(source, number, namespace) for number, source in enumerate(sources)]
        os.chdir(os.sep)
    partial = f"{result}.part"
    with open(partial, "w", encoding="utf-8") as file:
        json.dump(outputs, file)
    os.replace(partial, result)
    os._exit(0)  # threads that a cell left behind must not keep the process


def _main_module():
    """A fresh `__main__`, so that classes of the notebook can be pickled and inspected."""
    module = types.ModuleType("__main__")
    module.display = print
    sys.modules["__main__"] = module
    sys.path.insert(0, os.getcwd())
    return module.__dict__


def outputs_of(source, number, namespace):
    """A cell's outputs in the notebook format: streams, then an error or the last value."""
    out, err, last = io.StringIO(), io.StringIO(), []
    with redirect_stdout(out), redirect_stderr(err):
        try:
            value = _execute(source, f"<cell {number}>", namespace)
            if value is not None:
                last = [_result(value, number)]
        except BaseException as error:  # a kernel outlives SystemExit and KeyboardInterrupt too
            last = [_error(error)]
    streams = [("stdout", out.getvalue()), ("stderr", err.getvalue())]
    shown = [dict(output_type="stream", name=name, text=text) for name, text in streams if text]
    return shown + last


def _result(value, number):
    data = {"text/plain": repr(value)}
    return dict(output_type="execute_result", data=data, metadata={}, execution_count=number)


def _execute(source, filename, namespace):
    """Runs a cell; the value of its last expression, or None."""
    try:
        tree = ast.parse(source, filename)
    except SyntaxError:
        source = _without_magics(source)
        tree = ast.parse(source, filename)
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    quiet = source.rstrip().endswith(";")
    ends_in_value = tree.body and isinstance(tree.body[-1], ast.Expr) and not quiet
    last = tree.body.pop() if ends_in_value else None
    exec(compile(tree, filename, "exec"), namespace)
    if last is not None:
        return eval(compile(ast.Expression(last.value), filename, "eval"), namespace)


def _without_magics(source):
    """IPython's own lines (`%matplotlib inline`, `!ls`) become `pass`; a `%%` cell nothing."""
    if source.startswith("%%"):
        return ""
    return re.sub(r"^(\s*)[%!](?=[A-Za-z])", r"\1pass  # ", source, flags=re.M)


def _error(error):
    """An error output: an exception that draws its own traceback is shown as it draws itself."""
    draw = getattr(error, "_render_traceback_", None)
    lines = draw() if draw else [f"{type(error).__name__}: {error}"]
    text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(line.rstrip("\n") for line in lines or []))
    return dict(
        output_type="error",
        ename=type(error).__name__,
        evalue=text or str(error),
        traceback=[text],
    )
