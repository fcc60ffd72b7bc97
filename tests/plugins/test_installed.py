"""Plugins installed by pip: wheels with entry points, in a folder of their own on the path."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import soundfile

from allin1_core.errors import PluginError
from allin1_core.plugins.loading import BUILT_IN, load_plugins
from allin1_core.plugins.record import PluginRecord
from allin1_core.testing.signals import music_mix

HOOKS = """
from allin1_core.contracts.backend import Backend
from allin1_core.markers import hookimpl

@hookimpl
def allin1_spectrogram():
    return [Backend("{name}", "spectrogram", "somewhere:create", summary="for a test")]
"""

RAISING = """
from allin1_core.markers import hookimpl

@hookimpl
def allin1_spectrogram():
    raise OSError("no licence file")
"""

SHUFFLING = """
import random

from allin1_core.contracts.executor import Executor
from allin1_core.markers import hookimpl
from allin1_core.runtime.batch import run_batch

@hookimpl
def allin1_executors():
    yield Executor("shuffling", "In any order, one twice, one not at all", "plug_shuffling:create")

class Shuffling:
    def __init__(self, setup):
        self.session = setup.session

    def run(self, tracks, **options):
        order = list(range(len(tracks)))
        while order == sorted(order):
            random.Random(0).shuffle(order)
        lost = order.pop()
        for index in order:
            outcomes = list(run_batch(self.session, [tracks[index]], **options))
            yield from outcomes
        yield from outcomes  # once more
        print("lost:", tracks[lost].name)

def create(setup):
    return Shuffling(setup)
