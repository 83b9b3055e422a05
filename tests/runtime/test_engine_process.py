"""Engines and their process: what a fork does to them, how many are open, whose threads spin."""

import subprocess
import sys

import pytest

from cnnc_runtime import live, load
from tests.runtime.models import relu

FORK = """
import os, sys
import numpy as np
from cnnc_runtime import errors, load
from tests.runtime.models import relu

x = np.ones((1, 4), np.float32)
engine = load(relu(("n", 4)), device="cpu", threads=2)
engine.run(x)
engine.submit(x).result()
if (child := os.fork()) == 0:
    for call in (engine.run, engine.submit):
        try:
            call(x)
        except errors.UsageError as error:
            print("spawn" in str(error), flush=True)
    engine.close()
    with load(relu(("n", 4)), device="cpu", threads=2) as own:
        print(own.run(x).sum(), flush=True)
    sys.exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), engine.run(x).sum())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_after_a_fork_the_engine_is_refused_and_a_new_one_works():
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["True", "True", "4.0", "7", "4.0"], done.stderr


def test_closed_engines_do_not_count():
    before = live.count()
    with load(relu(), device="cpu") as first, load(relu(), device="cpu") as second:
        assert live.count() == before + 2
        options = [engine.session.get_session_options() for engine in (first, second)]
        assert options[1].get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert live.count() == before


def test_spinning_can_be_chosen():
    """`cnnc run` switches it off: the cores on which threads would wait decode the next batch."""
    with load(relu(), device="cpu", spinning=False) as quiet, load(relu(), device="cpu", spinning=True) as second:
        entries = [
            engine.session.get_session_options().get_session_config_entry("session.intra_op.allow_spinning")
            for engine in (quiet, second)
        ]
    assert entries == ["0", "1"]
