"""A session used before a fork raises an error in the child; an unused one works there."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from allin1_core.testing.models import write_random_model

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

SCRIPT = """
import os, sys, threading
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.speed import Speed
from allin1_core.markers import hookimpl
from allin1_core.reference import metrical_prep
from allin1_core.plugins.loading import load_plugins
from allin1_core.runtime.session import Session
from allin1_core.testing.models import model_plugin
from allin1_core.testing.signals import song_logits
from allin1_core.contracts.model import ModelCard, WeightsFile

folder, is_used, *_ = sys.argv[1:]
card = {card}

def create(setup):
    # As many libraries do, it keeps threads, which are not there in a fork.
    pool, call = ThreadPoolExecutor(1), metrical_prep.create(setup)
    return lambda data, task: pool.submit(call, data, task).result()

hooks, module = ModuleType("hooks"), ModuleType("threaded")
module.create = create
sys.modules["threaded"] = module
speed = (Speed("", 0.0, 1e-9, "a test"),)
record = Backend("threaded", "metrical_prep", "threaded:create", speed=speed)
hooks.allin1_metrical_prep = hookimpl(lambda: [record])
extra = {{"model": model_plugin(card), "threaded": hooks}}
plugins = load_plugins(extra=extra, autoload=False)
session = Session("random", weights_dir=folder, plugins=plugins, threads=2)
if is_used == "used":
    session.run(song_logits(500), outputs=["activations"])
# Another thread is telling observers while the process is forked.
held, free = threading.Event(), threading.Event()

def hold():
    with session.engine.observers._one_at_a_time:
        held.set()
        free.wait()

thread = threading.Thread(target=hold)
thread.start()
held.wait()
child = os.fork()
if child == 0:
    status = 1
    try:
        run = session.run(song_logits(500), outputs=["activations"])
        print("ran", run.products.activations.values.shape, flush=True)
        status = 0
    except Exception as error:
        print(f"{{type(error).__name__}}: {{error}}", flush=True)
        status = 3
    finally:
        session.close()
        os._exit(status)
_, status = os.waitpid(child, 0)
free.set()
thread.join()
print("parent", session.run(song_logits(500), outputs=["activations"]).products.activations.values.shape)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.parametrize("is_used", ["used", "unused"])
def test_a_fork_does_not_hang(tmp_path, is_used):
    card = write_random_model(tmp_path)
    ran = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            SCRIPT.format(card=repr(card)),
            str(tmp_path),
            is_used,
        ],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    child, parent = ran.stdout.splitlines()
    assert parent == "parent (500, 2)", ran.stderr
    if is_used == "unused":
        assert (child, ran.returncode) == ("ran (500, 2)", 0)
    else:
        assert ran.returncode == 3
        assert child.startswith(
            "BackendError: This session set up backends before the process was forked"
        )
        assert "spawn" in child
