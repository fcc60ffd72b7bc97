"""Ways to break a plugin, each named by 'allin1 plugin check' in a line that says what to do.

The table in docs/testing.md lists them; a test compares the two.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from allin1_core.cli.main import run
from allin1_core.testing import examining
from allin1_core.testing.conformance import backend as backend_tests
from allin1_core.testing.conformance import plugin as plugin_tests

DOCS = Path(__file__).resolve().parents[2] / "docs"

HEAD = """
from dataclasses import replace
from allin1_core.contracts.backend import Backend, Needs
from allin1_core.contracts.command import Command
from allin1_core.contracts.export import Exporter
from allin1_core.contracts.model import ModelCard, WeightsFile
from allin1_core.contracts.options import Option
from allin1_core.contracts.parity import close
from allin1_core.contracts.space import HOST, Bridge, Space
from allin1_core.contracts.speed import Speed
from allin1_core.markers import hookimpl

NPU = Space("allin1_core", "npu")

def backend(name="mine", stage="metrical_prep", target="PACKAGE.work:create", **fields):
    return Backend(name, stage, target, "for a test", **fields)
"""

WORK = """
import threading, time
import numpy as np
from allin1_core.contracts.audio import Stems
from allin1_core.contracts.logits import Activations
from allin1_core.contracts.verdict import Broken, Ready, Unavailable
from allin1_core.reference import metrical_prep, network
from allin1_core.testing.foreign import download, upload

calls = []

def create(setup):
    good = metrical_prep.create(setup)
    def call(logits, task):
        activations = good(logits, task).values
        BODY
        return Activations(activations)
    AFTER
    return call
