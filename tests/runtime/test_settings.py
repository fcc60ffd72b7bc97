"""Precedence: an argument, then ALLIN1_BACKEND, the configuration file, a plugin, and auto."""

from __future__ import annotations

import platformdirs
import pytest

from allin1_core.api import spectrogram_choice
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.parity import IDENTICAL, LOSSY
from allin1_core.contracts.speed import Speed
from allin1_core.errors import InputError, SelectionError, SettingsError
from allin1_core.runtime.settings import config_path, read_settings

STAGE = "metrical_prep"


@pytest.fixture
def config(tmp_path, monkeypatch):
    def write(text):
        path = tmp_path / "config.toml"
        path.write_text(text, encoding="utf-8")
        monkeypatch.setenv("ALLIN1_CONFIG", str(path))
        return path

    return write


@pytest.fixture
def plugins(make_plugin):
    """Five backends of a stage; of two plugins, the second wants its own way."""
    names = ("cheap", "by-file", "by-variable", "by-argument")
    backends = [
        Backend(name, STAGE, "nowhere:create", speed=(Speed("cpu", 0, 1e-9 * (i + 1), "a test"),))
        for i, name in enumerate(names)
    ]

    def select(request, routes):
        return next((r for r in routes if "reference" in str(r)), None)

    return {
        "mine": make_plugin(allin1_metrical_prep=lambda: backends),
        "wilful": make_plugin(allin1_select_route=select),
    }


def chosen(session):
    return str(session.decide(session.request((STAGE,), 10.0)).chosen)


def test_each_stands_above_the_next(make_session, plugins, config, monkeypatch):
    assert chosen(make_session(plugins={"mine": plugins["mine"]})) == f"{STAGE}=cheap"
    assert chosen(make_session(plugins=plugins)) == f"{STAGE}=reference"
    config(f'[backends]\n{STAGE} = "by-file"\n')
    session = make_session(plugins=plugins)
    # The plugin is asked, of routes among which only the one named is.
    assert chosen(session) == f"{STAGE}=by-file"
    monkeypatch.setenv("ALLIN1_BACKEND", f"{STAGE}=by-variable")
    # make_session loads isolated plugins, whose fixture has run; the variable is read by the session.
    assert chosen(make_session(plugins=plugins)) == f"{STAGE}=by-variable"
    named = make_session(plugins=plugins, backends={STAGE: "by-argument"})
    assert chosen(named) == f"{STAGE}=by-argument"
    free = make_session(plugins={"mine": plugins["mine"]}, backends={STAGE: "auto"})
    assert chosen(free) == f"{STAGE}=cheap"


def test_an_error_tells_where_the_choice_came_from(make_session, plugins, config, monkeypatch):
    path = config('[backends]\nnn = "abacus"\n')
    with pytest.raises(SelectionError, match="called abacus") as error:
        make_session()
    assert str(path) in str(error.value)
    monkeypatch.setenv("ALLIN1_BACKEND", "nn=slide-rule")
    with pytest.raises(SelectionError, match=r"called slide-rule \(set by ALLIN1_BACKEND\)"):
        make_session()
    monkeypatch.setenv("ALLIN1_BACKEND", f"nn=reference,{STAGE}=cheap")
    session = make_session(plugins=plugins, device=None)
    session.engine.chooser.failures[STAGE, "cheap"] = "out of memory"
    with pytest.raises(SelectionError, match=r"metrical_prep=cheap \(set by ALLIN1_BACKEND\)"):
        chosen(session)


def test_the_file_says_what_arguments_can(config, make_session, monkeypatch):
    monkeypatch.delenv("ALLIN1_WEIGHTS_DIR", raising=False)
    config(
        'model = "random"\ndevice = "cpu"\nparity = "identical"\nthreads = 3\nweights_dir = "here"\n'
    )
    settings = read_settings()
    assert settings.model == "random"
    assert settings.weights_dir == "here"
    session = make_session()
    request = session.request((STAGE,), 1.0)
    assert (request.device, request.parity) == ("cpu", IDENTICAL)
    assert session.engine.backends.threads == 3
    session = make_session(device="auto", parity="lossy", threads=1)
    request = session.request((STAGE,), 1.0)
    assert (request.device, request.parity) == (None, LOSSY)
    assert session.engine.backends.threads == 1
    monkeypatch.setenv("ALLIN1_WEIGHTS_DIR", "there")
    assert read_settings().weights_dir is None


