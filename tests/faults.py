"""Broken and hostile submissions to the small course, each with the verdict that it must get.

`FAULTS` maps a name to a Fault: how to hand it in, what it is worth, and what the row must say.
Points are (test_double, test_largest, test_share), or None where there can be no mark.
"""

import json
import re
from dataclasses import dataclass

from small_course import answered

RIGHT = "def double(x):\n    return 2 * x\n"
WRONG = "def double(x):\n    return 5 * x\n"
LARGEST = "largest_of_all = 3"
FULL, NO_DOUBLE, NOTHING = (3, 2, 4), (0, 2, 0), (0, 0, 0)
# test_share gives one point for double and three for largest_of_all
WRONG_DOUBLE = (0, 2, 3)
FAULTS = {}
ANY = "any mark, but a mark"


@dataclass
class Fault:
    """write: function(folder of the assignment, path of the released notebook)."""

    write: object
    points: tuple | None
    says: str = ""


def fault(name, points, says=""):
    """Registers a function(folder, released) that hands something in."""

    def keep(write):
        FAULTS[name] = Fault(write, points, says)
        return write

    return keep


def code(name, double, points, says="", largest=LARGEST):
    """A fault that lies in the answers."""

    def write(folder, released):
        put(folder, answered(released, {"double": double, "largest": largest}))

    FAULTS[name] = Fault(write, points, says)


