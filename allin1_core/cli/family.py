"""Flags of the forks of all-in-one that have another name, or no effect, here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from allin1_core.cli.printing import say

#: Flags that are accepted and have no effect, with the message to print.
NOT_NEEDED = {
    "compile_model": "--compile-model is not needed: auto chooses a compiled backend if one is"
    " installed (allin1 backends).",
    "spec_dir": "--spec-dir is not needed: spectrograms are not kept in files, as computing one takes no"
    " longer than reading it.",
}


def family_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the flags; :func:`translate` converts their values into options of this project."""
    options = (
        click.option(
            "--no-multiprocess", is_flag=True, hidden=True, help="A single process: -j 1."
        ),
        click.option("--demucs-fp16", is_flag=True, hidden=True, help="--demix-precision float16."),
        click.option("--spec-check", is_flag=True, hidden=True, help="--guard."),
        click.option("--spec-fast-guard", is_flag=True, hidden=True, help="--guard."),
        click.option("--compile-model", is_flag=True, hidden=True, help="Not needed."),
        click.option("--spec-dir", metavar="FOLDER", hidden=True, help="Not needed."),
        *(
            click.option(
                flag,
                hidden=True,
                is_eager=True,
                is_flag=True,
                expose_value=False,
                callback=_cache,
                help=f"allin1 cache {name}.",
            )
            for flag, name in (("--cache-info", "info"), ("--clear-cache", "clear"))
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def translate(options: dict[str, Any], *, quiet: bool) -> None:
    """Replace the flags in `options` by the options of this project.

    Raises
    ------
    click.UsageError
        A flag contradicts an option of this project.
    """
    for name, text in NOT_NEEDED.items():
        if options.pop(name) and not quiet:
            say(f"allin1: {text}", err=True)
    if options.pop("no_multiprocess"):
        _give(options, "jobs", 1, "--no-multiprocess", "-j")
    if options.pop("demucs_fp16"):
        _give(options, "demix_precision", "float16", "--demucs-fp16", "--demix-precision")
    for name in ("spec_check", "spec_fast_guard"):
        options["guard"] = options.pop(name) or options["guard"]


def refuse_unknown(arguments: list[str]) -> None:
    """Reject flags of the forks that have no equivalent, and name what replaces them."""
    for argument in arguments:
        if argument == "--":
            return
        if argument.startswith("--spec-fast-guard-"):
            flag = argument.partition("=")[0]
            raise click.UsageError(
                f"{flag} is not supported. Use --guard, which checks every backend."
            )


def _give(options: dict[str, Any], name: str, value: Any, flag: str, own: str) -> None:
    if options.get(name) not in (None, value):
        raise click.UsageError(
            f"{flag} and {own} {options[name]} contradict each other. Leave one out."
        )
    options[name] = value


def _cache(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from allin1_core.cli import cache

    ctx.invoke(cache.clear if param.name == "clear_cache" else cache.info)
    ctx.exit()
