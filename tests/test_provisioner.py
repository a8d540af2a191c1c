"""Walled kernels as jupyter_client and nbclient use them: here, and inside an examiner."""

import asyncio
import os
import signal
from importlib.metadata import entry_points

import psutil
import pytest

from coursekit.errors import CourseError
from coursekit.grading.exam import walls, zygote
from coursekit.grading.exam.provisioner import WalledProvisioner
from coursekit.notebooks import quick_import

with quick_import():
    import nbformat
    from jupyter_client.manager import AsyncKernelManager, KernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

NAME = "coursekit-walled"


@pytest.fixture(scope="module", params=[pytest.param("walls", marks=pytest.mark.walls), "trust"])
def mode(request):
    """Kernels come from one zygote a mode."""
    with zygote.start(request.param == "trust") as one:
        yield one


@pytest.fixture(autouse=True)
def address(mode, monkeypatch):
    monkeypatch.setenv(zygote.ADDRESS, mode.address)


def manager(kind=AsyncKernelManager, **config):
    made = kind(kernel_name="python3")
    chosen = {"provisioner_name": NAME, "config": config}
    made.kernel_spec.metadata["kernel_provisioner"] = chosen
    return made


def executed(*sources, manager_=None, **settings):
    """A notebook of these cells, run; its manager has shut the kernel down."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    notebook, manager_ = nbformat.v4.new_notebook(cells=cells), manager_ or manager()
    client = NotebookClient(notebook, km=manager_, timeout=60, **settings)
    try:
        client.execute(cleanup_kc=True)
    finally:
        assert not asyncio.run(manager_.is_alive())
    return notebook


def printed(notebook):
    return ["".join(out.get("text", "") for out in cell.outputs) for cell in notebook.cells]


def test_jupyter_client_knows_it():
    (found,) = entry_points(group="jupyter_client.kernel_provisioners", name=NAME)
    assert found.load() is WalledProvisioner


def test_a_notebook_runs():
    one = manager(files={"x.txt": "aGVsbG8="}, environment={"COURSEKIT_SIZE": "smoke"})
    notebook = executed(
        "import os\nprint(open('x.txt').read(), os.environ['COURSEKIT_SIZE'])",
        "import matplotlib.pyplot as plt\nplt.plot([1, 2]);",
        "import sys; print('oh', file=sys.stderr)\n!echo from a shell",
        "6 * 7",
        manager_=one,
    )
    assert printed(notebook)[0] == "hello smoke\n"
    assert [list(out.data) for out in notebook.cells[1].outputs] == [["text/plain", "image/png"]]
    assert {out.get("name") for out in notebook.cells[2].outputs} == {"stderr", "stdout"}
    assert notebook.cells[3].outputs[0].data["text/plain"] == "42"
    assert one.provisioner.report["peak_mb"] > 1


def test_what_start_kernel_is_told_comes_first():
    one = manager(limits={"cpu_seconds": 9}, files={"x.txt": "aGVsbG8="})

    async def limit():
        await one.start_kernel(walled={"limits": {"cpu_seconds": 50}})
        client = one.client()
        client.start_channels()
        await client.wait_for_ready(timeout=60)
        code = "import os, resource; x = resource.getrlimit(resource.RLIMIT_CPU), os.listdir()"
        number = client.execute(code, user_expressions={"x": "x"})
        while (reply := await client.get_shell_msg(timeout=60))["parent_header"][
            "msg_id"
        ] != number:
            pass
        await one.shutdown_kernel()
        client.stop_channels()
        return reply["content"]["user_expressions"]["x"]["data"]["text/plain"]

    assert asyncio.run(limit()) == "((50, 50), ['x.txt'])"


def test_a_blocking_manager_works_and_restarts(mode):
    one = manager(KernelManager)
    one.start_kernel()
    first = one.provisioner.kernel.connection["ip"]
    assert one.is_alive()
    one.restart_kernel(now=True)
    assert one.is_alive() and one.provisioner.kernel.connection["ip"] != first
    client = one.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    assert client.execute_interactive("1 + 1", timeout=60)["content"]["status"] == "ok"
    client.stop_channels()
    one.shutdown_kernel()
    assert not one.is_alive() and one.provisioner.report["code"] == 0
    assert not os.path.exists(os.path.dirname(first))


def test_a_cell_without_end_is_interrupted():
    for interrupt_mode in ("signal", "message"):
        one = manager()
        one.kernel_spec.interrupt_mode = interrupt_mode
        notebook = executed(
            "while True: pass",
            "print('on')",
            manager_=one,
            interrupt_on_timeout=True,
            timeout_func=lambda cell: 2 if "while" in cell.source else 60,
            allow_errors=True,
        )
        assert notebook.cells[0].outputs[-1].ename == "KeyboardInterrupt"
        assert printed(notebook)[1] == "on\n"


def test_a_cell_without_end_ends_with_its_kernel():
    with pytest.raises(CellTimeoutError):
        executed("while True: pass", timeout_func=lambda cell: 1)


def test_a_dead_kernel_is_noticed():
    one = manager()
    with pytest.raises(DeadKernelError):
        executed("import os\nos._exit(3)", manager_=one)
    assert one.provisioner.report["code"] == 3


def test_a_kernel_that_will_not_go_is_ended():
    stay = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    stay += "get_ipython().kernel.do_shutdown = lambda restart: time.sleep(600)"
    one = manager()
    executed(stay, manager_=one)
    assert one.provisioner.report["signal"] == signal.SIGKILL


def test_work_that_does_not_fit_is_refused():
    with pytest.raises(CourseError, match="unusable"):
        executed("1", manager_=manager(files={"../x": ""}))


EXAMINER = """
import asyncio, os
from coursekit.notebooks import quick_import
with quick_import():
    import nbformat
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
made = AsyncKernelManager(kernel_name="python3")
chosen = {"provisioner_name": "coursekit-walled", "config": {}}
made.kernel_spec.metadata["kernel_provisioner"] = chosen
cells = [nbformat.v4.new_code_cell("import os; print(os.environ.get('HOME'), os.getpid())")]
notebook = nbformat.v4.new_notebook(cells=cells)
NotebookClient(notebook, km=made, timeout=60).execute(cleanup_kc=True)
result = [notebook.cells[0].outputs[0].text, made.provisioner.report["reason"]]
"""


def test_an_examiner_s_kernels_come_from_the_same_zygote(mode):
    source = f"(_names := {{}}, exec({EXAMINER!r}, _names), _names['result'])[-1]"
    text, reason = mode.examine(source, 120, function="builtins:eval")
    home, number = text.split()
    assert reason == ""
    assert (home == walls.HOME and number == "1") if not mode.trust else home.startswith(mode.top)


def test_without_a_zygote_above_it_starts_its_own(mode, monkeypatch):
    started = []

    def start(trust):
        started.append(zygote.Zygote(trust, warm=False))
        return started[-1]

    monkeypatch.setattr(zygote, "_shared", {})
    monkeypatch.setattr(zygote, "start", start)
    monkeypatch.delenv(zygote.ADDRESS)
    assert printed(executed("print(1)", manager_=manager(trust=mode.trust))) == ["1\n"]
    assert len(started) == 1
    assert not psutil.Process(started[0].process.pid).children(recursive=True)[-1].children()
    started[0].stop()


def test_without_bubblewrap_the_sentence_arrives(mode, monkeypatch, tmp_path):
    monkeypatch.delenv(zygote.ADDRESS)
    monkeypatch.setattr(zygote, "_shared", {})
    monkeypatch.setattr(walls, "missing", lambda: "bubblewrap is not installed")
    with pytest.raises(CourseError, match="--trust-submissions"):
        executed("print(1)")
