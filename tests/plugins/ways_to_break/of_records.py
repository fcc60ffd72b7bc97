"""Ways to break an audio loader, a command, an executor, a stem provider or a policy."""

from __future__ import annotations

from ways_to_break.way import Way, hook


def _loader(*, change: str = "pass", check: str = "pass", work: str = "") -> dict[str, str]:
    """A loader of NumPy files with a mistake: in what it gives, or where it looks whether a file is its own."""
    hooks = hook(
        "allin1_audio_loaders",
        "yield AudioLoader('mine', 'PACKAGE.work:load', ('.mine',), 'PACKAGE.work:probe')",
    )
    source = f"""
from allin1_core.contracts.audio_loader import LoadedAudio
from allin1_core.errors import AudioError

def probe(head):
    return head.startswith(b"\\x93NUMPY")

def load(file, path):
    head = file.read(6)
    {check}
    if head != b"\\x93NUMPY":
        return None
    file.seek(0)
    try:
        samples = np.load(file)
    except (ValueError, EOFError, OSError) as error:
        raise AudioError(f"is damaged: {{error}}.", path=path) from error
    frames = len(samples)
    {change}
    return LoadedAudio([samples], 44_100, samples.shape[1], frames=frames)
"""
    return {"hooks": hooks, "work": source + work}


def _command(source: str) -> dict[str, str]:
    hooks = hook("allin1_commands", "yield Command('mine', 'PACKAGE.work:command', 'x')")
    return {"hooks": hooks, "work": f"import click\n{source}"}


def _executor(run: str, options: str = "", arguments: str = "**options") -> dict[str, str]:
    hooks = hook(
        "allin1_executors", f"yield Executor('mine', 'x', 'PACKAGE.work:create_mine'{options})"
    )
    work = f"""
from dataclasses import replace
from allin1_core.runtime.batch import Outcome, run_batch

class Mine:
    def __init__(self, setup):
        self.session = setup.session

    def right(self, tracks, **options):
        return run_batch(self.session, tracks, **options)

    def run(self, tracks, {arguments}):
        {run}

def create_mine(setup):
    return Mine(setup)
"""
    return {"hooks": hooks, "work": work}


_EACH = "for one in self.right(tracks, **options): "

