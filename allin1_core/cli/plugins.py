"""``allin1 plugins``."""

from __future__ import annotations

from itertools import zip_longest

import click

from allin1_core.cli.main import load_plugins, silence_plugin_problems
from allin1_core.cli.printing import say, say_json


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("-v", "--verbose", is_flag=True, help="Show each hook, and its outcome.")
@click.pass_context
def command(ctx: click.Context, as_json: bool, verbose: bool) -> None:
    """List the plugins that were found, and whether each was loaded."""
    import dataclasses

    from allin1_core.cli.main import COMMANDS
    from allin1_core.plugins.collecting import collect_commands, collect_offers, report_problems
    from allin1_core.plugins.hook_outcomes import hook_outcomes
    from allin1_core.plugins.options import declared_options

    silence_plugin_problems(ctx)
    plugins = load_plugins(ctx)
    offers = collect_offers(plugins)
    commands, of_commands = collect_commands(plugins, COMMANDS)
    report_problems(of_commands, plugins)
    problems = (*offers.problems, *of_commands)
    outcomes = hook_outcomes(plugins, offers, commands, problems)
    if as_json:
        content = {
            "plugins": [dataclasses.asdict(record) for record in plugins.records],
            "problems": [dataclasses.asdict(problem) for problem in problems],
            "hooks": [dataclasses.asdict(outcome) for outcome in outcomes],
            "options": {
                record.name: [
                    {
                        "name": option.name,
                        "type": option.type.__name__,
                        "default": option.value,
                        "help": option.help,
                    }
                    for option in declared_options(offers, record.name).values()
                ]
                for record in plugins.records
                if record.status == "loaded"
            },
        }
        say_json(content, indent=2)
        return
    for record in plugins.records:
        source = f"{record.distribution} {record.version}".strip()
        say(f"{record.name:<14} {record.status:<13} {source}")
        for line in (record.reason, record.remedy):
            if line:
                say(f"{'':<14} {line}")
        if record.status == "loaded" and verbose:
            for outcome in outcomes:
                if outcome.plugin == record.name:
                    lines = [
                        outcome.text or "nothing",
                        *(f"left out: {p}" for p in outcome.problems),
                    ]
                    for hook, line in zip_longest([outcome.hook], lines, fillvalue=""):
                        say(f"{'':<14} {hook:<25} {line}")
        if record.status == "loaded":
            own = [o.item for o in offers.backends if o.plugin is record]
            names = ", ".join(f"{'+'.join(b.stages)}={b.name}" for b in own)
            models = ", ".join(o.item.name for o in offers.models.values() if o.plugin is record)
            executors = ", ".join(
                o.item.name for o in offers.executors.values() if o.plugin is record
            )
            options = [
                f"option {record.name}.{o.name} ({o.type.__name__}, {o.value}): {o.help}"
                for o in declared_options(offers, record.name).values()
            ]
            added = ", ".join(name for name, o in commands.items() if o.plugin is record)
            lines = [
                names,
                models and f"models: {models}",
                executors and f"executors: {executors}",
                added and f"commands: {added}",
            ]
            for line in ([] if verbose else lines) + options:
                if line:
                    say(f"{'':<14} {line}")
    for problem in () if verbose else problems:
        say(f"left out: {problem}")