"""


def build_wheel(folder: Path, distribution: str, plugin: str, source: str) -> Path:
    module = distribution.replace("-", "_")
    info = f"{module}-1.0.dist-info"
    wheel = folder / f"{module}-1.0-py3-none-any.whl"
    files = {
        f"{module}.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[allin1]\n{plugin} = {module}\n",
    }
    record = "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD"))
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(name, text)
    return wheel


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real distributions: one good, one for each way to be bad."""
    wheels = tmp_path_factory.mktemp("wheels")
    site = tmp_path_factory.mktemp("site")
    sources = {
        ("plug-good", "good"): HOOKS.format(name="good"),
        ("plug-import", "bad-import"): "import a_library_that_does_not_exist",
        ("plug-exit", "bad-exit"): "raise SystemExit(3)",
        ("plug-twin-one", "twin"): HOOKS.format(name="one"),
        ("plug-twin-two", "twin"): HOOKS.format(name="two"),
        ("plug-future", "future"): "ALLIN1_API = 99\n" + HOOKS.format(name="future"),
        ("plug-raising", "raising"): RAISING,
        ("plug-shuffling", "shuffling"): SHUFFLING,
    }
    built = [build_wheel(wheels, *key, source) for key, source in sources.items()]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    ran = subprocess.run(
        [*command, "--target", str(site), *map(str, built)],
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        pytest.fail(f"pip could not install the test distributions: {ran.stderr}")
    return site


def allin1(site: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ALLIN1_")}
    environment |= {"PYTHONPATH": str(site), **variables}
    return subprocess.run(
        [sys.executable, "-m", "allin1_core", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


def records(site: Path, *options: str, **variables: str) -> dict[str, dict[str, str]]:
    ran = allin1(site, *options, "plugins", "--json", **variables)
    assert ran.returncode == 0, ran.stderr
    return {record["name"]: record for record in json.loads(ran.stdout)["plugins"]}


def test_each_bad_plugin_is_left_out_with_its_reason_and_the_good_one_works(site: Path) -> None:
    found = records(site)
    assert found["good"]["status"] == "loaded"
    assert (found["good"]["distribution"], found["good"]["version"]) == ("plug-good", "1.0")
    assert found["bad-import"]["status"] == "broken"
    assert "a_library_that_does_not_exist" in found["bad-import"]["reason"]
    assert "plug-import" in found["bad-import"]["remedy"]
    assert found["bad-exit"]["status"] == "broken"
    assert found["future"]["status"] == "incompatible"
    assert found["twin"]["status"] == "incompatible"
    assert "plug-twin-one and plug-twin-two" in found["twin"]["reason"]
    assert found["reference"]["status"] == "loaded"


def test_a_plugin_with_a_name_of_the_core_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    info = tmp_path / "plug_core-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plug-core\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[allin1]\nreference = plug_core_hooks\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for _ in range(2):
        core, other = [r for r in load_plugins().records if r.name == "reference"]
    assert (core.status, core.distribution) == ("loaded", "allin1-core")
    assert (other.status, other.distribution) == ("incompatible", "plug-core")
    told = (
        "Plugin reference (plug-core 1.0) is incompatible: allin1-core has a plugin of this name, so"
        " this one is not loaded. Uninstall it: pip uninstall plug-core"
    )
    assert [text for text in caplog.messages if "reference" in text] == [told]


def test_a_plugin_that_two_distributions_bring_is_named_without_a_version() -> None:
    record = PluginRecord("twin", "incompatible", "one, two", reason="Both bring it.")
    assert str(record) == "Plugin twin (one, two) is incompatible: Both bring it."


def test_a_raising_hook_is_shown_and_its_plugin_stays(site: Path) -> None:
    ran = allin1(site, "plugins", "--json")
    (problem,) = json.loads(ran.stdout)["problems"]
    assert problem["plugin"] == "raising"
    assert "no licence file" in problem["reason"]


def test_help_plugins_doctor_and_backends_work_with_every_plugin_broken(site: Path) -> None:
    for arguments in (["--help"], ["plugins"], ["backends"], ["doctor"]):
        ran = allin1(site, *arguments)
        assert ran.returncode == 0, ran.stderr
        assert "Traceback" not in ran.stderr
    assert "bad-import is broken" in allin1(site, "doctor").stdout


def test_a_run_warns_of_each_bad_plugin_in_one_line(site: Path, tmp_path: Path) -> None:
    ran = allin1(site, "analyze", "--stems-dir", str(tmp_path), "-o", str(tmp_path / "out"))
    warnings = [line for line in ran.stderr.splitlines() if line.startswith("WARNING")]
    for name in ("bad-import", "bad-exit", "future", "twin", "raising"):
        assert sum(name in line for line in warnings) == 1, ran.stderr


def test_strictness_is_an_error_that_names_the_plugin(site: Path) -> None:
    for ran in (
        allin1(site, "--strict", "plugins"),
        allin1(site, "plugins", ALLIN1_STRICT="1"),
    ):
        assert ran.returncode == 5
        assert ran.stderr.startswith("allin1: error: Plugin bad-exit")
        assert "Traceback" not in ran.stderr


def test_a_bad_plugin_can_be_blocked(site: Path) -> None:
    assert records(site, "--block", "bad-import")["bad-import"]["status"] == "blocked"
    assert records(site, ALLIN1_BLOCK="twin,good")["good"]["status"] == "blocked"


def test_nothing_is_loaded_when_autoload_is_off(site: Path) -> None:
    assert set(records(site, ALLIN1_DISABLE_AUTOLOAD="1")) == set(BUILT_IN)


def test_outcomes_of_an_executor_that_shuffles_are_put_in_order_and_counted(
    site: Path, tmp_path: Path
) -> None:
    names = ["d", "a", "e", "c", "b"]
    songs = [str(tmp_path / f"{name}.wav") for name in names]
    for song in songs:
        soundfile.write(song, music_mix(2.0).samples.T, 44_100)
    out = tmp_path / "out"
    options = ("--executor", "shuffling", "-m", "builtin", "--only", "beats", "-o", str(out))
    ran = allin1(site, "analyze", *options, "--report", str(tmp_path / "report"), *songs)
    assert ran.returncode == PluginError.exit_code, ran.stderr
    # What plugins print is kept out of stdout.
    (lost,) = re.findall("^lost: (.)$", ran.stderr, re.MULTILINE)
    assert [line.partition(":")[0] for line in ran.stdout.splitlines()] == [
        str(out / f"{name}.json") for name in names if name != lost
    ]
    report = [json.loads(line) for line in (tmp_path / "report").read_text().splitlines()]
    assert [Path(row["input"]).stem for row in report] == names
    assert [row["status"] for row in report] == [
        "failed" if name == lost else "done" for name in names
    ]
    said = (
        f"{lost}.wav: The executor shuffling of plugin shuffling returned no outcome for this song"
    )
    assert ran.stderr.count(said) == 1
    assert ran.stderr.count("more than once; it is dropped") == 1


@pytest.mark.parametrize(
    ("entry_points", "metadata"),
    [
        ("[allin1]\nno equals sign\n", "Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n"),
        ("[allin1]\nno-version = plug_good\n", "Metadata-Version: 2.1\nName: odd\n"),
        ("[allin1]\nno-metadata = plug_good\n", ""),
    ],
)
def test_damaged_metadata_of_one_distribution_does_not_hide_the_others(
    site: Path, tmp_path: Path, entry_points: str, metadata: str
) -> None:
    info = tmp_path / "odd-1.0.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text(entry_points)
    if metadata:
        (info / "METADATA").write_text(metadata)
    path = os.pathsep.join([str(tmp_path), str(site)])
    # Nothing is probed: PyTorch, for one, cannot be imported beside such metadata.
    for command, words in (
        (["plugins", "--json"], '"good"'),
        (["weights", "list"], "harmonix-all"),
    ):
        ran = allin1(site, *command, PYTHONPATH=path)
        assert ran.returncode == 0, ran.stderr
        assert "Traceback" not in ran.stderr
        assert words in ran.stdout


def test_tracebacks_of_plugins_are_shown_by_every_command_when_requested(site: Path) -> None:
    for command in ("plugins", "doctor", "backends"):
        ran = allin1(site, command, "--traceback")
        assert ran.returncode == 0, ran.stderr
        for words in ("ModuleNotFoundError", "SystemExit: 3", "OSError: no licence file"):
            assert words in ran.stderr, command
