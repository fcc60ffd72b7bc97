"""The kit for separators: a right one passes, and each way to be wrong is caught by the test that is meant to."""

from __future__ import annotations

import subprocess
import sys

import pytest

HOOKS = """
from allin1_core.contracts.backend import Backend
from allin1_core.markers import hookimpl

@hookimpl
def allin1_demix():
    for name in {names}:
        yield Backend(name, "demix", f"separators:{{name.title()}}", "for a test", streams=name != "silent")
"""

SEPARATORS = """
import numpy as np
from allin1_core.contracts.audio import Mix, Stems

SHARES = np.array([0.5, 0.25, 0.15, 0.1], np.float32)[:, None, None]

class Right:
    def __init__(self, setup):
        # A tenth of an echo, whose delay the seed decides.
        self.delay = 10 + setup.demix.seed

    def separate(self, samples):
        echo = np.pad(samples, ((0, 0), (self.delay, 0)))[:, : samples.shape[-1]]
        return SHARES * (samples + np.float32(0.1) * echo)

    def __call__(self, mix, task):
        task.progress(1.0)
        return Stems(self.separate(mix.samples))

    def stream(self, blocks, task):
        total = sum(block.samples.shape[-1] for block in blocks())
        before, done = np.zeros((2, 0), np.float32), 0
        for block in blocks():
            samples = np.concatenate([before, block.samples], axis=-1)
            yield Stems(self.separate(samples)[..., before.shape[-1]:])
            before, done = samples[:, -self.delay:], done + block.samples.shape[-1]
            task.progress(done / total)

class Forgetful(Right):
    def stream(self, blocks, task):
        for block in blocks():
            yield Stems(self.separate(block.samples))
        task.progress(1.0)

class Short(Right):
    def __call__(self, mix, task):
        stems = super().__call__(mix, task).samples
        return Stems(stems[..., : max(1, stems.shape[-1] - 1)])

class Seedless(Right):
    def __init__(self, setup):
        self.delay = 10

class Mute(Right):
    def __call__(self, mix, task):
        return Stems(self.separate(mix.samples))

class Silent(Right):
    pass  # it streams, and does not declare that

class Deaf(Right):
    def __call__(self, mix, task):
        try:
            task.progress(1.0)
        except KeyboardInterrupt:
            pass
        return Stems(self.separate(mix.samples))

class Noisy(Right):
    def separate(self, samples):
        return super().separate(samples) + np.float32(0.01)
"""

#: Which test is meant to catch each of them.
CAUGHT_BY = {
    "forgetful": "block_by_block_it_gives_the_same",
    "silent": "block_by_block_it_gives_the_same",
    "short": "as_long_as_the_song_to_the_sample",
    "seedless": "the_seed_decides",
    "mute": "progress_ends_at_one",
    "deaf": "what_progress_raises_comes_out",
    "noisy": "silence_gives_numbers",
}

TESTS = """
from allin1_core.testing.conformance import DemixConformance

class Mine(DemixConformance):
    hooks = "separator_hooks"
""" + "".join(
    f'class Test{name.title()}(Mine):\n    backend = "{name}"\n' for name in ("right", *CAUGHT_BY)
)


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """Names of the tests that fail, by the class of the separator."""
    folder = tmp_path_factory.mktemp("separators")
    names = ("right", *CAUGHT_BY)
    (folder / "separator_hooks.py").write_text(HOOKS.format(names=names))
    (folder / "separators.py").write_text(SEPARATORS)
    (folder / "test_separators.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    lines = [line for line in ran.stdout.splitlines() if line.startswith("FAILED")]
    return {(part[1], part[2].split(" ")[0]) for part in (line.split("::") for line in lines)}


def test_a_right_separator_passes(failed):
    assert not [test for name, test in failed if name == "TestRight"]


@pytest.mark.parametrize(("name", "caught_by"), CAUGHT_BY.items())
def test_each_mistake_is_caught(failed, name, caught_by):
    assert any(caught_by in test for of, test in failed if of == f"Test{name.title()}"), failed
