"""The command ``allin1``: finds the subcommand, prints errors for people, and sets the exit status.

Exit status: 0 done; 1 something failed, or some tracks of a batch; 2 wrong use of the command line, or settings that cannot be understood; 3 input that
cannot be analysed; 4 weights missing or damaged; 5 no backend can do it; 6 a result, or standard output, cannot be written;
129, 130 and 143 interrupted by SIGHUP, Ctrl-C and SIGTERM; 141 the reader of the output has gone.
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

#: Name of each command, the module that holds it as ``command``, and one line of help.
COMMANDS = {
    "analyze": ("allin1_core.cli.analyze", "Analyse songs: tempo, beats, downbeats, sections."),
    "backends": ("allin1_core.cli.backends", "List the backends, and which of them would run."),
    "bench": ("allin1_core.cli.bench", "Measure the backends on this machine, for auto to use."),
    "cache": ("allin1_core.cli.cache", "Show or clear what is kept of earlier analyses."),
    "compare": ("allin1_core.cli.compare", "Tell how well the results of two models agree."),
    "demo": ("allin1_core.cli.demo", "Make a song with stems by synthesis, to try things on."),
    "doctor": ("allin1_core.cli.doctor", "Check this installation, and say what to mend."),
    "evaluate": ("allin1_core.cli.evaluate", "Score results against annotations."),
    "explain": ("allin1_core.cli.explain", "Tell which backends would run, at what cost, and why."),
    "export": ("allin1_core.cli.export", "Write results in the formats of other programs."),
    "plugin": ("allin1_core.cli.plugin", "Write a new plugin, or check one."),
    "plugins": ("allin1_core.cli.plugins", "List the plugins, and what became of each."),
    "sonify": ("allin1_core.cli.sonify", "Write songs with clicks on their beats."),
    "view": ("allin1_core.cli.view", "Look at results in a browser, and correct them."),
    "visualize": ("allin1_core.cli.visualize", "Draw results as pictures."),
    "weights": ("allin1_core.cli.weights", "List, fetch and verify trained models."),
}

#: Variable in which a shell asks for completions.
COMPLETION = "_ALLIN1_COMPLETE"

#: What upstream's command does without being named.
DEFAULT_COMMAND = "analyze"


class LazyGroup(click.Group):
    """A group that imports a command when it is asked for, and asks plugins for what it does not know."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._of_plugins: PluginCommands | None = None

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the core's commands in the order of the table; finding those of plugins would load the plugins."""
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
        command.name = name  # click's own is that of the function
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])
        if lines := self._plugins.lines():
            with formatter.section("Commands of plugins"):
                formatter.write_dl(lines)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what one of a plugin raises is that plugin's failure."""
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
        """Complete a command or, as the default command takes it, the path of a file."""
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
        """Put the default command in front of what names none: ``allin1 song.wav``."""
        if _wants_traceback(args):
            # It is understood behind every command too.
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
            # Songs follow, whatever they are called: ``allin1 -- -dash.mp3``.
            args = [*args[:index], DEFAULT_COMMAND, *args[index:]]
        elif index < len(args) and not asks_for_help and not self._knows(args[index]):
            if not ctx.resilient_parsing:
                self._refuse_misspelling(args[index])
            args = [*args[:index], DEFAULT_COMMAND, *args[index:]]
        return super().parse_args(ctx, args)

    def _knows(self, word: str) -> bool:
        return word in COMMANDS or self._plugins.check(word)

    def _refuse_misspelling(self, word: str) -> None:
        """Stop at ``allin1 backend``, which else would be taken for a song of that name."""
        if os.path.splitext(word)[1] or os.path.exists(word):  # noqa: PTH110, PTH122 - pathlib costs start-up time
            return
        if meant := did_you_mean(word, [*COMMANDS, *self._plugins.found]).rstrip():
            raise click.UsageError(f"No command and no file is called {word}. {meant}")


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
    "--block", multiple=True, metavar="PLUGIN", help="Leave a plugin out; may be repeated."
)
@click.option("--strict", is_flag=True, help="A plugin that cannot be loaded is an error.")
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
    """Tempo, beats, downbeats, sections and their labels of a song.

    'allin1 song.wav' is short for 'allin1 analyze song.wav'.
    """
    ctx.obj = {"block": block, "strict": strict or None, "traceback": traceback}
    root = logging.getLogger()
    root.handlers = [_ToStderr()]
    root.setLevel(logging.DEBUG if traceback else logging.WARNING)


class _ToStderr(logging.Handler):
    """Prints our own messages on what is stderr at that moment."""

    def __init__(self) -> None:
        super().__init__()
        self.addFilter(lambda record: record.name.startswith("allin1"))

    def emit(self, record: logging.LogRecord) -> None:
        """Print `record`; the message in one line, and a traceback in as many as it has."""
        text = shown(record.getMessage())
        if record.exc_info:
            text += "\n" + logging.Formatter().formatException(record.exc_info)
        say(f"{record.levelname}: {text}", err=True)


def load_plugins(ctx: click.Context) -> Any:
    """Load the plugins as the options of the group say; what they print from now on goes to stderr."""
    from allin1_core.plugins.loading import load_plugins

    reserve_stdout(ctx)
    options = ctx.find_root().obj or {}
    return load_plugins(block=options.get("block", ()), strict=options.get("strict"))


def read_audio_with(plugins: Any) -> None:
    """Let audio be read by the loaders of `plugins` too."""
    from allin1_core.plugins.collecting import collect_loaders
    from allin1_core.runtime.audio_loaders import use_audio_loaders

    use_audio_loaders(collect_loaders(plugins, []))


def leave_problems_to_the_table(ctx: click.Context) -> None:
    """Log no problems of plugins, for a command that prints them; their tracebacks still where asked for."""
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
            if status:
                _hint_at_dash(arguments)
        except (KeyboardInterrupt, click.exceptions.Abort):
            say("allin1: interrupted", err=True)
            status = interrupts.status
        # It may have been swallowed on its way.
        return status_of(out, interrupts.status if interrupts.received else status)


def _run(arguments: list[str]) -> int:
    try:
        # Out of standalone mode click gives the status of ctx.exit(), or what the command returned.
        status = cli.main(args=arguments, prog_name="allin1", standalone_mode=False)
    except (Allin1Error, SystemExit) as error:
        if _wants_traceback(arguments):
            import traceback

            traceback.print_exc()
        if isinstance(error, SystemExit):
            # Nothing here does that: code of a plugin did where nobody looked, and would end the program in silence.
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
    """After an error, say how to name a file whose name begins with a dash, if one seems to be meant."""
    for argument in itertools.takewhile(lambda argument: argument != "--", arguments):
        if not argument.startswith("-") or argument == "-":
            continue
        suffix = os.path.splitext(argument)[1]  # noqa: PTH122 - pathlib costs start-up time
        # An option may have a file behind it: --stems-bass=bass.wav.
        is_like_a_file = suffix[1:2].isalpha() and "=" not in argument
        if is_like_a_file or os.path.lexists(argument):
            say(
                f"allin1: {shown(argument)} was taken for an option. If it is a file, write"
                f" {shown(f'./{argument}')}, or put -- in front of the files.",
                err=True,
            )
            return


if __name__ == "__main__":
    main()
