"""The command ``allin1``: finds the subcommand, prints errors for people, and sets the exit status.

Exit status: 0 success; 1 something failed, or tracks of a batch failed in different ways; 2 incorrect command line or
invalid settings; 3 input that cannot be analysed or read; 4 weights missing or damaged; 5 no backend can run, or what was named does not exist; 6 a result, or
standard output, cannot be written; 129, 130 and 143 interrupted by SIGHUP, Ctrl-C and SIGTERM; 141 the reader of the
output has exited.
"""

from __future__ import annotations

import importlib
import io
import itertools
import logging
import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from allin1_core.cli.printing import (
    own_process,
    reserve_stdout,
    say,
    say_error,
    status_of,
    tolerant_streams,
)
from allin1_core.cli.signals import interrupting_signals
from allin1_core.errors import Allin1Error
from allin1_core.text import did_you_mean, shown

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from allin1_core.cli.plugin_commands import PluginCommands

#: Name of each command, the module that defines it as ``command``, and one line of help.
COMMANDS = {
    "analyze": ("allin1_core.cli.analyze", "Analyse songs: tempo, beats, downbeats, sections."),
    "backends": ("allin1_core.cli.backends", "List the backends, and which of them would run."),
    "bench": ("allin1_core.cli.bench", "Measure the backends on this machine, for auto to use."),
    "cache": ("allin1_core.cli.cache", "Show or clear the cache of earlier analyses."),
    "compare": ("allin1_core.cli.compare", "Measure how well two sets of results agree."),
    "demo": ("allin1_core.cli.demo", "Write a synthetic song with stems, to try things with."),
    "doctor": ("allin1_core.cli.doctor", "Check this installation, and suggest remedies."),
    "evaluate": ("allin1_core.cli.evaluate", "Score results against annotations."),
    "explain": ("allin1_core.cli.explain", "Explain which backends would run, and at what cost."),
    "export": ("allin1_core.cli.export", "Write results in the formats of other programs."),
    "plugin": ("allin1_core.cli.plugin", "Write a new plugin, or check one."),
    "plugins": ("allin1_core.cli.plugins", "List the plugins, and whether each was loaded."),
    "sonify": ("allin1_core.cli.sonify", "Write songs with clicks on their beats."),
    "view": ("allin1_core.cli.view", "Show results in a browser, and correct them."),
    "visualize": ("allin1_core.cli.visualize", "Draw results as pictures."),
    "weights": ("allin1_core.cli.weights", "List, fetch and verify trained models."),
}

#: Environment variable by which a shell requests completions.
COMPLETION = "_ALLIN1_COMPLETE"

#: The command that runs if none is named, as in all-in-one.
DEFAULT_COMMAND = "analyze"


class LazyGroup(click.Group):
    """A group that imports commands on demand, and looks up unknown ones in plugins."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._of_plugins: PluginCommands | None = None

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the core's commands in the order of the table; those of plugins would require loading the plugins."""
        return list(COMMANDS)

    @property
    def _plugins(self) -> PluginCommands:
        if self._of_plugins is None:
            from allin1_core.cli.plugin_commands import PluginCommands

            self._of_plugins = PluginCommands(COMMANDS)
        return self._of_plugins

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import the command called `name`."""
        if name not in COMMANDS:
            if not self._plugins.check(name):
                return None
            try:
                return self._plugins.load(name)
            except Allin1Error:
                if ctx.resilient_parsing:  # the shell wants completions
                    return None
                raise
        command: click.Command = importlib.import_module(COMMANDS[name][0]).command
        command.name = name  # by default, click uses the name of the function
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])
        if lines := self._plugins.lines():
            with formatter.section("Commands of plugins"):
                formatter.write_dl(lines)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; exceptions of a plugin's command become an error that names the plugin."""
        from allin1_core.errors import PLUGIN_FAILURES

        try:
            return super().invoke(ctx)
        except PLUGIN_FAILURES as error:
            name = ctx.invoked_subcommand
            if name is None or name in COMMANDS:
                raise
            failure = self._plugins.failure(name, error)
            if failure is error:
                raise
            raise failure from error

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a command or, for the default command, the path of a file."""
        from click.shell_completion import CompletionItem

        found = super().shell_complete(ctx, incomplete)
        if not incomplete.startswith("-"):
            found += [
                CompletionItem(name, help=offered.item.summary)
                for name, offered in sorted(self._plugins.found.items())
                if name.startswith(incomplete)
            ]
        return found or [CompletionItem(incomplete, type="file")]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert the default command if none is named: ``allin1 song.wav``."""
        if _wants_traceback(args):
            # It is accepted after every command, too.
            args = [
                "--traceback",
                *(a for i, a in enumerate(args) if i != args.index("--traceback")),
            ]
        index = 0
        blocked = []
        while index < len(args) and args[index].startswith("-"):
            if args[index] == "--":
                break
            if args[index] in ("--help", "--version", "--strict", "--traceback"):
                index += 1
            elif args[index] == "--block":
                blocked += args[index + 1 : index + 2]
                index += 2
            elif args[index].startswith("--block="):
                blocked.append(args[index].partition("=")[2])
                index += 1
            else:
                break
        from allin1_core.cli.plugin_commands import PluginCommands

        self._of_plugins = PluginCommands(COMMANDS, blocked)
        asks_for_help = any(a in ("--help", "--version") for a in args[:index])
        if args[index : index + 1] == ["--"]:
            # All that follows are songs: ``allin1 -- -dash.mp3``.
            args = [*args[:index], DEFAULT_COMMAND, *args[index:]]
        elif index < len(args) and not asks_for_help and not self._knows(args[index]):
            if not ctx.resilient_parsing:
                self._refuse_misspelling(args[index])
            args = [*args[:index], DEFAULT_COMMAND, *args[index:]]
        return super().parse_args(ctx, args)

    def _knows(self, word: str) -> bool:
        return word in COMMANDS or self._plugins.check(word)

    def _refuse_misspelling(self, word: str) -> None:
        """Reject ``allin1 backend``, which otherwise would be treated as the name of a song."""
        is_option = word.startswith("-")
        if is_option or os.path.splitext(word)[1] or os.path.exists(word):  # noqa: PTH110, PTH122 - pathlib costs start-up time
            return
        if meant := did_you_mean(word, [*COMMANDS, *self._plugins.found]).rstrip():
            raise click.UsageError(f"There is no command and no file called {word}. {meant}")


