"""The kit for whole plugins and for exporters: right ones pass, and each way to be wrong is caught."""

from __future__ import annotations

import pytest
import soundfile

from allin1_core.contracts.audio import STEMS as STEM_NAMES
from allin1_core.testing.conformance import ExporterConformance, PluginConformance
from allin1_core.testing.signals import music_mix

#: What a plugin under test, which is not installed, cannot have.
NO_ENTRY_POINT = "its entry point leads to its hooks"

RIGHT = """
from dataclasses import replace
from allin1_core.contracts.audio_loader import AudioLoader
from allin1_core.contracts.backend import Backend, Needs
from allin1_core.contracts.command import Command
from allin1_core.contracts.executor import Executor
from allin1_core.contracts.export import Exporter
from allin1_core.contracts.found_stems import FoundStems
from allin1_core.contracts.model import ModelCard, WeightsFile
from allin1_core.contracts.space import HOST, Bridge, Space
from allin1_core.markers import hookimpl

NPU = Space("allin1_core", "npu")
"""

BRIDGES = """
@hookimpl
def allin1_bridges():
    yield Bridge(HOST, NPU, "PACKAGE.work:there")
    yield Bridge(NPU, HOST, "PACKAGE.work:back")
"""

WORK = """
import click
from allin1_core.testing.foreign import ForeignArray, download, upload

def there(array, device):
    return upload(array, device)

def back(array, device):
    return download(array, device)

def write(songs, file):
    file.write(songs[0].name.encode())

def write_nothing(songs, file):
    pass

def run_nothing(setup):
    return None

def load_badly(file, path):
    file.read()[0]

def load_all(file, path):
    return file.read()

@click.command()
def mute():
    pass

@click.command()
def helpful():
    \"""Help.\"""
"""

ALL = (
    RIGHT
    + BRIDGES
    + """
@hookimpl
def allin1_metrical_prep():
    yield Backend("mine", "metrical_prep", "PACKAGE.work:there", "for a test")

@hookimpl
def allin1_exporters():
    yield Exporter("mine", ".mine", "for a test", "PACKAGE.work:write")

@hookimpl
def allin1_commands():
    yield Command("mine", "PACKAGE.work:helpful", "for a test")

@hookimpl
def allin1_models():
    yield ModelCard("mine", "Mine", (), 0.1, "MIT", "a test")

@hookimpl
def allin1_postprocess_result(track, result):
    return replace(result, bpm=result.bpm and result.bpm // 2)

@hookimpl
def allin1_track_finished(track, result, error):
    pass
"""
)


@pytest.fixture
def failures(write_modules, broken_promises):
    def run(hooks, work=WORK, only=()):
        package = write_modules(hooks=hooks, work=work)
        return broken_promises(PluginConformance, only=only, hooks=f"{package}.hooks")

    return run


def test_a_right_plugin_passes(failures):
    (only,) = failures(ALL).items()
    assert only[0] == NO_ENTRY_POINT
    assert "no entry point of the group allin1 names package_of_a_test" in only[1]


def test_the_core_itself_passes(broken_promises):
    for hooks in ("allin1_core.reference.hooks", "allin1_core.exports.hooks"):
        assert broken_promises(PluginConformance, hooks=hooks) == {}


def hook(name: str, body: str, arguments: str = "") -> str:
    return f"{RIGHT}\n@hookimpl\ndef {name}({arguments}):\n    {body}\n"


