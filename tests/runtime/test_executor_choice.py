"""Executors of plugins: selected by name, set up with the user's request, and used instead of the core's."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

import allin1_core
from allin1_core.cli.main import run
from allin1_core.contracts.backend import Backend, Needs
from allin1_core.contracts.executor import Executor
from allin1_core.contracts.options import Option
from allin1_core.errors import BatchError, PluginError, SelectionError, SettingsError
from allin1_core.plugins import loading
from allin1_core.plugins.collecting import collect_offers
from allin1_core.runtime import session as session_module
from allin1_core.runtime.batch import Outcome
from allin1_core.runtime.executor_choice import make_executor
from allin1_core.runtime.executors import InProcess, InWorkers
from allin1_core.runtime.session import Session
from allin1_core.runtime.track import Track, make_tracks
from allin1_core.runtime.worker_process import SessionRecipe

PLUGIN = "executor backwards of plugin mine"
OPTIONS = (Option("nodes", int, 1, "Machines"), Option("queue", str))
MINE = Executor("backwards", "The last song first", "executor_of_a_test:create", options=OPTIONS)


class Backwards:
    """Runs the last song first, and gives the outcomes in order."""

    def __init__(self, setup):
        self.setup = setup

    def run(self, tracks, **options):
        inner = InProcess(self.setup.session)
        outcomes = [outcome for track in tracks[::-1] for outcome in inner.run([track], **options)]
        return iter(outcomes[::-1])


@pytest.fixture
def seen(monkeypatch):
    """Setups that the executor's target was called with; the module of that target."""
    setups = []

    def create(setup):
        setups.append(setup)
        if setup.options["queue"] == "broken":
            raise OSError("no such queue")
        if setup.options["queue"] == "full":
            raise SettingsError("The queue is full.")
        return Backwards(setup)

    module = ModuleType("executor_of_a_test")
    module.create = create
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return setups


@pytest.fixture
def giving(seen, monkeypatch, mine):
    """Let the executor give what a function makes of the right outcomes; give the session's runner."""

    def give(change):
        class Changed(Backwards):
            def run(self, tracks, **options):
                return change(list(super().run(tracks, **options)), options)

        monkeypatch.setattr(sys.modules["executor_of_a_test"], "create", Changed)

    return give


@pytest.fixture
def songs(write_song):
    return [write_song(name, 3.0) for name in ("a.wav", "b.wav", "c.wav")]


WRONG = {
    "dropped": (lambda all, _: [all[0], all[2]], ["done", "failed", "done"], 0),
    "none": (lambda all, _: [], ["failed"] * 3, 0),
    "twice": (lambda all, _: [all[0], all[0], *all[1:], all[1]], ["done"] * 3, 2),
    "late": (lambda all, _: all[::-1], ["done"] * 3, 0),
    "foreign": (
        lambda all, _: [replace(all[0], track=Track("x", Path("x.wav"))), *all],
        ["done"] * 3,
        1,
    ),
}


@pytest.mark.parametrize("way", WRONG)
def test_each_track_has_one_outcome_in_its_place_whatever_an_executor_gives(
    giving, mine, songs, way, caplog
):
    change, statuses, warnings = WRONG[way]
    giving(change)
    tracks = make_tracks(songs)
    with Session("builtin", plugins=mine) as session:
        runner = make_executor("backwards", session, SessionRecipe())
        outcomes = list(runner.run(tracks, only="beats"))
    assert [outcome.track for outcome in outcomes] == tracks
    assert [outcome.status for outcome in outcomes] == statuses
    for outcome in outcomes:
        if outcome.status == "failed":
            assert isinstance(outcome.error, PluginError)
            assert f"{PLUGIN} returned no outcome for this song." in str(outcome.error)
            assert str(outcome.track.path) in str(outcome.error)
    dropped = [text for text in caplog.messages if "it is dropped" in text]
    assert len(dropped) == warnings
    assert all(PLUGIN in text for text in dropped)


def test_the_command_line_and_python_report_a_song_that_an_executor_drops(giving, songs, capsys):
    giving(lambda all, _: all[:1])
    words = ["analyze", "-m", "builtin", "--only", "beats", "--executor", "backwards", "--json"]
    assert run([*words, *map(str, songs[:2])]) != 0
    assert f"{PLUGIN} returned no outcome for this song" in capsys.readouterr().err
    with pytest.raises(BatchError, match=f"(?s)1 of 2 tracks failed.*{PLUGIN} returned no outcome"):
        allin1_core.analyze(songs[:2], model="builtin", only="beats", executor="backwards")


