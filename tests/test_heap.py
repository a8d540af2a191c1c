"""What a process holds after it has freed a lot of memory between small things that stay."""

import subprocess
import sys

import pytest

CODE = """
import psutil
from coursekit.heap import give_back
me = psutil.Process()
blocks = [bytearray(100_000) for _ in range(2000)]  # 200 MB, each below what glibc maps by itself
kept = blocks[::50]  # so that the heap cannot simply be made shorter
full = me.memory_info().rss
del blocks
before = full - me.memory_info().rss
give_back()
print(before // 10**6, (full - me.memory_info().rss) // 10**6)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's heap")
def test_memory_freed_between_things_that_stay_goes_back_to_the_system():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before < 100 < 180 < after


def test_another_c_library_is_no_error(monkeypatch):
    from coursekit import heap

    for missing in (AttributeError, OSError, TypeError):

        def load(name, missing=missing):
            raise missing

        monkeypatch.setattr(heap.ctypes, "CDLL", load)
        heap.give_back()