@pytest.mark.parametrize(
    ("hooks", "promise", "words"),
    [
        (
            RIGHT + "import time; time.sleep(0.3)\n" + BRIDGES,
            "importing it is fast",
            "leave the work to the target",
        ),
        (
            RIGHT + "import no_such_module\n" + BRIDGES,
            "importing it is fast",
            "raised ModuleNotFoundError: No module named 'no_such_module'",
        ),
        (
            RIGHT + "import numpy\n" + BRIDGES,
            "declaring it imports no array library",
            "imports numpy: import it where the work is",
        ),
        (
            hook("allin1_nn", "import numpy; return []"),
            "declaring it imports no array library",
            "or asking its hooks, imports numpy",
        ),
        (
            RIGHT + "print('hello')\n" + BRIDGES,
            "importing its hooks prints nothing",
            "it prints on stdout ('hello')",
        ),
        (
            hook("allin1_nn", "return Backend('x', 'nn', 'a:b')"),
            "it is loaded and nothing is left out",
            "yield each, or return a list",
        ),
        (
            hook("allin1_nnn", "return []"),
            "it is loaded and nothing is left out",
            "allin1_nnn, which this core does not know",
        ),
        (
            hook("allin1_nn", "yield Backend('x', 'nn', 'PACKAGE.wrok:create')"),
            "what its records point to exists",
            "name a module that exists, and a function in it",
        ),
        (
            hook("allin1_nn", "yield Backend('x', 'nn', 'PACKAGE.work:there', probe='sys:path')"),
            "what its records point to exists",
            "Backend x of nn: probe sys:path is no function: name one",
        ),
        (
            hook("allin1_exporters", "yield Exporter('x', '.x', 'x', 'PACKAGE.work:wirte')"),
            "what its records point to exists",
            "Exporter x: target",
        ),
        (
            hook("allin1_commands", "yield Command('x', 'PACKAGE.work:wirte', 'x')"),
            "what its records point to exists",
            "Command x: target",
        ),
        (
            hook("allin1_models", "yield ModelCard('x', 'x', (), 0.1, '', '', reader='a.b:c')"),
            "what its records point to exists",
            "ModelCard x: reader a.b:c cannot be imported",
        ),
        (
            hook("allin1_models", "yield ModelCard('x', 'x', (), 0.1, '', '', architecture='y')"),
            "its models can be run and read",
            "no backend of the stage nn runs the architecture y of model x",
        ),
        (
            hook(
                "allin1_models",
                "yield ModelCard('x', 'x', (WeightsFile('x.npz', '0' * 64, 9, package='PACKAGE'),), 0.1, '', '')",
            ),
            "its models can be run and read",
            "x.npz",
        ),
        (
            hook("allin1_nn", "yield Backend('x', 'nn', 'PACKAGE.work:there', consumes=NPU)"),
            "bridges lead there and back",
            "no bridge leads from numpy/cpu to allin1_core/npu: declare one",
        ),
        (
            hook("allin1_bridges", "yield Bridge(HOST, NPU, 'PACKAGE.work:there')"),
            "bridges lead there and back",
            "no bridge leads from allin1_core/npu to numpy/cpu",
        ),
        (
            hook("allin1_postprocess_result", "result.segments.clear()", "track, result"),
            "postprocessing gives a result or none",
            "changes the result that it was given, and returns nothing: return a new one",
        ),
        (
            hook("allin1_postprocess_result", "return result.bpm", "result"),
            "postprocessing gives a result or none",
            "it returned 120, which is not an AnalysisResult",
        ),
        (
            hook("allin1_postprocess_result", "return 1 / len(result.beats) and None", "result"),
            "postprocessing gives a result or none",
            "raised ZeroDivisionError: division by zero: let it deal with every track",
        ),
        (
            hook("allin1_track_finished", "result.bpm", "result"),
            "observers raise nothing and print nothing",
            "let it deal with every track",
        ),
        (
            hook("allin1_result_written", "path.with_suffix('.npz').read_bytes()", "path"),
            "observers raise nothing and print nothing",
            "allin1_result_written raised FileNotFoundError",
        ),
        (
            hook("allin1_find_stems", "return song.stat().st_size", "song"),
            "songs without stems have none",
            "of a song that has none: return None",
        ),
        (
            hook("allin1_find_stems", "return list(song.with_name('stems').iterdir())", "song"),
            "songs without stems have none",
            "allin1_find_stems raised FileNotFoundError",
        ),
        (
            hook("allin1_audio_loaders", "yield AudioLoader('x', 'PACKAGE.work:load_badly', ('.x',))"),
            "its audio loaders keep their promises",
            "audio loader x: other files are left to other readers: it raised IndexError",
        ),
        (
            hook("allin1_audio_loaders", "yield AudioLoader('x', 'PACKAGE.work:load_all', ('.x',))"),
            "its audio loaders keep their promises",
            "audio loader x: other files are left to other readers: it takes a file that is no audio",
        ),
        (
            hook("allin1_commands", "yield Command('x', 'PACKAGE.work:write', 'x')"),
            "its commands keep their promises",
            "work:write is a function: wanted a click command",
        ),
        (
            hook("allin1_commands", "yield Command('x', 'PACKAGE.work:mute', 'x')"),
            "its commands keep their promises",
            "command x: it and its subcommands have help: command allin1 x has no help",
        ),
        (
            hook("allin1_exporters", "yield Exporter('x', '.x', 'x', 'PACKAGE.work:write_nothing')"),
            "its exporters keep their promises",
            "exporter x: it writes a song: it writes nothing of a song with beats and sections",
        ),
        (
            hook("allin1_executors", "yield Executor('x', 'x', 'PACKAGE.work:run_nothing')"),
            "its executors keep their promises",
            "executor x: it runs a batch: it raised AttributeError",
        ),
        (
            hook("allin1_stage_finished", "print(record)", "record"),
            "observers raise nothing and print nothing",
            "which is for results",
        ),
    ],
)  # fmt: skip
def test_each_mistake_is_caught(failures, hooks, promise, words):
    failed = failures(hooks, only=(promise,))
    assert words in failed[promise], failed


