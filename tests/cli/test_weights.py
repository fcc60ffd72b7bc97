from __future__ import annotations

import hashlib
import inspect
import json
import subprocess
import sys
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from allin1_core.cli.weights import command
from allin1_core.contracts.model import ModelCard, SeparatorCard, WeightsFile
from allin1_core.errors import SelectionError, WeightsError
from allin1_core.markers import hookimpl
from allin1_core.plugins.loading import load_plugins


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ALLIN1_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("ALLIN1_WEIGHTS_DIR", raising=False)
    monkeypatch.setenv("ALLIN1_DISABLE_AUTOLOAD", "1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "cache" / "weights"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A folder with the two files of the small models."""
    folder = tmp_path / "good"
    folder.mkdir()
    for k in range(2):
        values = np.random.default_rng(k).standard_normal(1000).astype(np.float32)
        np.savez(folder / f"small{k}.npz", values=values)
    return folder


@pytest.fixture
def small(good: Path, monkeypatch: pytest.MonkeyPatch):
    """Make ``small-all`` and its members the only models, served from `good` on this machine."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(good)))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    files = []
    for path in sorted(good.iterdir()):
        content = path.read_bytes()
        url = f"http://127.0.0.1:{server.server_address[1]}/{path.name}"
        files.append(
            WeightsFile(path.name, hashlib.sha256(content).hexdigest(), len(content), (url,))
        )
    cards = tuple(
        ModelCard(name, "Seeded", tuple(members), 0.2, "Nobody owns random numbers.", "tests")
        for name, members in (
            ("small-all", files),
            ("small-0", files[:1]),
            ("small-1", files[1:]),
        )
    )
    monkeypatch.setattr("allin1_core.weights.catalogue.catalogue", lambda: cards)
    monkeypatch.setattr("allin1_core.cli.weights.DEFAULT_MODEL", "small-all")
    yield cards
    server.shutdown()
    thread.join()
    server.server_close()


def run(*args: str | Path) -> Result:
    # Older versions of click put what goes to stderr into stdout unless they are told not to.
    is_old = "mix_stderr" in inspect.signature(CliRunner).parameters
    runner = CliRunner(mix_stderr=False) if is_old else CliRunner()
    return runner.invoke(command, [str(arg) for arg in args])


def run_well(*args: str | Path) -> str:
    result = run(*args)
    assert result.exception is None, result.exception
    return result.stdout


def test_list_shows_every_model_its_size_and_both_facts_about_the_licence():
    text = run_well("list")
    for name in ("harmonix-all", *(f"harmonix-fold{k}" for k in range(8))):
        assert any(line.split()[:1] == [name] for line in text.splitlines())
    (line,) = [line for line in text.splitlines() if line.startswith("harmonix-all ")]
    assert line.split()[1:6] == ["8", "10.1", "MB", "not", "here"]
    assert "under MIT" in text
    assert "CC BY-NC-SA 4.0" in text


def test_list_says_where_the_files_lie(small, good, cache):
    (cache / "small1.npz").write_bytes((good / "small1.npz").read_bytes())
    lines = {line.split()[0]: line for line in run_well("list").splitlines() if line}
    assert f"1 of 2 in {cache}" in lines["small-all"]
    assert "not here" in lines["small-0"]
    assert f" {cache} " in lines["small-1"]
    lines = {
        line.split()[0]: line
        for line in run_well("list", "--weights-dir", good).splitlines()
        if line
    }
    assert all(f" {good} " in lines[name] for name in ("small-all", "small-0", "small-1"))


class PluginWithModel:
    @hookimpl
    def allin1_models(self):
        return [ModelCard("mine", "Rules of thumb", (), 0.1, "Mine alone.", "my plugin")]


def test_list_shows_the_models_of_plugins_with_their_own_licence(monkeypatch):
    plugins = load_plugins(autoload=False, extra={"mine": PluginWithModel()})
    monkeypatch.setattr("allin1_core.cli.weights.load_plugins", lambda _: plugins)
    text = run_well("list")
    (line,) = [line for line in text.splitlines() if line.startswith("mine ")]
    assert "in its plugin" in line
    assert "\nmine\n  Source: my plugin\n  Licence: Mine alone.\n" in text
    assert "\nharmonix-all" in text


class PluginWithSeparator:
    def __init__(self, *files: WeightsFile) -> None:
        self.files = files

    @hookimpl
    def allin1_separators(self):
        return [SeparatorCard("unet", "Four stems", self.files, "MIT", "my plugin")]


def test_separation_models_are_listed_fetched_and_verified_too(small, cache, monkeypatch):
    plugin = PluginWithSeparator(small[0].files[0], replace(small[0].files[1], size=0, sha256=""))
    plugins = load_plugins(autoload=False, extra={"mine": plugin})
    monkeypatch.setattr("allin1_core.cli.weights.load_plugins", lambda _: plugins)
    (line,) = [line for line in run_well("list").splitlines() if line.startswith("unet ")]
    assert line.split()[1:5] == ["2", "unknown", "not", "here"]
    (record,) = [m for m in json.loads(run_well("list", "--json")) if m["kind"] == "separation"]
    assert record["name"] == "unet"
    assert "architecture" not in record
    paths = run_well("fetch", "unet").splitlines()
    assert paths == [str(cache / "small0.npz"), str(cache / "small1.npz")]
    assert [line.split()[0] for line in run_well("verify", "unet").splitlines()] == ["ok", "ok"]
    (cache / "small1.npz").write_bytes(b"changed")
    assert isinstance(run("verify", "unet").exception, WeightsError)


def test_list_gives_the_same_to_a_program(small, good, cache):
    (cache / "small1.npz").write_bytes((good / "small1.npz").read_bytes())
    models = json.loads(run_well("list", "--json"))
    assert [model["name"] for model in models] == ["small-all", "small-0", "small-1"]
    assert models[0]["licence"] == "Nobody owns random numbers."
    assert models[0]["downbeat_threshold"] == 0.2
    assert [file["path"] for file in models[0]["files"]] == [None, str(cache / "small1.npz")]
    for file, known in zip(models[0]["files"], small[0].files, strict=True):
        assert (file["name"], file["size"], file["sha256"]) == (
            known.name,
            known.size,
            known.sha256,
        )
        assert file["urls"] == list(known.urls)


def test_fetch_downloads_the_default_model_and_prints_the_paths(small, good, cache):
    for _ in range(2):
        paths = [cache / "small0.npz", cache / "small1.npz"]
        assert run_well("fetch").splitlines() == [str(path) for path in paths]
        for path in paths:
            assert path.read_bytes() == (good / path.name).read_bytes()


def test_fetch_downloads_only_the_models_it_is_asked_for(small, cache):
    assert run_well("fetch", "small-1").splitlines() == [str(cache / "small1.npz")]
    assert [path.name for path in cache.iterdir()] == ["small1.npz"]


def test_fetch_puts_files_into_the_folder_of_weights_dir_and_mends_it(small, good, cache, tmp_path):
    folder = tmp_path / "new" / "folder"
    run_well("fetch", "--weights-dir", folder)
    (folder / "small0.npz").write_bytes(b"spoilt")
    run_well("fetch", "--weights-dir", folder)
    for name in ("small0.npz", "small1.npz"):
        assert (folder / name).read_bytes() == (good / name).read_bytes()
    assert list(cache.iterdir()) == []


def test_fetch_of_what_is_not_served_is_an_error_with_instructions(small, good, cache):
    (good / "small1.npz").unlink()
    result = run("fetch")
    assert isinstance(result.exception, WeightsError)
    assert result.exception.exit_code == 4
    assert "404" in str(result.exception)
    assert str(cache) in str(result.exception)


def test_verify_passes_whole_files_without_downloading(small, good):
    lines = run_well("verify", "--weights-dir", good).splitlines()
    assert [line.split() for line in lines] == [
        ["ok", str(good / "small0.npz")],
        ["ok", str(good / "small1.npz")],
    ]


def test_verify_reports_damaged_and_missing_files_and_fails_with_4(small, good, cache):
    (cache / "small0.npz").write_bytes((good / "small0.npz").read_bytes()[:-1])
    result = run("verify")
    assert isinstance(result.exception, WeightsError)
    assert result.exception.exit_code == 4
    damaged, missing = result.stdout.splitlines()
    assert damaged.split()[0] == "damaged"
    assert str(cache / "small0.npz") in damaged
    assert "Truncated" in damaged
    assert missing.split() == ["missing", "small1.npz"]
    assert [path.name for path in cache.iterdir()] == ["small0.npz"]


def test_verify_gives_the_same_to_a_program_and_still_fails(small, good, cache):
    (cache / "small0.npz").mkdir()
    result = run("verify", "--json")
    assert isinstance(result.exception, WeightsError)
    unreadable, missing = json.loads(result.stdout)
    assert (unreadable["status"], unreadable["path"]) == ("damaged", str(cache / "small0.npz"))
    assert "Cannot be read" in unreadable["problem"]
    assert missing == {"name": "small1.npz", "status": "missing", "path": None, "problem": None}


def test_verify_looks_only_at_the_models_it_is_asked_for(small, good, cache):
    (cache / "small0.npz").write_bytes((good / "small0.npz").read_bytes())
    assert run_well("verify", "small-0").split()[0] == "ok"


def test_path_prints_the_folder_that_is_looked_in_first(cache, tmp_path, monkeypatch):
    assert run_well("path") == f"{cache}\n"
    monkeypatch.setenv("ALLIN1_WEIGHTS_DIR", str(tmp_path))
    assert run_well("path") == f"{tmp_path}\n"
    assert run_well("path", "--weights-dir", cache) == f"{cache}\n"


def test_path_prints_the_files_of_a_model_or_what_to_do(small, good):
    lines = run_well("path", "small-all", "--weights-dir", good).splitlines()
    assert lines == [str(good / "small0.npz"), str(good / "small1.npz")]
    result = run("path", "small-1")
    assert isinstance(result.exception, WeightsError)
    assert "allin1 weights fetch small-1" in str(result.exception)


@pytest.mark.parametrize("verb", ["fetch", "verify", "path"])
def test_an_unknown_model_is_answered_with_the_known_ones(small, verb):
    result = run(verb, "small-2")
    assert isinstance(result.exception, SelectionError)
    assert "small-all, small-0, small-1" in str(result.exception)


def test_verify_knows_the_published_files(weights_dir: Path):
    lines = run_well("verify", "--weights-dir", weights_dir).splitlines()
    assert [line.split()[0] for line in lines] == ["ok"] * 8


def test_listing_verifying_and_paths_load_nothing_heavy():
    code = """
import sys
from click.testing import CliRunner
from allin1_core.cli.weights import command
assert not {"rich", "tomllib", "tomli", "platformdirs"} & set(sys.modules)
for args in (["--help"], ["list"], ["verify"], ["path"]):
    CliRunner().invoke(command, args)
print(sorted({"numpy", "pooch", "requests", "rich"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_model_of_this_package_is_here_without_a_download(cache):
    lines = {line.split()[0]: line for line in run_well("list").splitlines() if line}
    assert "comes with the package" in lines["builtin"]
    assert "(version " in lines["builtin-0"]
    models = {model["name"]: model for model in json.loads(run_well("list", "--json"))}
    builtin = models["builtin"]
    assert (builtin["takes"], models["harmonix-all"]["takes"]) == ("mix", "stems")
    assert builtin["version"]
    paths = [file["path"] for file in builtin["files"]]
    assert all(file["comes_with"] == "allin1_core.weights.builtin" for file in builtin["files"])
    assert run_well("path", "builtin").split() == paths
    assert run_well("fetch", "builtin").split() == paths
    assert (
        run_well("fetch", f"builtin@{builtin['version']}", "--weights-dir", cache).split() == paths
    )
    assert list(cache.iterdir()) == []
    verified = json.loads(run_well("verify", "builtin", "--json"))
    assert [(file["path"], file["status"]) for file in verified] == [(p, "ok") for p in paths]