def test_options_of_plugins_are_read_with_the_file_that_has_them(config):
    path = str(config("[plugins.mine]\nbatch = 4\nfused = true\n[plugins.other]\nbatch = 'x'\n"))
    assert read_settings().options == {
        ("mine", "batch"): (4, path),
        ("mine", "fused"): (True, path),
        ("other", "batch"): ("x", path),
    }


def test_without_a_variable_the_file_in_the_users_folder_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(platformdirs, "user_config_dir", lambda name: str(tmp_path / name))
    monkeypatch.delenv("ALLIN1_CONFIG", raising=False)
    assert config_path() is None
    path = tmp_path / "allin1" / "config.toml"
    path.parent.mkdir()
    path.write_text('model = "mine"\n')
    assert config_path() == path
    assert read_settings().model == "mine"
    monkeypatch.setenv("ALLIN1_CONFIG", "")
    assert read_settings().model is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("modle = 'x'", "Did you mean model?"),
        ("model = 3", "model is 3; wanted a text"),
        ("threads = 0", "wanted 1 or more"),
        ("threads = true", "wanted a whole number"),
        ("parity = 'exact'", "Use one of identical, close, lossy"),
        ("[backends]\nnn = 3", "backends.nn is 3"),
        ("backends = 'nn=torch'", "wanted a table"),
        ("[plugins]\nmine = 3", "plugins.mine is 3; wanted a table"),
        ("plugins = 'mine'", "plugins is 'mine'; wanted a table"),
        ("model = ", "is not TOML"),
    ],
)
def test_a_file_that_cannot_be_understood_is_an_error_that_names_it(config, text, message):
    path = config(text)
    with pytest.raises(SettingsError) as error:
        read_settings()
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert error.value.exit_code == 2


def test_a_file_or_a_variable_that_is_wrong_is_reported(monkeypatch, tmp_path, make_session):
    monkeypatch.setenv("ALLIN1_BACKEND", "torch")
    with pytest.raises(SettingsError, match="ALLIN1_BACKEND contains 'torch'"):
        make_session()
    monkeypatch.setenv("ALLIN1_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(SettingsError, match="it does not exist"):
        make_session()
    monkeypatch.setenv("ALLIN1_CONFIG", "")
    monkeypatch.delenv("ALLIN1_BACKEND")
    with pytest.raises(SettingsError, match="parity is 'exact'"):
        make_session(parity="exact")


def test_shorthands_for_the_spectrogram():
    assert spectrogram_choice({}, "madmom") == {"spectrogram": "madmom"}
    assert spectrogram_choice({}, None, "cuda") == {"spectrogram": "torch-cuda"}
    assert spectrogram_choice({}, "auto") == {"spectrogram": "auto"}
    assert spectrogram_choice({"nn": "x"}, None) == {"nn": "x"}
    with pytest.raises(InputError, match="named for the spectrogram: torch and mlx"):
        spectrogram_choice({"spectrogram": "torch"}, "mlx")
    with pytest.raises(InputError, match="spec_torch_device is cpu, but spec_backend is mlx"):
        spectrogram_choice({}, "mlx", "cpu")


def test_a_byte_order_mark_is_no_part_of_the_file(config):
    config("\ufeffthreads = 3\n")
    assert read_settings().threads == 3


@pytest.mark.parametrize("key", ["device", "model", "weights_dir"])
def test_an_empty_value_is_refused(config, key):
    config(f'{key} = " "\n')
    with pytest.raises(SettingsError, match=f"{key} is empty"):
        read_settings()


def test_a_folder_in_place_of_the_file_is_called_that(monkeypatch, tmp_path):
    monkeypatch.setenv("ALLIN1_CONFIG", str(tmp_path))
    with pytest.raises(SettingsError, match="it is not a file"):
        config_path()