def _wants_traceback(arguments: list[str]) -> bool:
    return "--traceback" in itertools.takewhile(lambda argument: argument != "--", arguments)


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        import allin1_core

        say(f"allin1 {allin1_core.__version__}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
)
@click.option(
    "--block", multiple=True, metavar="PLUGIN", help="Do not load a plugin; may be repeated."
)
@click.option("--strict", is_flag=True, help="Treat a plugin that cannot be loaded as an error.")
@click.option("--traceback", is_flag=True, help="Show tracebacks and debug messages.")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
@click.pass_context
def cli(ctx: click.Context, block: tuple[str, ...], strict: bool, traceback: bool) -> None:
    """Detect tempo, beats, downbeats, and labelled sections of songs.

    'allin1 song.wav' is short for 'allin1 analyze song.wav'.
    """
    ctx.obj = {"block": block, "strict": strict or None, "traceback": traceback}
    root = logging.getLogger()
    root.handlers = [_ToStderr()]
    root.setLevel(logging.DEBUG if traceback else logging.WARNING)


class _ToStderr(logging.Handler):
    """Prints log messages of this project on the current stderr."""

    def __init__(self) -> None:
        super().__init__()
        self.addFilter(lambda record: record.name.startswith("allin1"))

    def emit(self, record: logging.LogRecord) -> None:
        """Print `record`: the message in one line, and a traceback on the lines after it."""
        text = shown(record.getMessage())
        if record.exc_info:
            text += "\n" + logging.Formatter().formatException(record.exc_info)
        say(f"{record.levelname}: {text}", err=True)


def load_plugins(ctx: click.Context) -> Any:
    """Load the plugins according to the group's options; what they print from now on goes to stderr."""
    from allin1_core.paths import staying
    from allin1_core.plugins.loading import load_plugins

    reserve_stdout(ctx)
    options = ctx.find_root().obj or {}
    with staying():
        return load_plugins(block=options.get("block", ()), strict=options.get("strict"))


def read_audio_with(plugins: Any) -> None:
    """Also read audio with the loaders of `plugins`."""
    from allin1_core.paths import staying
    from allin1_core.plugins.collecting import collect_loaders
    from allin1_core.runtime.audio_loaders import use_audio_loaders

    with staying():
        use_audio_loaders(collect_loaders(plugins, []))


def silence_plugin_problems(ctx: click.Context) -> None:
    """Do not log problems of plugins, for a command that prints them, unless tracebacks are requested."""
    if not (ctx.find_root().obj or {}).get("traceback"):
        log = logging.getLogger("allin1_core.plugins")
        ctx.find_root().call_on_close(partial(log.setLevel, log.level))
        log.setLevel(logging.ERROR)


def main() -> None:
    """Run the command line, and exit."""
    if instruction := os.environ.get(COMPLETION):
        from click.shell_completion import shell_complete

        sys.exit(shell_complete(cli, {}, "allin1", COMPLETION, instruction))
    own_process()
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command line and return its exit status."""
    with tolerant_streams() as out, interrupting_signals() as interrupts:
        try:
            status = _run(arguments)
            interrupts.settle()
            if status:
                _hint_at_dash(arguments)
        except (KeyboardInterrupt, click.exceptions.Abort):
            say("allin1: interrupted", err=True)
            status = interrupts.status
        # Other code may have caught the exception of the interrupt.
        return status_of(out, interrupts.status if interrupts.received else status)


def _run(arguments: list[str]) -> int:
    try:
        # Without standalone mode, click returns the status of ctx.exit(), or the command's return value.
        status = cli.main(args=arguments, prog_name="allin1", standalone_mode=False)
    except (Allin1Error, SystemExit) as error:
        if _wants_traceback(arguments):
            import traceback

            traceback.print_exc()
        if isinstance(error, SystemExit):
            # The core never raises it: a plugin did, outside a hook, and would end the program silently.
            say_error(f"A plugin called sys.exit({error.code!r}).")
            return 1
        say_error(error)
        return error.exit_code
    except click.ClickException as error:
        text = io.StringIO()
        error.show(file=text)
        say(text.getvalue().rstrip("\n"), err=True)
        return error.exit_code
    return status if isinstance(status, int) else 0


def _hint_at_dash(arguments: list[str]) -> None:
    """After an error, explain how to pass a file whose name begins with a dash, if an argument looks like one."""
    for argument in itertools.takewhile(lambda argument: argument != "--", arguments):
        if not argument.startswith("-") or argument == "-":
            continue
        suffix = os.path.splitext(argument)[1]  # noqa: PTH122 - pathlib costs start-up time
        # The value of an option may be a file: --stems-bass=bass.wav.
        is_like_a_file = suffix[1:2].isalpha() and "=" not in argument
        if is_like_a_file or os.path.lexists(argument):
            say(
                f"allin1: {shown(argument)} was read as an option. If it is a file, write"
                f" {shown(f'./{argument}')}, or put -- before the files.",
                err=True,
            )
            return


if __name__ == "__main__":
    main()
