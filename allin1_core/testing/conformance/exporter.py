"""Conformance of exporters."""

from __future__ import annotations

import copy
import io
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from allin1_core.contracts.export import Exporter, Song
from allin1_core.errors import OutputError
from allin1_core.io.results import to_json
from allin1_core.plugins.collecting import collect_offers
from allin1_core.selection.probing import load_target
from allin1_core.testing.conformance.backend import prints
from allin1_core.testing.conformance.offered import OfferedConformance, load_alone
from allin1_core.testing.results import example_song
from allin1_core.testing.skipping import does_not_apply
from allin1_core.testing.watching import printed


class ExporterConformance(OfferedConformance):
    """Requirements for every exporter.

    Attributes
    ----------
    hooks
        Value of the entry point: the hooks module.
    exporter
        Name of the exporter.
    """

    exporter: ClassVar[str]

    def record(self) -> Exporter:
        """Find the exporter among those that the hooks provide."""
        plugins, plugin = load_alone(self.hooks)
        exporters = collect_offers(plugins).exporters.values()
        return self.find("exporter", self.exporter, exporters, plugin).item

    def written(self, songs: Sequence[Song]) -> bytes | None:
        """The file that it writes for `songs`; None if it reports that the format cannot represent them."""
        write: Any = load_target(self.record().target)
        file = io.BytesIO()
        try:
            write(songs, file)
        except OutputError as error:
            if not str(error):
                pytest.fail("its OutputError is empty: say why, and what to do")
            return None
        except Exception as error:
            pytest.fail(
                f"it raised {type(error).__name__}: {error}: where the format cannot express a"
                " result, raise an OutputError that says why"
            )
        assert not file.closed, "it closes the file, which is the core's to close"
        return file.getvalue()

    def test_its_record_is_well_formed(self) -> None:
        record = self.record()
        assert record.summary, "it has no summary: say in a line what the format is"
        assert record.suffix == record.suffix.lower(), "write its suffix small"

    def test_it_writes_a_song(self) -> None:
        content = self.written([example_song()])
        assert content, "it writes nothing of a song with beats and sections"

    def test_songs_without_beats_or_sections_are_written_or_refused(self) -> None:
        for beats, sections in ((False, True), (True, False), (False, False)):
            self.written([example_song(beats=beats, sections=sections)])

    def test_one_file_holds_several_songs_where_it_collects(self) -> None:
        if not self.record().collects:
            does_not_apply("it writes a file for each song")
        songs = [example_song("one"), example_song("two")]
        assert self.written(songs), "it declares collects=True, and writes nothing of two songs"

    def test_the_same_song_gives_the_same_bytes(self) -> None:
        song = [example_song()]
        assert self.written(song) == self.written(song), "a second call writes something else"

    def test_it_changes_no_result(self) -> None:
        song = example_song()
        before = copy.deepcopy(song.result)
        self.written([song])
        assert to_json(song.result) == to_json(before), (
            "it changes the result: copy what you change"
        )

    def test_stdout_stays_clean(self) -> None:
        with printed() as texts:
            self.written([example_song()])
        assert not texts, prints(texts[0])