"""


def hook(name: str, body: str, arguments: str = "") -> str:
    return f"@hookimpl\ndef {name}({arguments}):\n    {body}\n"


def offers(arguments: str = "", stage: str = "metrical_prep") -> str:
    """A hook that offers a backend with these fields."""
    return hook(f"allin1_{stage}", f"yield backend({arguments})")


@dataclass(frozen=True)
class Way:
    """A way to break a plugin.

    Attributes
    ----------
    title
        What is wrong, for the table.
    words
        What the line says.
    hooks, body, after, work
        Sources: of the hooks; of the backend's call and factory; of functions besides.
    real
        Whether processes are started, to see what only they can.
    """

    title: str
    words: str
    hooks: str = offers()
    body: str = "pass"
    after: str = "pass"
    work: str = ""
    real: bool = False


WAYS = [
    # Named by the loader.
    Way(
        "The module of hooks raises while it is imported",
        "raised ModuleNotFoundError: No module named 'no_such_library'. Uninstall it, or reinstall it",
        "import no_such_library\n" + offers(),
    ),
    Way(
        "The module of hooks leaves the program",
        "raised SystemExit: 3. Uninstall it, or reinstall it",
        "raise SystemExit(3)",
    ),
    Way(
        "A hook has a name that does not exist",
        "it implements allin1_spektrogram, which this core does not know. Install compatible versions",
        hook("allin1_spektrogram", "return []"),
    ),
    Way(
        "A hook has an argument that does not exist",
        "Argument(s) {'banana'} are declared in the hookimpl but can not be found in the hookspec",
        hook("allin1_nn", "return []", "banana"),
    ),
    Way("No function is marked", "no function that is marked with allin1_core.hookimpl", "pass"),
    Way(
        "The plugin was written for a later core",
        "It was written for level 99 of the plugin contract; this core supports 1. Upgrade the core",
        "ALLIN1_API = 99\n" + offers(),
    ),
    Way(
        "The level of the contract is no number",
        "its ALLIN1_API is '1'; wanted a whole number",
        "ALLIN1_API = '1'\n" + offers(),
    ),
    # Named when records are collected.
    Way(
        "A hook raises",
        "hook allin1_metrical_prep: It raised OSError: no licence file",
        hook("allin1_metrical_prep", "raise OSError('no licence file')"),
    ),
    Way(
        "A hook returns a record by itself",
        "wanted an iterable of Backend: yield each, or return a list",
        hook("allin1_metrical_prep", "return backend()"),
    ),
    Way(
        "A field is of another type",
        "Backend mine: parity is 'close'; wanted",
        offers("parity='close'"),
    ),
    Way(
        "A requirement cannot be read",
        "needs.requires[0] is 'scipy>>1'; wanted a requirement in pip's syntax",
        offers("needs=Needs(requires=('scipy>>1',))"),
    ),
    Way(
        "A speed is negative",
        "speed[0].rate is -1.0; wanted a finite number, 0 or more",
        offers("speed=(Speed('cpu', 0.0, -1.0, 'here'),)"),
    ),
    Way(
        "A name cannot be typed",
        "name is 'torch_cpu'; wanted letters and digits, in groups joined by single hyphens",
        offers("'torch_cpu'"),
    ),
    Way(
        "A name is the core's",
        "Backend reference: the name is reserved for the core",
        offers("'reference'"),
    ),
    Way(
        "A name is offered twice",
        "the plugin provides another of this name; the first is used",
        hook("allin1_metrical_prep", "return [backend(), backend()]"),
    ),
    Way(
        "A backend is offered by the hook of another stage",
        "Backend mine declares stage metrical_prep",
        offers(stage="functional"),
    ),
    Way(
        "A backend spans stages that do not follow",
        "spans spectrogram and functional, which are not consecutive",
        offers(
            "'mine', 'spectrogram', spans=('spectrogram', 'functional')", stage="spectrogram"
        ),
    ),
    Way(
        "The default of an option is of another type",
        "options[0].default is '4'; wanted a int",
        offers("options=(Option('batch', int, '4'),)"),
    ),
    Way(
        "A command has the name of one of the core's",
        "Command export: ",
        hook("allin1_commands", "yield Command('export', 'PACKAGE.work:create', 'x')"),
    ),
    # Named by the standard tests of a plugin.
    Way(
        "Importing the hooks takes long",
        "every command imports it: leave the work to the target",
        "import time; time.sleep(0.3)\n" + offers(),
        real=True,
    ),
    Way(
        "The hooks import an array library",
        "imports numpy: import it where the work is, in the module that the target names",
        "import numpy\n" + offers(),
        real=True,
    ),
    Way(
        "The hooks print",
        "it prints on stdout ('hello'), which is for results: log it, or leave it",
        "print('hello')\n" + offers(),
        real=True,
    ),
    Way(
        "A target does not exist",
        "target PACKAGE.wrok:create cannot be imported (ModuleNotFoundError",
        offers("target='PACKAGE.wrok:create'"),
    ),
    Way(
        "A target is no function",
        "target PACKAGE.work:calls is no function: name one",
        offers("target='PACKAGE.work:calls'"),
    ),
    Way(
        "Arrays cannot be brought to a backend",
        "no bridge leads from numpy/cpu to allin1_core/npu: declare one by the hook allin1_bridges",
        offers("consumes=NPU"),
    ),
    Way(
        "A bridge changes what crosses it",
        "over the bridges to allin1_core/npu and back it becomes another array",
        hook(
            "allin1_bridges",
            "return [Bridge(HOST, NPU, 'PACKAGE.work:there'), Bridge(NPU, HOST, 'PACKAGE.work:download')]",
        ),
        work="def there(array, device):\n    return upload(array.astype('float16'), device)",
    ),
    Way(
        "A model has no backend that runs it",
        "no backend of the stage nn runs the architecture own of model mine: offer one",
        hook("allin1_models", "yield ModelCard('mine', 'x', (), 0.1, '', '', architecture='own')"),
    ),
    Way(
        "A file of weights that comes with the package is not there",
        "mine.npz",
        hook(
            "allin1_models",
            "yield ModelCard('mine', 'x', (WeightsFile('mine.npz', '0' * 64, 9, package='PACKAGE'),), 0.1, '', '')",
        ),
    ),
    Way(
        "A post-processor changes the result in place",
        "changes the result that it was given, and returns nothing: return a new one",
        hook("allin1_postprocess_result", "result.beats.clear()", "result"),
    ),
    Way(
        "An observer cannot deal with a track that failed",
        "raised AttributeError: 'NoneType' object has no attribute 'bpm': let it deal with every track",
        hook("allin1_track_finished", "result.bpm", "result"),
    ),
    Way(
        "An exporter fails where a song has no beats",
        "raised IndexError: list index out of range: where the format cannot express a result, raise",
        hook("allin1_exporters", "yield Exporter('mine', '.mine', 'x', 'PACKAGE.work:write')"),
        work="def write(songs, file):\n    file.write(b'%f' % songs[0].result.beats[0])",
    ),
    # Named by the standard tests of a backend.
    Way("The probe raises", "its probe PACKAGE.work:probe raised OSError: no driver",
        offers("probe='PACKAGE.work:probe'"),
        work="def probe():\n    raise OSError('no driver')"),
    Way(
        "The probe names a device of another kind",
        "its probe names the device cuda:0, its record the device cpu: let both name one",
        offers("probe='PACKAGE.work:probe'"),
        work="def probe():\n    return Ready('cuda:0')",
    ),
    Way(
        "A speed is given in milliseconds",
        "Its speed on cpu is 250 s for a second of audio: give seconds, not milliseconds",
        offers("speed=(Speed('cpu', 0.0, 250.0, 'here'),)"),
    ),
    Way(
        "The factory gives nothing that can be called",
        "Its factory PACKAGE.work:create returned None; wanted a function",
        after="return",
    ),
    Way(
        "The output differs from the reference by more than is promised",
        "differs from the reference by 0.001, and promises identical: mend it, or declare what it keeps",
        body="activations = activations + np.float32(1e-3)",
    ),
    Way(
        "A model of its own promises parity",
        "there is no reference of the architectures own: declare parity=None",
        hook("allin1_models", "yield ModelCard('mine', 'x', (), 0.1, '', '', architecture='own')")
        + offers("'mine', 'nn', 'PACKAGE.work:run', models=('own',)", stage="nn"),
        work="def run(setup):\n    return network.create",
    ),
    Way("The output is of another type", "activations.values has dtype float16; wanted",
        body="activations = activations.astype('float16')"),
    Way("The output is shorter than the input", "It returned 6 frames; its input",
        body="activations = activations[: max(1, len(activations) - 1)]"),
    Way(
        "Arrays lie elsewhere than is declared",
        "its record produces allin1_core/npu: move it there, or declare where it lies",
        offers("produces=NPU, probe='PACKAGE.work:probe'")
        + hook(
            "allin1_bridges",
            "return [Bridge(HOST, NPU, 'PACKAGE.work:upload'), Bridge(NPU, HOST, 'PACKAGE.work:download')]",
        ),
        work="def probe():\n    return Ready('npu')",
    ),
    Way("The input is written to", "it writes to beat of its input: copy before you change",
        body="logits.beat.setflags(write=True); logits.beat[0] = 0"),
    Way(
        "The output is random",
        "a second call gives something else: seed what is random",
        body="activations = activations + np.float32(1e-9 * np.random.rand())",
    ),
    Way(
        "Something is kept from one call to the next",
        "keep nothing from one call to the next",
        body="calls.append(0); activations = activations + np.float32(len(calls))",
    ),
    Way("A call prints", "it prints on stdout ('at work'), which is for results",
        body="print('at work')"),
    Way(
        "A call raises",
        "it raised KeyError: 'tempo': --traceback shows where",
        body="calls = {}['tempo']",
    ),
    Way(
        "A call leaves the program",
        "it raised SystemExit: 3: --traceback shows where",
        body="raise SystemExit(3)",
    ),
    Way(
        "Threads are left behind",
        "it leaves threads behind (mine): end them in close()",
        after="threading.Thread(target=threading.Event().wait, daemon=True, name='mine').start()",
    ),
    Way(
        "A separator is silent about its progress",
        "it tells no progress: call task.progress(fraction) now and then",
        offers("'mine', 'demix', 'PACKAGE.work:separator', parity=None", stage="demix"),
        work="def separator(setup):\n    return lambda mix, task: Stems(np.stack([mix.samples / 4] * 4))",
    ),
    Way(
        "A separator cannot be cancelled",
        "what task.progress raises is swallowed: let it through, it cancels the run",
        offers("'mine', 'demix', 'PACKAGE.work:separator', parity=None", stage="demix"),
        work="""
