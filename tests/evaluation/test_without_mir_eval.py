"""What scores need and who lacks it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from allin1_core.contracts.result import AnalysisResult
from allin1_core.errors import PluginError
from allin1_core.evaluation import Reference, score
from allin1_core.installing import install_command
from allin1_core.page.content import Version
from allin1_core.page.scores import score_versions

BEATS = [0.5, 1.0, 1.5]
VERSION = Version("one", AnalysisResult(Path("a.wav"), 120, BEATS, BEATS[:1], [1, 2, 3], []))


@pytest.fixture(autouse=True)
def _no_mir_eval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mir_eval", None)


def test_scoring_says_what_to_install() -> None:
    with pytest.raises(PluginError, match="mir_eval") as caught:
        score(Reference(beats=BEATS), BEATS)
    assert install_command("allin1-core", "evaluate") in str(caught.value)


def test_the_page_has_no_scores() -> None:
    assert score_versions([VERSION, VERSION]) is None