def put(folder, text, name="small.ipynb"):
    """Writes one file of a submission."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def notebook(released, double=RIGHT, largest=LARGEST):
    """A well-answered notebook as a dict, for further damage."""
    return json.loads(answered(released, {"double": double, "largest": largest}))


def damaged(name, points, says=""):
    """Registers a function(notebook dict, cells by grade_id) that damages a right notebook."""

    def keep(change):
        def write(folder, released):
            made = notebook(released)
            cells = {
                c["metadata"]["nbgrader"]["grade_id"]: c
                for c in made["cells"]
                if "nbgrader" in c["metadata"]
            }
            change(made, cells)
            put(folder, json.dumps(made))

        FAULTS[name] = Fault(write, points, says)
        return change

    return keep


# --- honest work ------------------------------------------------------------------------------
code("right", RIGHT, FULL)
code("wrong", WRONG, WRONG_DOUBLE)
code("half", "def double(x):\n    return 2 * int(x)", (0, 2, 4))
code("syntax error", "def double(x:\n    return", NO_DOUBLE)
code(
    "stderr and bars",
    "import sys, warnings\nfrom tqdm import tqdm\n\ndef double(x):\n    warnings.warn('careful')\n"
    "    print('oh', file=sys.stderr)\n    return sum(x for _ in tqdm(range(2)))",
    FULL,
)

# --- endless, loud, greedy --------------------------------------------------------------------
STUCK = "out of time in"
code("endless cell", RIGHT + "while True:\n    pass", NO_DOUBLE, f"{STUCK} cell double")
code("endless function", "def double(x):\n    while True:\n        pass", NO_DOUBLE, STUCK)
code(
    "swallows everything",
    "import time\n\ndef double(x):\n    while True:\n        try:\n            time.sleep(1)\n"
    "        except BaseException:\n            pass",
    NO_DOUBLE,
    STUCK,
)
code("sleeps", "import time\n\ndef double(x):\n    time.sleep(10**6)", NO_DOUBLE, STUCK)
LOUD = "too much output in"
code("prints for ever", "while True:\n    print('x' * 1000)", NO_DOUBLE, LOUD)
code("prints 100 MB", RIGHT + "print('x' * 10**8)", NO_DOUBLE, LOUD)
code(
    "prints when asked",
    "def double(x):\n    while True:\n        print('x' * 1000)",
    NO_DOUBLE,
    LOUD,
)
code("30 GB", RIGHT + "kept = bytearray(30 * 2**30)", FULL)
code(
    "grows",
    RIGHT + "kept = []\nwhile True:\n    kept.append(bytearray(10**8))",
    FULL,
)
code("deep recursion", "def double(x):\n    return double(x)", NO_DOUBLE)
code(
    "fork bomb",
    "import os\n\ndef double(x):\n    while True:\n        try:\n            os.fork()\n"
    "        except OSError:\n            pass",
    NO_DOUBLE,
)
code(
    "10 GB written",
    RIGHT + "with open('big', 'wb') as file:\n    for _ in range(10**4):\n"
    "        file.write(bytes(10**6))",
    FULL,
)

# --- dies -------------------------------------------------------------------------------------
DEAD = "kernel died in"
code("_exit", RIGHT + "import os\nos._exit(0)", NO_DOUBLE, f"{DEAD} cell double")
code("killed", RIGHT + "import os\nos.kill(os.getpid(), 9)", FULL)  # the first process of its world
code("_exit when asked", "import os\n\ndef double(x):\n    os._exit(0)", NO_DOUBLE, DEAD)
code("aborted when asked", "import os\n\ndef double(x):\n    os.abort()", NO_DOUBLE, DEAD)
code("crash", RIGHT + "import ctypes\nctypes.string_at(0)", NO_DOUBLE, f"{DEAD} cell double")
code("sys.exit", "import sys\nsys.exit()\n" + RIGHT, NO_DOUBLE)
code("exit()", RIGHT + "exit()", FULL)
code("kills all", RIGHT + "import os\nos.kill(-1, 9)", FULL)

# --- the notebook itself ----------------------------------------------------------------------


@damaged("test deleted", FULL, "test_double")
def _(made, cells):
    made["cells"].remove(cells["test_double"])


@damaged("test duplicated", FULL, "test_double")
def _(made, cells):
    made["cells"].append(dict(cells["test_double"], id="other"))


@damaged("test edited", FULL, "test_double")
def _(made, cells):
    cells["test_double"]["source"] = "pass"


@damaged("test turned to markdown", FULL, "test_double")
def _(made, cells):
    cell = cells["test_double"]
    cell["cell_type"] = "markdown"
    cell.pop("outputs")
    cell.pop("execution_count")


@damaged("points edited", FULL)
def _(made, cells):
    cells["test_double"]["metadata"]["nbgrader"]["points"] = 1000


@damaged("metadata stripped", FULL)
def _(made, cells):
    for cell in made["cells"]:
        cell["metadata"] = {}


@damaged("kernel renamed", FULL)
def _(made, cells):
    made["metadata"]["kernelspec"] = dict(name="my-own", display_name="Mine", language="r")


@damaged("answer deleted", NO_DOUBLE)
def _(made, cells):
    made["cells"].remove(cells["double"])


@damaged("2,000 cells", FULL)
def _(made, cells):
    for number in range(2000):
        made["cells"].append(
            dict(
                cell_type="markdown" if number % 50 else "code",
                id=f"n{number}",
                metadata={},
                source="1 + 1",
                **({} if number % 50 else dict(outputs=[], execution_count=None)),
            )
        )


@damaged("50 MB", FULL)
def _(made, cells):
    text = "x" * 5_000_000
    cells["double"]["outputs"] = [dict(output_type="stream", name="stdout", text=text)] * 10


@fault("not JSON", None, "not a notebook")
def _(folder, released):
    put(folder, '{"cells": [')


@fault("empty", None, "not a notebook")
def _(folder, released):
    put(folder, "")


@fault("not UTF-8", None, "not a notebook")
def _(folder, released):
    put(folder, b'{"cells": [\xff\xfe]}')


@fault("no notebook", None, "no notebook")
def _(folder, released):
    put(folder, "I could not do it.", "note.txt")


@fault("nothing", None, "nothing handed in")
def _(folder, released):
    folder.parent.mkdir(parents=True, exist_ok=True)


@fault("wrong name", FULL, "wrong name")
def _(folder, released):
    put(folder, json.dumps(notebook(released)), "small (1).ipynb")


@fault("link out", None, "")
def _(folder, released):
    folder.mkdir(parents=True)
    (folder / "small.ipynb").symlink_to("/etc/passwd")


@fault("links beside", FULL)
def _(folder, released):
    put(folder, json.dumps(notebook(released)))
    (folder / "gradebook").symlink_to("/etc/passwd")


@fault("own torch", FULL)
def _(folder, released):
    put(folder, json.dumps(notebook(released, "import torch\n" + RIGHT)))
    put(folder, "raise SystemExit", "torch.py")
    put(folder / "coursekit", "raise SystemExit", "__init__.py")
    put(folder / "coursekit" / "grading", "raise SystemExit", "far.py")


@fault("own helper", FULL)
def _(folder, released):
    put(folder, json.dumps(notebook(released, "from helper import double")))
    put(folder, RIGHT, "helper.py")


# --- forgeries: each gets the mark of what it computes ----------------------------------------
code(
    "AssertionError rewritten",
    "import builtins\nclass Never(Exception):\n    def __new__(cls, *a):\n        raise SystemExit\n"
    "builtins.AssertionError = Never\n" + WRONG,
    WRONG_DOUBLE,
)
code(
    "asserts dropped",
    "import ast\n\nclass Drop(ast.NodeTransformer):\n    def visit_Assert(self, node):\n"
    "        return ast.Pass()\n\nget_ipython().ast_transformers.append(Drop())\n" + WRONG,
    WRONG_DOUBLE,
)
code(
    "allclose patched",
    "import torch, numpy\ntorch.allclose = numpy.allclose = lambda *a, **k: True\n"
    "numpy.testing.assert_allclose = lambda *a, **k: None\n" + WRONG,
    WRONG_DOUBLE,
)
EQUAL = (
    "class Equal{base}:\n    def __eq__(self, other):\n        return True\n"
    "    def __ne__(self, other):\n        return False\n    __hash__ = None\n"
)
code(
    "equal to everything",
    EQUAL.format(base="") + "def double(x):\n    return Equal()",
    WRONG_DOUBLE,
)
code(
    "an int equal to everything",
    EQUAL.format(base="(int)") + "def double(x):\n    return Equal(7)",
    (0, 0, 0),
    largest="largest_of_all = Equal(7)",
)
code(
    "kernel reply forged",
    "kernel = get_ipython().kernel\n\ndef forged(stream, ident, parent, *a, **k):\n"
    "    content = dict(status='ok', execution_count=1, payload=[], user_expressions={})\n"
    "    kernel.session.send(stream, 'execute_reply', content, parent, ident=ident)\n\n"
    "kernel.do_execute = forged\n" + WRONG,
    NO_DOUBLE,
)
code(
    "frame that reads the test",
    "import sys\n\ndef double(x):\n    frame, told = sys._getframe(), ''\n    while frame:\n"
    "        told += repr(frame.f_globals.get('In', ''))[-2000:]\n        frame = frame.f_back\n"
    "    return 4 if 'double(2) == 4' in told else 3.0 if 'keep fractions' in told else 0",
    WRONG_DOUBLE,
)
SEEK = """\
import os
found = []
for top in ("/", os.path.expanduser("~"), os.getcwd()):
    for place, folders, names in os.walk(top):
        folders[:] = [f for f in folders if os.path.join(place, f) not in ("/proc", "/sys", "/usr")]
        for name in names:
            if name.endswith((".ipynb", ".db", ".json", ".sqlite")) and "site-packages" not in place:
                try:
                    text = open(os.path.join(place, name), "rb").read()
                except OSError:
                    continue
                if ("keep" + " fractions").encode() in text or b"SQLite" in text[:20]:
                    found.append(os.path.join(place, name))