def _raising(error):
    def change(outcomes, _):
        yield outcomes[0]
        raise error

    return change


def test_what_an_executor_raises_while_it_runs_is_one_line_and_in_full_with_traceback(
    giving, songs, capsys
):
    giving(_raising(KeyError("queue")))
    words = ["analyze", "-m", "builtin", "--only", "beats", "--executor", "backwards", "--json"]
    words += map(str, songs[:2])
    assert run(words) == PluginError.exit_code
    err = capsys.readouterr().err
    assert f"The {PLUGIN} failed: KeyError: 'queue'" in err
    assert "Traceback" not in err
    assert run(["--traceback", *words]) == PluginError.exit_code
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (SystemExit(0), PluginError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (SettingsError("The queue is full."), SettingsError),
    ],
)
def test_ctrl_c_and_errors_for_people_pass_through_an_executor(giving, mine, songs, error, wanted):
    giving(_raising(error))
    with Session("builtin", plugins=mine) as session:
        outcomes = make_executor("backwards", session, SessionRecipe()).run(make_tracks(songs[:2]))
        assert next(outcomes).status == "done"
        with pytest.raises(wanted):
            next(outcomes)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (lambda all: None, "failed: TypeError"),
        (lambda all: ["a song"], "returned str; wanted Outcome."),
        (
            lambda all: [Outcome(all[0].track)],
            "returned an outcome that is done and has no result.",
        ),
        (
            lambda all: [Outcome(all[0].track, status="failed")],
            "returned a failed outcome without an Allin1Error.",
        ),
    ],
)
def test_what_is_not_an_outcome_is_the_plugins_failure(giving, mine, songs, given, told):
    giving(lambda all, _: given(all))
    with Session("builtin", plugins=mine) as session:
        runner = make_executor("backwards", session, SessionRecipe())
        with pytest.raises(PluginError, match=f"{PLUGIN} {told}"):
            list(runner.run(make_tracks(songs[:1]), only="beats"))


def test_what_the_callers_progress_raises_is_not_blamed_on_the_executor(giving, mine, songs):
    def stop(index, stage, fraction):
        raise ValueError("enough")

    def tell(outcomes, options):
        options["progress"](0, "nn", 0.5)
        return outcomes

    giving(lambda all, _: all)
    with Session("builtin", plugins=mine) as session:
        runner = make_executor("backwards", session, SessionRecipe())
        runner.runner.run = lambda tracks, **options: tell([], options)
        with pytest.raises(ValueError, match="enough"):
            list(runner.run(make_tracks(songs[:1]), progress=stop))


def test_closing_the_outcomes_closes_what_the_executor_gave(giving, mine, songs):
    closed = []

    def change(outcomes, _):
        try:
            yield from outcomes
        finally:
            closed.append(True)

    giving(change)
    with Session("builtin", plugins=mine) as session:
        runner = make_executor("backwards", session, SessionRecipe())
        outcomes = runner.run(make_tracks(songs[:2]), only="beats")
        next(outcomes)
        outcomes.close()
    assert closed == [True]


@pytest.fixture
def mine(isolated_plugins, make_plugin, monkeypatch):
    plugins = isolated_plugins(mine=make_plugin(allin1_executors=lambda: [MINE]))
    for module in (loading, session_module):
        monkeypatch.setattr(module, "load_plugins", lambda **_: plugins)
    return plugins


def test_a_plugins_executor_runs_the_songs_in_place_of_the_cores(
    mine, seen, write_song, tmp_path, capsys
):
    songs = [str(write_song(name, 3.0)) for name in ("a.wav", "b.wav")]
    words = ["analyze", "-m", "builtin", "--only", "beats", *songs, "-o", str(tmp_path / "out")]
    words += ["--executor", "backwards", "-O", "mine.nodes=3", "-j", "2"]
    assert run(words) == 0
    (setup,) = seen
    assert (setup.jobs, setup.devices, setup.options) == (2, (), {"nodes": 3, "queue": None})
    assert setup.recipe.model == "builtin"
    printed = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in printed] == [
        str(tmp_path / "out" / f"{name}.json") for name in "ab"
    ]
    written = json.loads((tmp_path / "out" / "b.json").read_text())
    local = allin1_core.analyze(songs[1], model="builtin", only="beats", plugins=mine)
    assert written["beats"] == local.beats


