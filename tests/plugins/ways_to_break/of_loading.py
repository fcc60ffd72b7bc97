"""Ways to break a plugin that the loader names, or that are named when records are collected."""

from __future__ import annotations

from ways_to_break.way import Way, hook, offers

WAYS = [
    # Named by the loader.
    Way(
        "The module of hooks raises while it is imported",
        "raised ModuleNotFoundError: No module named 'no_such_library'. Uninstall it, or reinstall it",
        "import no_such_library\n" + offers(),
    ),
    Way(
        "The module of hooks leaves the program",
        "raised SystemExit: 3. Uninstall it, or reinstall it",
        "raise SystemExit(3)",
    ),
    Way(
        "A hook has a name that does not exist",
        "it implements allin1_spektrogram, which this core does not know. Install compatible versions",
        hook("allin1_spektrogram", "return []"),
    ),
    Way(
        "A hook has an argument that does not exist",
        "Argument(s) {'banana'} are declared in the hookimpl but can not be found in the hookspec",
        hook("allin1_nn", "return []", "banana"),
    ),
    Way("No function is marked", "no function that is marked with allin1_core.hookimpl", "pass"),
    Way(
        "The plugin was written for a later core",
        "It was written for level 99 of the plugin contract; this core supports 1. Upgrade the core",
        "ALLIN1_API = 99\n" + offers(),
    ),
    Way(
        "The level of the contract is no number",
        "its ALLIN1_API is '1'; wanted a whole number",
        "ALLIN1_API = '1'\n" + offers(),
    ),
    # Named when records are collected.
    Way(
        "A hook raises",
        "hook allin1_metrical_prep: It raised OSError: no licence file",
        hook("allin1_metrical_prep", "raise OSError('no licence file')"),
    ),
    Way(
        "A hook returns a record by itself",
        "wanted an iterable of Backend: yield each, or return a list",
        hook("allin1_metrical_prep", "return backend()"),
    ),
    Way(
        "A field is of another type",
        "Backend mine: parity is 'close'; wanted",
        offers("parity='close'"),
    ),
    Way(
        "A requirement cannot be read",
        "needs.requires[0] is 'scipy>>1'; wanted a requirement in pip's syntax",
        offers("needs=Needs(requires=('scipy>>1',))"),
    ),
    Way(
        "A speed is negative",
        "speed[0].rate is -1.0; wanted a finite number, 0 or more",
        offers("speed=(Speed('cpu', 0.0, -1.0, 'here'),)"),
    ),
    Way(
        "A name cannot be typed",
        "name is 'torch_cpu'; wanted letters and digits, in groups joined by single hyphens",
        offers("'torch_cpu'"),
    ),
    Way(
        "A name is the core's",
        "Backend reference: the name is reserved for the core",
        offers("'reference'"),
    ),
    Way(
        "A name is offered twice",
        "the plugin provides another of this name; the first is used",
        hook("allin1_metrical_prep", "return [backend(), backend()]"),
    ),
    Way(
        "A backend is offered by the hook of another stage",
        "Backend mine declares stage metrical_prep",
        offers(stage="functional"),
    ),
    Way(
        "A backend spans stages that do not follow",
        "spans spectrogram and functional, which are not consecutive",
        offers(
            "'mine', 'spectrogram', spans=('spectrogram', 'functional')", stage="spectrogram"
        ),
    ),
    Way(
        "The default of an option is of another type",
        "options[0].default is '4'; wanted a int",
        offers("options=(Option('batch', int, '4'),)"),
    ),
    Way(
        "A command has the name of one of the core's",
        "Command export: ",
        hook("allin1_commands", "yield Command('export', 'PACKAGE.work:create', 'x')"),
    ),
]  # fmt: skip