for name in list(globals()):
    if "keep" + " fractions" in repr(globals()[name])[:100000]:
        found.append(name)
history = list(get_ipython().history_manager.get_range(raw=True))
found += [h for h in history if "test_" + "double" in str(h)]
print("FOUND", found) if found else print("nothing found")

def double(x):
    return (2 if found else 5) * x
"""
code("seeks the tests", SEEK, WRONG_DOUBLE)

# --- reaches for others -----------------------------------------------------------------------
code(
    "writes elsewhere",
    RIGHT + "import os\nfor top in ('/', '/home', '/root', '/tmp/..', os.getcwd() + '/../..'):\n"
    "    for name in ('gradebook.db', 'submitted/right/small/small.ipynb'):\n        try:\n"
    "            os.makedirs(os.path.dirname(os.path.join(top, name)), exist_ok=True)\n"
    "            open(os.path.join(top, name), 'w').write('mine')\n"
    "        except OSError:\n            pass",
    FULL,
)
MARK = "left-behind-by-a-student"
code(
    "daemon",
    RIGHT + "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
    f"        open('/proc/self/comm', 'w').write('{MARK[:15]}') if os.path.exists('/proc/self/comm')"
    " else None\n        time.sleep(10**5)\n    os._exit(0)",
    FULL,
)
code(
    "socket",
    "import socket\nreached = True\ntry:\n    socket.create_connection(('127.0.0.1', PORT), 2)\n"
    "except OSError:\n    reached = False\n\ndef double(x):\n    return (5 if reached else 2) * x",
    FULL,
)
code(
    "script in HTML",
    RIGHT + "from IPython.display import HTML, display\n"
    "display(HTML('<script>window.hacked = 1</script><img src=x onerror=\"window.hacked=1\">'))",
    FULL,
)

code(
    "no number of points",
    "import numpy as np\n\ndef double(x):\n    return np.array([9, 9])",
    (0, 0, 0),
    largest="largest_of_all = 7",
)
code(
    "array of points", "import torch\n\ndef double(x):\n    return torch.tensor([9, 9])", NO_DOUBLE
)
SAY = (
    "kernel = get_ipython().kernel\n\ndef say(kind, content):\n"
    "    kernel.session.send(kernel.iopub_socket, kind, content, parent=kernel.get_parent())\n\n"
)
code("odd message", RIGHT + SAY + "say('comm_open', {})\nsay('stream', {})", ANY)
code(
    "count that is no number",
    RIGHT
    + SAY
    + "say('status', dict(execution_state='busy', execution_count='KeyboardInterrupt'))",
    ANY,
)
code(
    "wide metadata",
    RIGHT + SAY + "say('display_data', dict(data={}, metadata={'x': 'y' * 10**7}))",
    ANY,
)
code(
    "display updated",
    RIGHT + "from IPython.display import display\nshown = display('one', display_id=True)",
    FULL,
    largest=LARGEST + "\nshown.update('two')",
)
code(
    "table of pages",
    RIGHT
    + "import mmap\ntry:\n    kept = mmap.mmap(-1, 2**40, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n"
    "    reached = True\nexcept OSError:\n    reached = False\n\n"
    "def double(x):\n    return (5 if reached else 2) * x",
    FULL,
)
code(
    "large socket buffers",
    "import socket\nreached, pair = True, socket.socketpair()\ntry:\n"
    "    pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 10**6)\nexcept OSError:\n"
    "    reached = False\n\ndef double(x):\n    return (5 if reached else 2) * x",
    FULL,
)
TURNING = """\
import coursekit.grading.exam.far as far
class Turning(dict):
    count = 0
    def __getitem__(self, name):
        if name != "largest_of_all":
            return dict.__getitem__(self, name)
        Turning.count += 1
        return 3 if Turning.count % 2 else 7
