"""What mypy says of hooks: right ones pass, and what the core would not take is an error at the function."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HEAD = """
from collections.abc import Iterable, Sequence

from allin1_core.contracts.audio import Mix, Stems
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.export import Exporter
from allin1_core.contracts.findings import Findings
from allin1_core.contracts.logits import Activations, Logits
from allin1_core.contracts.metre import Metre
from allin1_core.contracts.result import AnalysisResult
from allin1_core.contracts.route import Route, RouteRequest
from allin1_core.contracts.sections import Sections
from allin1_core.contracts.spectrogram import LogSpectrogram
from allin1_core.contracts.stages import (
    BeatsAndSections, Demix, Functional, MetricalDbn, MetricalPrep, MixSpectrogram, Nn, Spectrogram, StageCall,
)
from allin1_core.markers import hookimpl
"""

#: Functions that are right, each in a module of its own.
RIGHT = {
    "demix": "@hookimpl\ndef allin1_demix() -> Iterable[Backend[Demix]]: return []",
    "whole": "@hookimpl\ndef allin1_demix() -> Iterable[Backend[StageCall[Mix, Activations]]]: return []",
    "spectrogram": "@hookimpl\ndef allin1_spectrogram() -> list[Backend[Spectrogram | MixSpectrogram]]: return []",
    "span": "@hookimpl\ndef allin1_spectrogram() -> Iterable[Backend[StageCall[Stems, Logits]]]: return []",
    "mix_span": "@hookimpl\ndef allin1_spectrogram() -> Iterable[Backend[StageCall[Mix, Sections]]]: return []",
    "nn": "@hookimpl\ndef allin1_nn() -> Iterable[Backend[Nn]]: return []",
    "metre": "@hookimpl\ndef allin1_metrical_prep() -> Iterable[Backend[StageCall[Logits, Metre] | MetricalPrep]]: return []",
    "both": "@hookimpl\ndef allin1_demix() -> Iterable[Backend[StageCall[Mix, Findings] | BeatsAndSections]]: return []",
    "functional": "@hookimpl\ndef allin1_functional() -> Iterable[Backend[Functional]]: return []",
    "nothing": "@hookimpl\ndef allin1_nn() -> list[Backend[Nn]] | None: return None",
    "untyped": "@hookimpl\ndef allin1_exporters(): return []  # type: ignore[no-untyped-def]",
    "fewer": "@hookimpl(trylast=True)\ndef allin1_select_route(routes: Sequence[Route]) -> Route | None: return None",
    "wider": "@hookimpl\ndef allin1_track_finished(error: object, track: str) -> None: ...",
    "optional": "@hookimpl(optionalhook=True)\ndef allin1_of_tomorrow(anything: int) -> None: ...",
    "method": "class Mine:\n    @hookimpl\n    def allin1_nn(self) -> Iterable[Backend[Nn]]: return []",
}

#: Functions that are wrong, and what mypy says of them.
WRONG = {
    "nn_as_demix": (
        "@hookimpl\ndef allin1_demix() -> Iterable[Backend[Nn]]: return []",
        r'Hook allin1_demix returns "Iterable\[Backend\[Nn\]\]"; wanted "Iterable\[Backend\[StageCall\[Mix, ',
    ),
    "prep_as_functional": (
        "@hookimpl\ndef allin1_functional() -> Iterable[Backend[MetricalPrep]]: return []",
        "Hook allin1_functional returns",
    ),
    "span_of_what_does_not_follow": (
        "@hookimpl\ndef allin1_metrical_prep() -> Iterable[Backend[StageCall[Logits, Sections]]]: return []",
        "Hook allin1_metrical_prep returns",
    ),
    "backwards": (
        "@hookimpl\ndef allin1_nn() -> Iterable[Backend[StageCall[LogSpectrogram, Stems]]]: return []",
        "Hook allin1_nn returns",
    ),
    "one_record": (
        "@hookimpl\ndef allin1_exporters() -> Exporter: raise NotImplementedError",
        'Hook allin1_exporters returns "Exporter"; wanted "Iterable\\[Exporter\\]"',
    ),
    "misspelled": (
        "@hookimpl\ndef allin1_spektrogram() -> Iterable[Backend[Spectrogram]]: return []",
        r"There is no hook allin1_spektrogram. Did you mean allin1_spectrogram\?",
    ),
    "misspelled_with_options": (
        "@hookimpl(tryfirst=True)\ndef allin1_spektrogram() -> list[Backend[Spectrogram]]: return []",
        "There is no hook allin1_spektrogram",
    ),
    "unknown_argument": (
        "@hookimpl\ndef allin1_track_finished(song: str) -> None: ...",
        "Hook allin1_track_finished has no argument song; it has: track, result, error",
    ),
    "argument_of_another_type": (
        "@hookimpl\ndef allin1_track_finished(result: AnalysisResult) -> None: ...",
        r'Argument result of hook allin1_track_finished is "AnalysisResult \| None"',
    ),
    "method": (
        "class Mine:\n    @hookimpl\n    def allin1_nn(self) -> Iterable[Backend[MetricalDbn]]: return []",
        "Hook allin1_nn returns",
    ),
}


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What mypy says, by the name of the module, all of them checked at once."""
    api = pytest.importorskip("mypy.api", reason="needs mypy")
    folder: Path = tmp_path_factory.mktemp("hooks")
    sources = {f"right_{name}": text for name, text in RIGHT.items()}
    sources |= {f"wrong_{name}": text for name, (text, _) in WRONG.items()}
    for name, text in sources.items():
        (folder / f"{name}.py").write_text(f"{HEAD}\n{text}\n")
    settings = folder / "mypy.ini"
    settings.write_text(
        "[mypy]\nstrict = true\nplugins = allin1_core.mypy_plugin\nfollow_imports = silent\n"
    )
    cache = ["--cache-dir", str(folder / "cache")]
    out, err, _ = api.run([*cache, "--config-file", str(settings), *map(str, folder.glob("*.py"))])
    assert not err, err
    found: dict[str, list[str]] = {name: [] for name in sources}
    for line in out.splitlines()[:-1]:
        found[Path(line.partition(":")[0]).stem].append(line)
    return found


@pytest.mark.parametrize("name", RIGHT)
def test_right_hooks_have_no_errors(messages, name):
    assert messages[f"right_{name}"] == []


@pytest.mark.parametrize("name", WRONG)
def test_wrong_hooks_are_errors_at_the_function(messages, name):
    text, wanted = WRONG[name]
    (line,) = messages[f"wrong_{name}"]
    assert re.search(wanted, line), line
    assert line.endswith("[allin1-hook]")
    row = next(i for i, part in enumerate(text.splitlines()) if "def " in part)
    assert line.split(":")[1] == str(len(HEAD.splitlines()) + 2 + row), line