@pytest.mark.parametrize(
    ("work", "promise", "words"),
    [
        (
            WORK.replace("download(array, device)", "download(array, device)[:1]"),
            "bridges keep values",
            "it becomes another array",
        ),
        (
            WORK.replace("upload(array,", "upload(array.astype('float16'),"),
            "bridges keep values",
            "change neither values, shape nor type",
        ),
        (
            WORK.replace("upload(array, device)", "array"),
            "bridges keep values",
            "the bridge to allin1_core/npu gives an array in numpy/cpu",
        ),
        (
            WORK.replace(
                "return upload(array",
                "moved = upload(array, 'npu'); array[:] = 0; return moved; (array",
            ),
            "bridges keep values",
            "float32: the bridge writes to its input",
        ),
        (
            "print('Loading the library ...')" + WORK,
            "importing what it points to prints nothing",
            "it prints on stdout ('Loading the library ...')",
        ),
    ],
)
def test_each_mistake_of_a_bridge_is_caught(failures, work, promise, words):
    failed = failures(RIGHT + BRIDGES, work, only=(promise,))
    assert words in failed[promise], failed


STEMS = """
@hookimpl
def allin1_find_stems(song):
    files = {name: song.with_name(f"{name}.wav") for name in ("bass", "drums", "other", "vocals")}
    return FoundStems(files) if files["bass"].exists() else None
"""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("music", None),
        ("nothing", "it finds no stems of song.wav"),
        ("no audio", "Stems of plugin under-test are not used"),
        ("half of it", "what it finds of song.wav cannot be read"),
    ],
)
def test_stems_of_a_song_that_the_plugins_tests_make_are_read(
    write_modules, broken_promises, content, words
):
    def song_with_stems(self, folder):
        mix = music_mix(1.0).samples.T
        for name in ("song", *STEM_NAMES) if content != "nothing" else ("song",):
            soundfile.write(folder / f"{name}.wav", mix, 44_100)
        if content == "no audio":
            (folder / "bass.wav").write_bytes(b"no audio")
        if content == "half of it":
            soundfile.write(folder / "bass.wav", mix[:9000], 44_100)
        return folder / "song.wav"

    package = write_modules(hooks=RIGHT + STEMS, work=WORK)
    promise = "stems that it finds can be read"
    members = {"hooks": f"{package}.hooks", "song_with_stems": song_with_stems}
    failed = broken_promises(PluginConformance, only=(promise,), **members)
    assert words in failed[promise] if words else failed == {}, failed


EXPORTERS = """
from allin1_core.contracts.export import Exporter
from allin1_core.markers import hookimpl

@hookimpl
def allin1_exporters():
    yield Exporter("nameless", ".nameless", "", "PACKAGE.work:right")
    yield Exporter("capital", ".Capital", "for a test", "PACKAGE.work:right")
    yield Exporter("single", ".single", "for a test", "PACKAGE.work:single", collects=True)
    for name in ("right", "all", "silent", "closing", "changing", "counting", "beatless", "mute", "loud"):
        yield Exporter(name, f".{name}", "for a test", f"PACKAGE.work:{name}", collects=name == "all")
"""

WRITERS = """
import itertools
from allin1_core.errors import OutputError

def right(songs, file):
    (song,) = songs
    if not song.result.beats:
        raise OutputError("It has no beats.", remedy="Find some.")
    file.write(b"beats")

def all(songs, file):
    file.write(str(len(songs)).encode())

def single(songs, file):
    if len(songs) == 1:
        file.write(b"beats")

def silent(songs, file):
    pass

def closing(songs, file):
    file.write(b"beats")
    file.close()

def changing(songs, file):
    songs[0].result.beats.append(99.0)
    file.write(b"beats")

numbers = itertools.count()

def counting(songs, file):
    file.write(str(next(numbers)).encode())

def beatless(songs, file):
    file.write(str(songs[0].result.beats[0]).encode())

def mute(songs, file):
    raise OutputError("")

def loud(songs, file):
    print("writing")
    file.write(b"beats")
"""


@pytest.mark.parametrize(
    ("name", "promise", "words"),
    [
        ("right", None, ""),
        ("all", None, ""),
        ("nameless", "its record is well formed", "it has no summary"),
        ("capital", "its record is well formed", "write its suffix small"),
        (
            "single",
            "one file holds several songs where it collects",
            "it declares collects=True, and writes nothing of two songs",
        ),
        ("silent", "it writes a song", "it writes nothing of a song"),
        ("closing", "it writes a song", "it closes the file, which is the core's to close"),
        ("changing", "it changes no result", "copy what you change"),
        ("counting", "the same song gives the same bytes", "a second call writes something else"),
        (
            "beatless",
            "songs without beats or sections are written or refused",
            "raise an OutputError that says why",
        ),
        ("mute", "it writes a song", "say why, and what to do"),
        ("loud", "stdout stays clean", "it prints on stdout ('writing')"),
        (
            "rihgt",
            "it writes a song",
            "offers no exporter rihgt; it offers: nameless, capital, single, right, all",
        ),
    ],
)
def test_exporters(write_modules, broken_promises, name, promise, words):
    package = write_modules(hooks=EXPORTERS, work=WRITERS)
    failed = broken_promises(ExporterConformance, hooks=f"{package}.hooks", exporter=name)
    assert words in failed[promise] if promise else failed == {}, failed