def test_the_recipe_makes_the_same_session_elsewhere(mine, seen, write_song):
    song = write_song("a.wav", 3.0)
    words = [
        "--block",
        "other",
        "analyze",
        "-m",
        "builtin",
        "--parity",
        "lossy",
        str(song),
        "--json",
    ]
    assert run([*words, "--executor", "backwards", "--device", "cpu"]) == 0
    (setup,) = seen
    assert setup.devices == ("cpu",)
    recipe = setup.recipe
    assert (recipe.block, recipe.options["parity"], recipe.options["device"]) == (
        ("other",),
        "lossy",
        "cpu",
    )
    with Session(recipe.model, plugins=mine, **recipe.options) as session:
        assert session.analyze(song).beats == setup.session.analyze(song).beats


def test_options_of_an_executor_come_from_the_configuration_file_too(
    mine, seen, tmp_path, monkeypatch
):
    config = tmp_path / "config.toml"
    config.write_text('[plugins.mine]\nqueue = "night"\n')
    monkeypatch.setenv("ALLIN1_CONFIG", str(config))
    session = Session("builtin", plugins=mine)
    make_executor("backwards", session, SessionRecipe())
    assert seen[0].options == {"nodes": 1, "queue": "night"}
    with pytest.raises(SettingsError, match="nodes is 'two'"):
        Session("builtin", plugins=mine, plugin_options={"mine": {"nodes": "two"}})


def test_an_executor_that_is_not_there_is_named_with_those_that_are(mine):
    session = Session("builtin", plugins=mine)
    with pytest.raises(
        SelectionError, match="'backward'.*Did you mean backwards.*local, backwards"
    ):
        make_executor("backward", session, SessionRecipe())


def test_what_an_executor_needs_is_said_before_it_is_imported(isolated_plugins, make_plugin):
    record = Executor("far", "Elsewhere", "nowhere:create", Needs(("no-such-library>=2",)))
    plugins = isolated_plugins(mine=make_plugin(allin1_executors=lambda: [record]))
    with pytest.raises(
        SelectionError, match=r"far cannot run: no-such-library is not installed.*pip"
    ):
        make_executor("far", Session("builtin", plugins=plugins), SessionRecipe())


def test_an_executor_that_fails_is_reported_as_its_plugins_failure(mine, seen):
    def make(queue):
        session = Session("builtin", plugins=mine, plugin_options={"mine": {"queue": queue}})
        return make_executor("backwards", session, SessionRecipe())

    with pytest.raises(PluginError, match=r"backwards of plugin mine failed: .*no such queue"):
        make("broken")
    with pytest.raises(SettingsError, match="The queue is full"):
        make("full")


def test_an_executor_and_a_backend_of_a_plugin_cannot_share_an_option_of_two_types(
    isolated_plugins, make_plugin
):
    backend = Backend("mine", "nn", "somewhere:create", options=(Option("nodes", str),))
    plugin = make_plugin(allin1_nn=lambda: [backend], allin1_executors=lambda: [MINE])
    offers = collect_offers(isolated_plugins(mine=plugin))
    assert "backwards" not in offers.executors
    (problem,) = offers.problems
    assert (problem.hook, problem.reason) == (
        "allin1_executors",
        "Executor backwards: option nodes has another type in a backend.",
    )


def test_the_cores_executor_is_local_and_takes_a_process_a_job_or_device(isolated_plugins):
    session = Session("builtin", plugins=isolated_plugins())
    recipe = SessionRecipe("builtin")
    assert isinstance(make_executor(None, session, recipe), InProcess)
    assert isinstance(make_executor("local", session, recipe, devices=("cuda:1",)), InProcess)
    assert isinstance(make_executor("local", session, recipe, jobs=2), InWorkers)
    assert isinstance(make_executor(None, session, recipe, devices=("cuda:0", "cuda:1")), InWorkers)


def test_allin1_plugins_lists_executors_and_their_options(mine, capsys):
    assert run(["plugins"]) == 0
    printed = capsys.readouterr().out
    assert "executors: local" in printed
    assert "executors: backwards" in printed
    assert "option mine.nodes (int, 1): Machines" in printed


def test_the_options_of_an_executor_are_no_part_of_what_a_result_is(seen, mine, songs, tmp_path):
    given = {"model": "builtin", "only": "beats", "executor": "backwards"}
    for nodes, status in ((1, "done"), (2, "skipped")):
        (outcome,) = allin1_core.analyze_iter(
            songs[:1], tmp_path, **given, plugin_options={"mine": {"nodes": nodes}}
        )
        assert outcome.status == status
    assert seen[-1].options["nodes"] == 2
