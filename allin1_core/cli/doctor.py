"""``allin1 doctor``."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import click

from allin1_core.cli.main import COMMANDS, load_plugins, silence_plugin_problems
from allin1_core.cli.parameters import model_option
from allin1_core.cli.printing import say, say_json
from allin1_core.contracts.model import AUTO_MODEL, AUTO_MODELS
from allin1_core.contracts.route import USUAL_AUDIO_S
from allin1_core.installing import install_command

if TYPE_CHECKING:
    from allin1_core.contracts.model import ModelCard
    from allin1_core.runtime.session import Session


@dataclass(frozen=True)
class _Check:
    """One line of output: what was checked, the outcome, and what to do."""

    name: str
    state: str  # "ok", "note", "wrong"
    text: str
    remedy: str = ""


@click.command()
@model_option
@click.option("--weights-dir", type=click.Path(), help="Folder to look for weights in.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(ctx: click.Context, model: str | None, weights_dir: str | None, as_json: bool) -> None:
    """Check this installation: plugins, backends, weights, audio. Exit status 1 if nothing can be analysed."""
    checks = [
        *_checked("machine", _machine),
        *_checked("plugin", lambda: _plugins(ctx)),
        *_checked("route", lambda: _routes(ctx, model, weights_dir)),
        *_checked("weights", lambda: _weights(model, weights_dir, ctx)),
        *_checked("audio", _audio),
    ]
    if as_json:
        say_json([asdict(check) for check in checks], indent=2)
    else:
        marks = {"ok": "ok   ", "note": "note ", "wrong": "WRONG"}
        for check in checks:
            say(f"{marks[check.state]}  {check.name:<12} {check.text}")
            if check.remedy:
                say(f"{'':<20} {check.remedy}")
    if any(check.state == "wrong" for check in checks):
        ctx.exit(1)


def _checked(name: str, look: Callable[[], list[_Check]]) -> list[_Check]:
    """The checks of `look`, or one that reports its failure, so that the other checks still run."""
    from allin1_core.errors import PLUGIN_FAILURES, Allin1Error, in_full

    try:
        return look()
    except Allin1Error:
        raise  # strict mode turns problems into errors
    except PLUGIN_FAILURES as error:
        logging.getLogger(__name__).debug("the check %s failed", name, exc_info=True)
        remedy = "See 'allin1 doctor --traceback', and report it."
        return [_Check(name, "wrong", f"This check failed: {in_full(error)}", remedy)]


def _machine() -> list[_Check]:
    import os
    import platform

    import allin1_core

    text = (
        f"allin1-core {allin1_core.__version__}, Python {platform.python_version()},"
        f" {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    )
    return [_Check("machine", "ok", text)]


def _plugins(ctx: click.Context) -> list[_Check]:
    from allin1_core.plugins.collecting import collect_commands, collect_offers

    silence_plugin_problems(ctx)
    plugins = load_plugins(ctx)
    checks = []
    for record in plugins.records:
        if record.status == "loaded":
            text = f"{record.name}: {record.distribution} {record.version}"
            checks.append(_Check("plugin", "ok", text))
        else:
            text = f"{record.name} is {record.status}: {record.reason}"
            checks.append(_Check("plugin", "note", text, record.remedy))
    problems = (*collect_offers(plugins).problems, *collect_commands(plugins, COMMANDS)[1])
    return checks + [_Check("plugin", "note", f"Left out: {problem}") for problem in problems]


def _routes(ctx: click.Context, model: str | None, weights_dir: str | None) -> list[_Check]:
    from allin1_core.contracts.audio import Mix, Stems
    from allin1_core.contracts.stages import STAGES
    from allin1_core.errors import Allin1Error
    from allin1_core.runtime.session import Session

    try:
        session = Session(
            model, calibrate=False, weights_dir=weights_dir, plugins=load_plugins(ctx)
        )
    except Allin1Error as error:
        return [_Check("model", "wrong", error.message, error.remedy or "")]
    session.engine.chooser.be_thorough()
    details: dict[str, None] = {}
    for candidates in session.candidates(session.request(STAGES, USUAL_AUDIO_S)).values():
        for candidate in candidates:
            if candidate.ready is not None and candidate.ready.detail:
                details[f"{candidate.plugin.name}: {candidate.ready.detail}"] = None
    checks = [_Check("library", "ok", detail) for detail in details]

    ways = [_way(session, "from stems", Stems), _way(session, "from a mix", Mix)]
    if any(way.state != "wrong" for way in ways):
        # One input is enough; some models read only mixes.
        ways = [replace(way, state="note") if way.state == "wrong" else way for way in ways]
    return checks + ways


def _way(session: Session, name: str, kind: type[object]) -> _Check:
    """Check whether such an input can be analysed: by which model and route, and what would be better."""
    from allin1_core.errors import Allin1Error
    from allin1_core.runtime.model_choice import find_obstacles
    from allin1_core.weights.store import can_fetch, find_folders

    try:
        choice = session.choose_model(kind)
        route = session.explain(kind).chosen
    except Allin1Error as error:
        return _Check(name, "wrong", error.message, error.remedy or "")
    text = f"{choice.card.name}: {route}"
    if choice.reason:
        return _Check(name, "ok", text, str(choice))
    missing = find_obstacles(choice.engine, kind).weights
    if not missing:
        return _Check(name, "ok", text)
    text += f"; the weights of {' and '.join(missing)} are not here yet."
    if not can_fetch(choice.card, find_folders(choice.engine.backends.weights_dir)):
        return _Check(name, "note", text, "They cannot be downloaded.")
    fetch = f"allin1 weights fetch {' '.join(missing)}"
    return _Check(name, "note", text, f"They are downloaded on first use; to download now: {fetch}")


def _weights(model: str | None, weights_dir: str | None, ctx: click.Context) -> list[_Check]:
    from allin1_core.errors import Allin1Error
    from allin1_core.plugins.collecting import collect_offers
    from allin1_core.runtime.settings import read_settings
    from allin1_core.weights.find import find_card

    named = model or read_settings().model or AUTO_MODEL
    offers = collect_offers(load_plugins(ctx))
    cards = [offered.item for offered in offers.models.values()]

    def look(name: str) -> list[_Check]:
        try:
            return _weights_of(find_card(name, cards), weights_dir, is_named=name == named)
        except Allin1Error as error:
            return [_Check("weights", "wrong", error.message, error.remedy or "")]

    names = AUTO_MODELS if named == AUTO_MODEL else (named,)
    return [check for name in names for check in look(name)]


def _weights_of(card: ModelCard, weights_dir: str | None, *, is_named: bool) -> list[_Check]:
    from allin1_core.weights.load import load_model
    from allin1_core.weights.store import cache_folder, can_fetch, find_folders, locate

    licence = _Check("licence", "note", f"{card.name}: {card.licence}")
    if not card.files:
        return [_Check("weights", "ok", f"{card.name}: included in its plugin"), licence]
    folders = find_folders(weights_dir)
    # Files that belong to a package are not downloads: loading the model reports those that are missing.
    missing = [f.name for f in card.files if f.package is None and locate(f, folders) is None]
    if missing:
        text = f"{card.name}: {len(missing)} of {len(card.files)} files are not here."
        if not can_fetch(card, folders):
            where = "They cannot be downloaded; set ALLIN1_WEIGHTS_DIR to the folder that has them."
            return [_Check("weights", "wrong" if is_named else "note", text, where)]
        fetch = f"allin1 weights fetch {card.name}"
        where = f"They are downloaded to {cache_folder()} on first use; to download now: {fetch}"
        return [
            _Check("weights", "note", text, where if is_named else f"To download them: {fetch}")
        ]
    load_model(card, weights_dir=weights_dir, download=False)
    text = f"{card.name}: {len(card.files)} files, digests as in the catalogue"
    return [_Check("weights", "ok", text), licence]


def _audio() -> list[_Check]:
    from importlib.metadata import version

    import soundfile

    libsndfile, soxr = soundfile.__libsndfile_version__, version("soxr")
    text = f"libsndfile {libsndfile} (WAV, FLAC, OGG, MP3), soxr {soxr}"
    return [_Check("audio", "ok", text), _pyav()]


def _pyav() -> _Check:
    from importlib.metadata import version

    from allin1_core.errors import brief
    from allin1_core.io.audio import has_pyav

    text = "M4A and AAC cannot be read"
    if not has_pyav():
        return _Check(
            "audio", "note", f"{text}.", f"Install PyAV: {install_command('allin1-core', 'av')}"
        )
    installed = version("av")
    try:
        import av

        av.open  # noqa: B018 - fails if a folder called av hides the package
    except Exception as error:  # for example because a shared library is missing
        reason = f"PyAV {installed} cannot be imported ({brief(error)})."
        command = install_command("allin1-core", "av", options="--force-reinstall")
        remedy = f"Reinstall it: {command}"
        return _Check("audio", "note", f"{text}: {reason}", remedy)
    return _Check("audio", "ok", f"PyAV {installed} (M4A, AAC and others)")
