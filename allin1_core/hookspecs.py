"""Every hook that a plugin may implement.

A plugin is a module (or any object) with functions marked with :data:`allin1_core.hookimpl`. It is registered by an
entry point of the group ``allin1``, whose name is the name of the plugin. Hooks register, decide and observe; the
numerical work is done by the functions that a :class:`~allin1_core.contracts.backend.Backend` names. A module of hooks
must be imported within milliseconds: it must not import an array library or probe hardware.

Every hook is optional, and may be called more than once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from allin1_core.markers import hookspec

if TYPE_CHECKING:
    from allin1_core.contracts.audio import Mix, Stems
    from allin1_core.contracts.audio_loader import AudioLoader
    from allin1_core.contracts.backend import Backend
    from allin1_core.contracts.command import Command
    from allin1_core.contracts.executor import Executor
    from allin1_core.contracts.export import Exporter
    from allin1_core.contracts.found_stems import FoundStems
    from allin1_core.contracts.logits import Activations, Logits
    from allin1_core.contracts.metre import Metre
    from allin1_core.contracts.model import ModelCard, SeparatorCard
    from allin1_core.contracts.result import AnalysisResult, StageRecord
    from allin1_core.contracts.route import Route, RouteRequest
    from allin1_core.contracts.sections import Sections
    from allin1_core.contracts.space import Bridge
    from allin1_core.contracts.spectrogram import LogSpectrogram
    from allin1_core.contracts.stages import (
        ActivationsOrLater,
        LogitsOrLater,
        SpectrogramOrLater,
        StageCall,
        StemsOrLater,
    )


class StageSpecs:
    """One hook per stage. Each returns records and does no work itself."""

    @hookspec
    def allin1_demix(self) -> Iterable[Backend[StageCall[Mix, StemsOrLater]]]:
        """Backends that separate a mix into stems.

        >>> from allin1_core import hookimpl
        >>> from allin1_core.contracts.backend import Backend, Needs
        >>> from allin1_core.contracts.parity import LOSSY
        >>> from allin1_core.contracts.space import Space
        >>> @hookimpl
        ... def allin1_demix():
        ...     yield Backend(
        ...         name="hpss",
        ...         stage="demix",
        ...         target="my_package.separation:create",
        ...         summary="Median filtering, for a preview",
        ...         needs=Needs(requires=("librosa>=0.10",)),
        ...         parity=LOSSY,
        ...     )
        >>> [backend.name for backend in allin1_demix()]
        ['hpss']
        """
        raise AssertionError("a specification is never called")

    @hookspec
    def allin1_spectrogram(
        self,
    ) -> Iterable[
        Backend[StageCall[Stems, SpectrogramOrLater] | StageCall[Mix, SpectrogramOrLater]]
    ]:
        """Backends that turn stems into a log-filterbank spectrogram.

        >>> from allin1_core import hookimpl
        >>> from allin1_core.contracts.backend import Backend
        >>> from allin1_core.contracts.parity import close
        >>> from allin1_core.contracts.space import Space
        >>> @hookimpl
        ... def allin1_spectrogram():
        ...     yield Backend(
        ...         name="mine-cuda",
        ...         stage="spectrogram",
        ...         target="my_package.spectrogram:create",
        ...         consumes=Space("torch", "cuda"),
        ...         produces=Space("torch", "cuda"),
        ...         probe="my_package.devices:probe_cuda",
        ...         parity=close(1e-6),
        ...     )
        >>> [str(backend.consumes) for backend in allin1_spectrogram()]
        ['torch/cuda']
        """
        raise AssertionError("a specification is never called")

    @hookspec
    def allin1_nn(self) -> Iterable[Backend[StageCall[LogSpectrogram, LogitsOrLater]]]:
        """Backends that run the network.

        >>> from allin1_core import hookimpl
        >>> from allin1_core.contracts.backend import Backend
        >>> from allin1_core.contracts.parity import close
        >>> @hookimpl
        ... def allin1_nn():
        ...     yield Backend(
        ...         name="mine",
        ...         stage="nn",
        ...         target="my_package.network:create",
        ...         parity=close(2e-5),
        ...         models=("all-in-one",),
        ...     )
        >>> [backend.stages for backend in allin1_nn()]
        [('nn',)]
        """
        raise AssertionError("a specification is never called")

    @hookspec
    def allin1_metrical_prep(self) -> Iterable[Backend[StageCall[Logits, ActivationsOrLater]]]:
        """Backends that turn beat and downbeat logits into the decoder's activations.

        >>> from allin1_core import hookimpl
        >>> from allin1_core.contracts.backend import Backend
        >>> @hookimpl
        ... def allin1_metrical_prep():
        ...     yield Backend(
        ...         name="mine-fused",
        ...         stage="metrical_prep",
        ...         spans=("metrical_prep", "metrical_dbn"),
        ...         target="my_package.metre:create",
        ...     )
        >>> [backend.stages for backend in allin1_metrical_prep()]
        [('metrical_prep', 'metrical_dbn')]
        """
        raise AssertionError("a specification is never called")

    @hookspec
    def allin1_metrical_dbn(self) -> Iterable[Backend[StageCall[Activations, Metre]]]:
        """Backends that decode activations into beats and their positions in the bar.

        >>> from allin1_core import hookimpl
        >>> from allin1_core.contracts.backend import Backend
        >>> from allin1_core.contracts.speed import Speed
        >>> @hookimpl
        ... def allin1_metrical_dbn():
        ...     yield Backend(
        ...         name="mine",
        ...         stage="metrical_dbn",
        ...         target="my_package.decoder:create",
        ...         speed=(Speed("cpu", 0.01, 0.0003, "my laptop, benchmarks/decoder.py"),),
        ...     )
        >>> [backend.parity.level for backend in allin1_metrical_dbn()]
        ['identical']
        """
        raise AssertionError("a specification is never called")

    @hookspec
    def allin1_functional(self) -> Iterable[Backend[StageCall[Logits, Sections]]]:
        """Backends that find section boundaries and labels.

        >>> from allin1_core import hookimpl
        >>> from allin1_core.contracts.backend import Backend
        >>> from allin1_core.contracts.parity import event
        >>> @hookimpl
        ... def allin1_functional():
        ...     yield Backend(
        ...         name="mine",
        ...         stage="functional",
        ...         target="my_package.sections:create",
        ...         parity=event(0.02),
        ...     )
        >>> [str(backend.parity) for backend in allin1_functional()]
        ['events within 0.02 s']
        """
        raise AssertionError("a specification is never called")


class SelectionSpecs:
    """How backends are combined."""

    @hookspec
    def allin1_bridges(self) -> Iterable[Bridge]:
        """Ways to move an array between two spaces.

        >>> from allin1_core import hookimpl
        >>> from allin1_core.contracts.space import HOST, Bridge, Space
        >>> @hookimpl
        ... def allin1_bridges():
        ...     device = Space("my_arrays", "npu")
        ...     yield Bridge(HOST, device, "my_package.arrays:upload", bytes_per_second=8e9)
        ...     yield Bridge(device, HOST, "my_package.arrays:download", bytes_per_second=8e9)
        >>> [f"{bridge.source} to {bridge.destination}" for bridge in allin1_bridges()]
        ['numpy/cpu to my_arrays/npu', 'my_arrays/npu to numpy/cpu']
        """
        raise AssertionError("a specification is never called")

    @hookspec(firstresult=True)
    def allin1_select_route(self, request: RouteRequest, routes: Sequence[Route]) -> Route | None:
        """Return one of `routes`, which are sorted by preference, or None to leave the choice to the next plugin.

        Every route complies with what the user chose by name. There are at most 8 routes. The return value must be one
        of them or equal to one; if all plugins return None, the first route is used.

        >>> from allin1_core import hookimpl
        >>> @hookimpl
        ... def allin1_select_route(request, routes):
        ...     quiet = [r for r in routes if all(s.backend.device == "cpu" for s in r.steps)]
        ...     return quiet[0] if quiet and request.audio_s < 60 else None
        >>> from allin1_core.contracts.route import RouteRequest
        >>> allin1_select_route(RouteRequest(stages=("nn",), audio_s=10.0), []) is None
        True
        """
        raise AssertionError("a specification is never called")


class ModelSpecs:
    """Trained models."""

    @hookspec
    def allin1_models(self) -> Iterable[ModelCard]:
        """Models that this plugin provides.

        >>> from allin1_core import hookimpl
        >>> from allin1_core.contracts.model import ModelCard
        >>> @hookimpl
        ... def allin1_models():
        ...     yield ModelCard(
        ...         name="my-beats",
        ...         summary="Beats without separation",
        ...         files=(),
        ...         downbeat_threshold=0.05,
        ...         licence="MIT",
        ...         source="https://example.org/my-beats",
        ...         architecture="my-rnn",
        ...         outputs=("beats",),
        ...     )
        >>> [card.name for card in allin1_models()]
        ['my-beats']
        """
        raise AssertionError("a specification is never called")

    @hookspec
    def allin1_separators(self) -> Iterable[SeparatorCard]:
        """Separation models whose files the core locates, downloads and verifies for backends of this plugin.

        ``allin1 weights`` also lists and downloads them. A backend that reads them names them in
        ``Backend.separators``, so that the core can tell whether it could run without a download.

        >>> from allin1_core import hookimpl
        >>> from allin1_core.contracts.model import SeparatorCard, WeightsFile
        >>> @hookimpl
        ... def allin1_separators():
        ...     url = "https://example.org/my-unet/v1/my-unet.safetensors"
        ...     file = WeightsFile("my-unet.safetensors", "0" * 64, 12_345_678, (url,))
        ...     yield SeparatorCard("my-unet", "Four stems", (file,), "MIT", "https://example.org")
        >>> [card.name for card in allin1_separators()]
        ['my-unet']
        """
        raise AssertionError("a specification is never called")


class InputSpecs:
    """Where songs and their stems come from."""

    @hookspec
    def allin1_audio_loaders(self) -> Iterable[AudioLoader]:
        """Readers of audio formats.

        >>> from allin1_core import hookimpl
        >>> from allin1_core.contracts.audio_loader import AudioLoader
        >>> @hookimpl
        ... def allin1_audio_loaders():
        ...     yield AudioLoader(
        ...         name="tracker",
        ...         target="my_package.tracker:load",
        ...         suffixes=(".mod", ".xm"),
        ...     )
        >>> [loader.suffixes for loader in allin1_audio_loaders()]
        [('.mod', '.xm')]
        """
        raise AssertionError("a specification is never called")

    @hookspec(firstresult=True)
    def allin1_find_stems(self, song: Path, track: str) -> FoundStems | None:
        """Return stems of the file `song`, or None if the plugin has none.

        Called for songs that are given without stems, if the model takes stems and the user requested nothing that
        requires a separation (a separator, its parameters, or stems to keep). The first result that is not None is
        used. The hook must return quickly: slow work belongs in ``FoundStems.read``. `track` is the name under which
        results are saved.

        If the hook raises an exception, a file is missing or is not audio, or the stems differ from the song in length,
        a warning is issued and the song is analysed without these stems.

        >>> from pathlib import Path
        >>> from allin1_core import hookimpl
        >>> from allin1_core.contracts.audio import STEMS
        >>> from allin1_core.contracts.found_stems import FoundStems
        >>> @hookimpl
        ... def allin1_find_stems(song, track):
        ...     folder = song.with_name(f"{song.stem} (stems)")
        ...     files = {name: folder / f"{name}.flac" for name in STEMS}
        ...     return FoundStems(files) if all(f.exists() for f in files.values()) else None
        >>> allin1_find_stems(Path("song.wav"), "song") is None
        True
        """
        raise AssertionError("a specification is never called")


class ResultSpecs:
    """Changes to a result before it is returned or written."""

    @hookspec
    def allin1_postprocess_result(
        self, track: str, result: AnalysisResult
    ) -> AnalysisResult | None:
        """Return a new result in place of `result`, or None to keep it.

        Plugins are called one after another, each with the result of the previous one. `result` is a copy: modifying it
        has no effect unless it is returned. If a plugin raises an exception, or returns anything else, only its own
        change is lost, and the warnings of the result say so.

        >>> from dataclasses import replace
        >>> from allin1_core import hookimpl
        >>> @hookimpl
        ... def allin1_postprocess_result(track, result):
        ...     if result.bpm is not None and result.bpm > 180:
        ...         return replace(result, bpm=result.bpm // 2)
        >>> from pathlib import Path
        >>> from allin1_core.contracts.result import AnalysisResult
        >>> fast = AnalysisResult(Path("song.wav"), 190, [0.0, 0.3], [0.0], [1, 2], [])
        >>> allin1_postprocess_result("song", fast).bpm
        95
        """
        raise AssertionError("a specification is never called")


class RunSpecs:
    """Observers of a run. Exceptions that they raise are logged, and do not affect the run."""

    @hookspec
    def allin1_stage_finished(self, track: str, record: StageRecord) -> None:
        """A backend has finished its stage of a track.

        >>> from allin1_core import hookimpl
        >>> @hookimpl
        ... def allin1_stage_finished(track, record):
        ...     print(f"{track}: {'+'.join(record.stages)} by {record.backend}")
        >>> from allin1_core.contracts.result import StageRecord
        >>> allin1_stage_finished("song", StageRecord(("nn",), "mine", "me", "1.0", "cpu", 0.5))
        song: nn by mine
        """
        raise AssertionError("a specification is never called")

    @hookspec
    def allin1_track_finished(
        self, track: str, result: AnalysisResult | None, error: Exception | None
    ) -> None:
        """A track has its result, or the error that ended it.

        >>> from allin1_core import hookimpl
        >>> @hookimpl
        ... def allin1_track_finished(track, result, error):
        ...     print(track, "failed" if result is None else result.bpm)
        >>> allin1_track_finished("song", None, ValueError("no audio"))
        song failed
        """
        raise AssertionError("a specification is never called")

    @hookspec
    def allin1_result_written(
        self, track: str, result: AnalysisResult, path: Path, folder: Path
    ) -> None:
        """The result of a track has been written to the JSON file `path`.

        Called once the file and its arrays are complete and in place, but not for a result of an earlier run that is up
        to date. `folder` is the output folder that the user named. In a batch with several processes, it is called in
        the process that wrote the file. Exceptions are logged, and the file is kept.

        >>> from pathlib import Path
        >>> from allin1_core import hookimpl
        >>> @hookimpl
        ... def allin1_result_written(track, result, path, folder):
        ...     print(f"{track}: {path.name} in {folder}")
        >>> from allin1_core.contracts.result import AnalysisResult
        >>> result = AnalysisResult(Path("song.wav"), 120, [], [], [], [])
        >>> allin1_result_written("song", result, Path("struct/song.json"), Path("struct"))
        song: song.json in struct
        """
        raise AssertionError("a specification is never called")


class ExportSpecs:
    """Formats that results can be exported to."""

    @hookspec
    def allin1_exporters(self) -> Iterable[Exporter]:
        """Exporters that this plugin provides.

        >>> from allin1_core import hookimpl
        >>> from allin1_core.contracts.export import Exporter
        >>> @hookimpl
        ... def allin1_exporters():
        ...     yield Exporter(
        ...         name="mine",
        ...         suffix=".mine",
        ...         summary="One beat a line",
        ...         target="my_package.export:write",
        ...     )
        >>> [exporter.suffix for exporter in allin1_exporters()]
        ['.mine']
        """
        raise AssertionError("a specification is never called")


class CommandSpecs:
    """Commands of the command line."""

    @hookspec
    def allin1_commands(self) -> Iterable[Command]:
        """Commands that this plugin adds to ``allin1``.

        >>> from allin1_core import hookimpl
        >>> from allin1_core.contracts.command import Command
        >>> @hookimpl
        ... def allin1_commands():
        ...     yield Command(
        ...         "tag", "my_package.cli:tag", "Write the tempo into the tags of songs."
        ...     )
        >>> [command.name for command in allin1_commands()]
        ['tag']
        """
        raise AssertionError("a specification is never called")


class ExecutionSpecs:
    """How a batch is run."""

    @hookspec
    def allin1_executors(self) -> Iterable[Executor]:
        """Executors that this plugin provides, which run batches of songs.

        An executor may yield outcomes in any order: the core returns them in the order of the tracks, and reports a track
        without an outcome as failed.

        >>> from allin1_core import hookimpl
        >>> from allin1_core.contracts.executor import Executor
        >>> @hookimpl
        ... def allin1_executors():
        ...     yield Executor(
        ...         name="mine",
        ...         summary="The machines of my laboratory",
        ...         target="my_package.execution:create",
        ...     )
        >>> [executor.name for executor in allin1_executors()]
        ['mine']
        """
        raise AssertionError("a specification is never called")


#: Every class of specifications, for the plugin manager and for the reference documentation.
SPECS: tuple[type, ...] = (
    StageSpecs,
    SelectionSpecs,
    ModelSpecs,
    InputSpecs,
    ResultSpecs,
    RunSpecs,
    ExportSpecs,
    CommandSpecs,
    ExecutionSpecs,
)
