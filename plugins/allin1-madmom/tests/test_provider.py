"""Which madmom is found, the error if there is none, and that importing it leaves no trace."""

from __future__ import annotations

import collections
import doctest
import inspect
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from allin1_core.contracts.stages import Setup
from allin1_core.contracts.verdict import Broken, Ready, Unavailable
from allin1_core.errors import BackendError

from allin1_backend_madmom import decoder, downbeat_rnn, probe, spectrogram
from allin1_backend_madmom.provider import PACKAGES, Provider, find, load

has_infer = pytest.mark.skipif(find_spec("madmom_infer") is None, reason="needs madmom-infer")
has_original = pytest.mark.skipif(find_spec("madmom") is None, reason="needs the real madmom")

#: Side effects of importing madmom 0.16.1, and a function that needs an old name when it runs.
LIKE_THE_RELEASE = """
    import doctest
    from collections import Iterable, MutableSequence
    import numpy as np
    import pkg_resources
    from . import audio, features
    KIND = np.float
    __version__ = pkg_resources.get_distribution("pytest").version
    doctest.ONE_MORE = doctest.register_optionflag("ONE_MORE")
    doctest.__all__.append("ONE_MORE")
    doctest.COMPARISON_FLAGS |= doctest.ONE_MORE
    doctest.OutputChecker = type("Changed", (doctest.OutputChecker,), {})
    del pkg_resources, doctest
    def zeros():
        return np.zeros(3, dtype=np.int)
"""


@pytest.fixture
def fake_madmom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hide: Callable[[str], None]
) -> Iterator[Callable[[str], None]]:
    """Put a package ``madmom`` whose ``__init__`` has the given source at the front of the path."""

    def install(source: str) -> None:
        hide("madmom")
        del sys.modules["madmom"]
        for name in ("audio/signal", "audio/stft", "audio/spectrogram", "features/downbeats"):
            module = tmp_path / "madmom" / f"{name}.py"
            module.parent.mkdir(parents=True, exist_ok=True)
            module.write_text("import numpy as np\n")
            (module.parent / "__init__.py").touch()
        (tmp_path / "madmom" / "__init__.py").write_text(textwrap.dedent(source))
        monkeypatch.syspath_prepend(tmp_path)

    yield install
    for name in [n for n in sys.modules if n.partition(".")[0] == "madmom"]:
        del sys.modules[name]


def traces() -> dict[str, object]:
    """Return everything in other modules that madmom or its import could change."""
    return {
        "collections": set(vars(collections)),
        "numpy": {n for n in ("bool", "int", "float", "complex", "object", "str") if n in vars(np)},
        "doctest": dict(vars(doctest)),
        "doctest.__all__": list(doctest.__all__),
        "doctest options": dict(doctest.OPTIONFLAGS_BY_NAME),
        "pkg_resources": "pkg_resources" in sys.modules,
        "warnings": list(warnings.filters),
        "floating-point errors": np.geterr(),
    }


def test_importing_a_madmom_of_2018_leaves_no_trace(fake_madmom: Callable[[str], None]) -> None:
    before = traces()
    fake_madmom(LIKE_THE_RELEASE)
    assert load().is_original
    assert traces() == before
    madmom = sys.modules["madmom"]
    assert madmom.KIND is float
    assert madmom.zeros().tolist() == [0, 0, 0]
    assert not hasattr(np, "int")


def test_an_import_that_fails_leaves_no_trace(fake_madmom: Callable[[str], None]) -> None:
    before = traces()
    fake_madmom(textwrap.dedent(LIKE_THE_RELEASE) + "\nimport nothing_of_this_name\n")
    found = find()
    assert traces() == before
    if isinstance(found, Provider):
        assert found.name == "madmom-infer"
    else:
        assert isinstance(found, Broken)


@has_original
def test_importing_and_running_the_real_madmom_leaves_no_trace() -> None:
    code = inspect.getsource(traces) + textwrap.dedent("""
        import collections, doctest, sys, warnings
        import numpy as np
        import scipy.fftpack, scipy.io.wavfile, scipy.ndimage, scipy.signal, scipy.sparse, mido
        from allin1_core.contracts.stages import Setup, Task
        from allin1_core.testing import signals
        from allin1_backend_madmom import decoder, spectrogram
        before = traces()
        decoder.create(Setup())(signals.song_activations(400), Task())
        spectrogram.create(Setup())(signals.noise_stems(3000), Task())
        assert "madmom.features.downbeats" in sys.modules
        changed = [name for name, value in traces().items() if value != before[name]]
        assert not changed, changed
    """)
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


def test_it_names_the_madmom_in_use(madmom: str) -> None:
    verdict = probe.check()
    assert verdict == Ready("cpu", f"{madmom} {version(madmom)}")


@has_infer
@has_original
def test_the_original_is_preferred() -> None:
    assert load().name == "madmom"


@has_infer
def test_the_rewrite_replaces_an_original_that_cannot_be_imported(
    fake_madmom: Callable[[str], None],
) -> None:
    fake_madmom("raise ImportError('numpy.core.multiarray failed to import')")
    found = load()
    assert found.name == "madmom-infer"
    assert "numpy.core.multiarray failed to import" in str(found)


def test_without_either_both_remedies_are_named(hide: Callable[[str], None]) -> None:
    for package in PACKAGES.values():
        hide(package)
    for check in (probe.check, probe.check_networks):
        verdict = check()
        assert isinstance(verdict, Unavailable)
        assert "pip install madmom-infer" in verdict.remedy
        assert "madmom==0.16.1" in verdict.remedy
    for factory in (spectrogram.create, decoder.create, downbeat_rnn.create):
        with pytest.raises(BackendError, match="Neither madmom nor madmom-infer") as raised:
            factory(Setup())
        assert "madmom-infer" in (raised.value.remedy or "")
        assert "madmom==0.16.1" in (raised.value.remedy or "")


def test_a_madmom_that_does_not_import_is_broken(
    fake_madmom: Callable[[str], None], hide: Callable[[str], None]
) -> None:
    hide("madmom_infer")
    fake_madmom("raise RuntimeError('built for another NumPy')")
    for check in (probe.check, probe.check_networks):
        verdict = check()
        assert isinstance(verdict, Broken)
        assert "RuntimeError: built for another NumPy" in verdict.error
    with pytest.raises(BackendError, match="built for another NumPy"):
        decoder.create(Setup())


@has_infer
def test_the_rewrite_has_networks_only_after_they_were_downloaded(
    hide: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hide("madmom")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    verdict = probe.check_networks()
    assert isinstance(verdict, Unavailable)
    assert "madmom==0.16.1" in verdict.remedy
    assert "CC BY-NC-SA" in verdict.remedy
    with pytest.raises(BackendError, match="trained networks of madmom-infer are missing"):
        downbeat_rnn.create(Setup())
    assert not list(tmp_path.iterdir()), "nothing may be downloaded"
