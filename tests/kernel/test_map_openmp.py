"""OpenMP in a forked child: found by trying, before an item hangs."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import ctypes, glob, os, sysconfig
from nb2prod.kernel import map_openmp
found = glob.glob(os.path.join(sysconfig.get_paths()["purelib"], "scikit_learn.libs", "libgomp*"))
if found:
    ctypes.CDLL(found[0])
    before = map_openmp.survives_fork(10)
    map_openmp._parallel(found[0])
    print(before, map_openmp.survives_fork(0.5))
"""


def test_a_process_that_has_used_openmp_is_known_by_a_child_that_hangs() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    if not done.stdout:
        pytest.skip("scikit-learn brings no OpenMP of GNU's here")
    assert done.stdout.split() == ["True", "False"]