old = far._Server.__init__
far._Server.__init__ = lambda self, link, names: old(self, link, Turning(names))
largest_of_all = 7
"""
code("another value at every look", RIGHT, ANY, largest=TURNING)
code("tells what it is asked", "def double(x):\n    print('ASKED', x)\n    return 2 * x", FULL)

# --- odd things students do -------------------------------------------------------------------
code("asks for input", "name = input('your name? ')\n" + RIGHT, NO_DOUBLE)
code("stdout taken away", RIGHT + "import sys\nsys.stdout = sys.stderr = None", NO_DOUBLE)
code("reset", RIGHT + "%reset -f", NO_DOUBLE)
code("pip install", "!pip install nothing\n" + RIGHT, FULL)
code("changes folder", "import os\nos.chdir('/')\n" + RIGHT, FULL)
code("timed cell", "%%time\n" + RIGHT, FULL)
code(
    "builtins broken",
    "import builtins\nbuiltins.len = builtins.print = builtins.open = None\n" + RIGHT,
    NO_DOUBLE,
)
code(
    "an error without a text",
    "class Odd(Exception):\n    def __str__(self):\n        raise RuntimeError\n\n"
    "def double(x):\n    raise Odd",
    NO_DOUBLE,
)
code(
    "endless iterator",
    "import itertools\n\ndef double(x):\n    return itertools.count()",
    WRONG_DOUBLE,
)
code(
    "a fraction",
    "from fractions import Fraction\n\ndef double(x):\n    return Fraction(2) * x",
    WRONG_DOUBLE,
)
code("numpy", "import numpy as np\n\ndef double(x):\n    return np.float64(2) * x", FULL)
code("torch", "import torch\n\ndef double(x):\n    return torch.tensor(2.0) * x", FULL)
code(
    "threads",
    RIGHT + "import threading, time\nthreading.Thread(target=time.sleep, args=(10**5,)).start()",
    FULL,
)


def student(name):
    """The student who hands in a fault."""
    return re.sub(r"[(),]", "", name).replace(" ", "-")


def write_all(folder, released, names=None, port=9):
    """Hands in every fault, one student each: {student: Fault}."""
    made = {}
    for name in names or FAULTS:
        FAULTS[name].write(folder / student(name) / "small", released)
        path = folder / student(name) / "small" / "small.ipynb"
        if name == "socket":
            path.write_text(path.read_text().replace("PORT", str(port)))
        made[student(name)] = FAULTS[name]
    return made
