"""The kit for separators: right ones pass, and each way to be wrong is caught by the test that is meant to."""

from __future__ import annotations

import pytest

from allin1_core.testing.conformance import DemixConformance

HOOKS = """
from allin1_core.contracts.backend import Backend
from allin1_core.markers import hookimpl

@hookimpl
def allin1_demix():
    for name in NAMES:
        yield Backend(
            name, "demix", f"PACKAGE.work:{name.title()}", "for a test", parity=None,
            streams=name not in ("silent", "plain"), batches=name != "plain",
        )
"""

WORK = """
import numpy as np
from allin1_core.contracts.audio import Mix, Stems
from allin1_core.contracts.stages import Task

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

    def batch(self, mixes, task):
        found = []
        for number, mix in enumerate(mixes, 1):
            found.append(Stems(self.separate(mix.samples)))
            task.progress(number / len(mixes))
        return found

class Shared(Right):
    def batch(self, mixes, task):
        # The level of the loudest song for all.
        found = super().batch(mixes, task)
        peak = max(np.abs(mix.samples).max() for mix in mixes)
        return [Stems(stems.samples * (1 + np.float32(0.1) * peak)) for stems in found]

class Swapping(Right):
    def batch(self, mixes, task):
        return super().batch(mixes[::-1], task)

class Losing(Right):
    def batch(self, mixes, task):
        return super().batch(mixes, task)[:-1]

class Restarting(Right):
    def batch(self, mixes, task):
        return [self(mix, Task(progress=lambda f: (task.progress(0.0), task.progress(f)))) for mix in mixes]

class Promising(Right):
    batch = property()  # none

class Forgetful(Right):
    def stream(self, blocks, task):
        for block in blocks():
            yield Stems(self.separate(block.samples))
        task.progress(1.0)

class Short(Right):
    def __call__(self, mix, task):
        stems = super().__call__(mix, task).samples
        return Stems(stems[..., : max(1, stems.shape[-1] - 1)])

class Plain(Right):
    def __init__(self, setup):
        self.delay = 10
    stream = property()  # none

class Random(Right):
    def __init__(self, setup):
        self.delay = 10 + np.random.default_rng().integers(1000)

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

class Ending(Right):
    def stream(self, blocks, task):
        told = task.progress
        yield from super().stream(blocks, Task(progress=lambda done: told(done / 2)))

class Double(Right):
    def separate(self, samples):
        return super().separate(samples).astype(np.float64)

class Dividing(Right):
    def separate(self, samples):
        with np.errstate(invalid="ignore"):
            return super().separate(samples) / (samples != 0).any().astype(np.float32)

class Noisy(Right):
    def separate(self, samples):
        return super().separate(samples) + np.float32(0.01)
"""

#: Which test is meant to catch each of them, and what it says.
CAUGHT_BY = {
    "forgetful": ("block by block it gives the same", "keep the context"),
    "silent": ("block by block it gives the same", "declare streams=True"),
    "short": ("stems are as long as the song to the sample", "cut or pad to 441"),
    "plain": ("the seed decides", "set seeded = False"),
    "random": ("the seed decides", "take what is random from setup.demix.seed"),
    "mute": ("progress ends at one", "call task.progress"),
    "deaf": ("what progress raises comes out", "let it through"),
    "shared": ("with other songs it gives the same", "differ from those of the song alone"),
    "swapping": ("with other songs it gives the same", "in order"),
    "losing": ("with other songs it gives the same", "give stems for each"),
    "restarting": ("with other songs it gives the same", "its progress goes back"),
    "promising": ("with other songs it gives the same", "has no method batch"),
    "ending": ("block by block it gives the same", "its progress does not end at 1"),
    "double": ("its output fulfils the contract", "float64"),
    "dividing": ("silence gives numbers", "silence gives no numbers"),
    "noisy": ("silence gives numbers", "take the offset away"),
}


@pytest.fixture
def failures(write_modules, broken_promises):
    def run(name, **members):
        hooks = HOOKS.replace("NAMES", repr(("right", *CAUGHT_BY)))
        package = write_modules(hooks=hooks, work=WORK)
        without = ("test_declaring_it_imports_nothing_heavy",)
        return broken_promises(
            DemixConformance, without=without, hooks=f"{package}.hooks", backend=name, **members
        )

    return run


def test_right_separators_pass(failures):
    assert failures("right") == {}
    assert failures("plain", seeded=False) == {}


def test_a_separator_that_uses_its_seed_is_no_separator_without_randomness(failures):
    assert "set seeded = True" in failures("right", seeded=False)["the seed decides"]


def test_where_nothing_is_said_of_the_seed_only_the_same_seed_is_tested(failures):
    assert failures("right", seeded=None) == failures("plain", seeded=None) == {}
    assert "the seed decides" in failures("random", seeded=None)


@pytest.mark.parametrize(("name", "promise", "words"), [(n, *c) for n, c in CAUGHT_BY.items()])
def test_each_mistake_is_caught(failures, name, promise, words):
    failed = failures(name)
    assert words in failed[promise]