def separator(setup):
    def call(mix, task):
        try:
            task.progress(1.0)
        except BaseException:
            pass
        return Stems(np.stack([mix.samples / 4] * 4))
    return call
""",
    ),
]  # fmt: skip

_numbers = itertools.count()


@pytest.fixture
def check(tmp_path, monkeypatch, capsys):
    """Install a plugin called ``mine`` as pip would, check it, and give the exit status and what was printed."""

    def install(distribution: str, package: str) -> None:
        info = tmp_path / f"{distribution}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n"
        )
        (info / "entry_points.txt").write_text(f"[allin1]\nmine = {package}.hooks\n")

    def check(way: Way, *, twice: bool = False) -> tuple[int, str, str]:
        package = f"broken_{next(_numbers)}"
        folder = tmp_path / package
        folder.mkdir()
        work = WORK.replace("BODY", way.body).replace("AFTER", way.after) + way.work
        for name, source in (("__init__", ""), ("hooks", HEAD + way.hooks), ("work", work)):
            (folder / f"{name}.py").write_text(source.replace("PACKAGE", package))
        for number in range(2 if twice else 1):
            install(f"allin1_mine_{number}", package)
        monkeypatch.syspath_prepend(str(tmp_path))
        if not way.real:
            clean = examining.ImportReport(0.0, (), "", "")
            for module in (backend_tests, plugin_tests):
                monkeypatch.setattr(module, "examine_import", lambda *_: clean)
            monkeypatch.setattr(plugin_tests, "import_time", lambda *_: 0.0)
            monkeypatch.setattr("allin1_core.testing.plugin_check.import_time", lambda *_: 0.0)
            monkeypatch.setattr(plugin_tests, "examine_targets", _targets_in_this_process)
        monkeypatch.setattr("allin1_core.testing.watching.PATIENCE_S", 0.05)
        status = run(["plugin", "check", "mine", "--no-timing"])
        return status, capsys.readouterr().out, package

    return check


def _targets_in_this_process(hooks: str) -> examining.TargetReport:
    found = examining.find_target_faults(hooks)
    return examining.TargetReport(tuple(found["faults"]), tuple(found["missing"]), "")


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.title)
def test_each_way_is_named_in_a_line_that_says_what_to_do(check, way):
    status, out, package = check(way)
    words = way.words.replace("PACKAGE", package)
    lines = [line for line in out.splitlines() if line.startswith("  BROKEN") and words in line]
    assert lines, out
    assert status == 1


def test_a_right_plugin_keeps_every_promise(check):
    status, out, _ = check(Way("nothing is wrong", "", real=True))
    assert "BROKEN" not in out
    assert re.search(r"^\d\d kept, 0 broken, \d+ not checked here$", out, re.MULTILINE)
    assert status == 0


def test_two_distributions_of_one_name_are_named_both(check):
    status, out, _ = check(WAYS[0], twice=True)
    assert status == 1
    assert "allin1_mine_0 and allin1_mine_1 both provide a plugin of this name" in out
    assert "Uninstall one: pip uninstall allin1_mine_" in out


def test_the_table_lists_every_way_and_no_other():
    text = (DOCS / "testing.md").read_text(encoding="utf-8")
    table = text.partition("## Ways to break a plugin")[2]
    rows = re.findall(r"^\| ([^|]+?) \| [^|]+ \|$", table, re.MULTILINE)
    assert rows[1:] == [way.title for way in WAYS]
    assert len(WAYS) >= 30


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("torhc", 5, "There is no plugin torhc."),
        ("reference", 5, "Plugin reference is the core's, which has tests of its own."),
    ],
)
def test_plugins_that_cannot_be_checked(capsys, name, status, words):
    assert run(["plugin", "check", name]) == status
    assert words in capsys.readouterr().err