WAYS = [
    # Audio loaders.
    Way(
        "The target of an audio loader does not exist",
        "AudioLoader mine: target PACKAGE.work:laod cannot be imported",
        hook("allin1_audio_loaders", "yield AudioLoader('mine', 'PACKAGE.work:laod', ('.mine',))"),
    ),
    Way(
        "The probe of an audio loader raises",
        "its probe raised IndexError: index out of range for a file that begins with b''",
        **_loader(work="\ndef probe(head):\n    return head[0] == 0x93"),
    ),
    Way(
        "An audio loader raises where a file is no audio",
        "it raised IndexError: index out of range for a file that is no audio: return None",
        **_loader(check="head[0]"),
    ),
    Way(
        "An audio loader takes files that are no audio",
        "it takes a file that is no audio: return None",
        **_loader(check="if head != b'\\x93NUMPY': return LoadedAudio([], 44_100, 2)"),
    ),
    Way(
        "An audio loader gives samples that are no float32",
        "dtype=int16) instead of float32 NumPy arrays",
        **_loader(change="samples = (samples * 32767).astype('int16')"),
    ),
    Way(
        "An audio loader gives nothing of a file that it takes",
        "npy.mine: it gives no samples",
        **_loader(change="samples, frames = samples[:0], None"),
    ),
    Way(
        "An audio loader miscounts the samples",
        "npy.mine: it declares 88200 frames, and gives 44100: count them",
        **_loader(change="frames = samples.size"),
    ),
    Way(
        "An audio loader gives samples that are no numbers",
        "npy.mine: it gives samples that are NaN",
        **_loader(change="samples[7] = np.nan"),
    ),
    Way(
        "An audio loader gives samples of another scale",
        "divide them, full scale is 1",
        **_loader(change="samples = samples * np.float32(32767)"),
    ),
    Way(
        "An audio loader keeps something from one file to the next",
        "opened again, it gives other samples: keep nothing between files",
        **_loader(
            change="calls.append(0); samples = samples + np.float32(len(calls) / 1000)"
        ),
    ),
    Way(
        "An audio loader does not name what is damaged",
        "cut off after",
        **_loader(check="file.seek(0); head == b'\\x93NUMPY' != file.read() and (file.seek(0), np.load(file))"),
    ),
    Way(
        "An audio loader prints",
        "it prints on stdout ('reading'), which is for results",
        **_loader(change="print('reading')"),
    ),
    # Commands.
    Way(
        "The target of a command does not exist",
        "Command mine: target PACKAGE.work:command cannot be imported",
        **_command(""),
    ),
    Way(
        "A command is not click's",
        "PACKAGE.work:command is a function: wanted a click command",
        **_command("def command(): pass"),
    ),
    Way(
        "A command has no help",
        "command allin1 mine has no help: give it a docstring",
        **_command("@click.command()\ndef command(): pass"),
    ),
    Way(
        "The help of a command cannot be shown",
        "'allin1 mine --help' raised NoSuchOption: No such option",
        **_command("@click.command(add_help_option=False)\ndef command():\n    'Help.'"),
    ),
    Way(
        "The help of a command is empty",
        "'allin1 mine --help' prints no usage: leave --help to click",
        **_command("""
class Mute(click.Command):
    def format_help(self, context, formatter):
        pass

@click.command(cls=Mute)
def command():
    'Help.'
"""),
    ),
    Way(
        "A command has no function",
        "command allin1 mine does nothing: give it a function",
        **_command("command = click.Command('mine', help='Help.')"),
    ),
    Way(
        "The function of a command lacks a parameter",
        "the function of allin1 mine does not take what its options and arguments give (speed)",
        **_command("@click.command()\n@click.option('--speed')\ndef command(sped):\n    'Help.'"),
    ),
    Way(
        "A command has two options of one name",
        "two options of allin1 mine are called -s, and only one is heard: rename the other",
        **_command(
            "@click.command()\n@click.option('-s', '--speed')\n@click.option('-s', '--size')\n"
            "def command(speed, size):\n    'Help.'"
        ),
    ),
    Way(
        "A subcommand cannot be imported",
        "'allin1 mine one' cannot be loaded: it raised ModuleNotFoundError: No module named 'nothing'",
        **_command("""
class Lazy(click.Group):
    def list_commands(self, context):
        return ["one"]

    def get_command(self, context, name):
        import nothing

command = Lazy("mine", help="Help.")
"""),
    ),
    Way(
        "A command lists a subcommand that it does not have",
        "allin1 mine lists a command one that it does not have",
        **_command("""
class Forgetful(click.Group):
    def list_commands(self, context):
        return ["one"]

command = Forgetful("mine", help="Help.")
"""),
    ),
    # Executors.
    Way(
        "The target of an executor does not exist",
        "Executor mine: target PACKAGE.work:craete cannot be imported",
        hook("allin1_executors", "yield Executor('mine', 'x', 'PACKAGE.work:craete')"),
    ),
    Way(
        "The target of an executor gives nothing",
        "its target gave None: give what has a method run",
        hook("allin1_executors", "yield Executor('mine', 'x', 'PACKAGE.work:create_mine')"),
        work="def create_mine(setup): pass",
    ),
    Way(
        "An executor has no summary",
        "it has no summary: say in a line where it runs the songs",
        hook("allin1_executors", "yield Executor('mine', '', 'PACKAGE.work:create_mine')"),
        work="def create_mine(setup): pass",
    ),
    Way(
        "An option of an executor is not explained",
        "the options queue have no help: say in a line what each is for",
        **_executor("return self.right(tracks, **options)", ", options=(Option('queue', str),)"),
    ),
    Way(
        "An executor does not take the options of results",
        "its run() does not take all arguments of a batch",
        **_executor(
            "return self.right(tracks, out_dir=out_dir, only=only)",
            arguments="out_dir=None, overwrite=False, progress=None, only=None",
        ),
    ),
    Way(
        "An executor ends the batch where a song fails",
        "it raised RuntimeError: a song failed: give an Outcome for each song",
        **_executor("if True:\n" + """
            for one in self.right(tracks, **options):
                if one.error:
                    raise RuntimeError("a song failed")
                yield one
"""),
    ),
    Way(
        "An executor gives results in place of outcomes",
        "it gave None; wanted an Outcome",
        **_executor(_EACH + "yield one.result"),
    ),
    Way(
        "An executor gives an outcome that failed, and no reason",
        "it gave a failed outcome with the error None",
        **_executor(_EACH + "yield replace(one, error=None)"),
    ),
    Way(
        "An executor gives an outcome twice",
        "c has 2 outcomes: give one for each track",
        **_executor("outcomes = list(self.right(tracks, **options)); yield from outcomes[1:2] + outcomes"),
    ),
    Way(
        "An executor gives outcomes for other tracks",
        "it gives outcomes for x, which it was not given",
        **_executor(_EACH + "yield one; yield replace(one, track=replace(one.track, name='x'))"),
    ),
    Way(
        "An executor stops at a song that fails",
        "beside a song that holds no audio, c, a, b are not done: analyse each by itself",
        **_executor("if True:\n" + """
            for one in self.right(tracks, **options):
                yield one
                if one.error:
                    return
"""),
    ),
    Way(
        "An executor leaves out songs that fail",
        "a song that holds no audio is left out: it has failed, and its outcome says why",
        **_executor("return (one for one in self.right(tracks, **options) if not one.error)"),
    ),
    Way(
        "An executor analyses something else",
        "c has other beats than in this process: make the session by the recipe",
        **_executor("return self.right(tracks, **{**options, 'only': 'sections'})"),
    ),
    Way(
        "An executor writes no results",
        "out_dir lacks a.json, b.json, c.json: hand it on to run_batch",
        **_executor("return self.right(tracks, **{**options, 'out_dir': None})"),
    ),
    Way(
        "An executor analyses again what is up to date",
        "run again, c, a, b are not skipped: let run_batch look at what is in out_dir",
        **_executor("return self.right(tracks, **{**options, 'overwrite': True})"),
    ),
    Way(
        "An executor cannot be stopped",
        "closing its generator raised RuntimeError: not now: end what runs, and raise nothing",
        **_executor("if True:\n" + """
            try:
                yield from self.right(tracks, **options)
            except GeneratorExit:
                raise RuntimeError("not now")
"""),
    ),
    Way(
        "An executor catches an exception of progress",
        "when the caller's progress raises an exception, it gives an outcome that is done:"
        " let it pass, and stop what still runs",
        **_executor("if True:\n" + """
            def progress(*arguments):
                try:
                    options["progress"](*arguments)
                except Exception:
                    pass
            given = {**options, "progress": progress if options.get("progress") else None}
            yield from self.right(tracks, **given)
"""),
    ),
    Way(
        "An executor prints",
        "it prints on stdout ('submitted'), which is for results",
        **_executor("print('submitted'); return self.right(tracks, **options)"),
    ),
    Way(
        "An executor leaves a thread that keeps the program from ending",
        "it leaves threads behind (mine",
        **_executor(
            "threading.Thread(target=time.sleep, args=(10,), name='mine').start();"
            " return self.right(tracks, **options)"
        ),
    ),
    # Stem providers and policies.
    Way(
        "A stem provider has stems of every song",
        "allin1_find_stems gives stems of a song that has none: return None",
        hook("allin1_find_stems", "return FoundStems(read=lambda: None, version='1')", "song"),
    ),
    Way(
        "A stem provider cannot deal with a name",
        "allin1_find_stems raised",
        hook("allin1_find_stems", "return None if song.suffix else song.stem[100]", "song"),
    ),
    Way(
        "A policy makes a route of its own",
        "which is none of the routes that it was given: return one of them, or None",
        hook("allin1_select_route", "return replace(routes[0], cost_s=0.0)", "routes"),
    ),
    Way(
        "A policy takes it that there are several routes",
        "allin1_select_route raised IndexError: tuple index out of range",
        hook("allin1_select_route", "return routes[99]", "routes"),
    ),
]  # fmt: skip
