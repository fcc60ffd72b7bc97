"""Ways to break a plugin that its standard tests name."""

from __future__ import annotations

from ways_to_break.way import Way, hook, offers

WAYS = [
    Way(
        "Importing the hooks takes long",
        "every command imports it: leave the work to the target",
        "import time; time.sleep(0.3)\n" + offers(),
        real=True,
    ),
    Way(
        "The hooks import an array library",
        "imports numpy: import it where the work is, in the module that the target names",
        "import numpy\n" + offers(),
        real=True,
    ),
    Way(
        "The hooks print",
        "it prints on stdout ('hello'), which is for results: log it, or leave it",
        "print('hello')\n" + offers(),
        real=True,
    ),
    Way(
        "A target does not exist",
        "target PACKAGE.wrok:create cannot be imported (ModuleNotFoundError",
        offers("target='PACKAGE.wrok:create'"),
    ),
    Way(
        "A target is no function",
        "target PACKAGE.work:calls is no function: name one",
        offers("target='PACKAGE.work:calls'"),
    ),
    Way(
        "Arrays cannot be brought to a backend",
        "no bridge leads from numpy/cpu to allin1_core/npu: declare one by the hook allin1_bridges",
        offers("consumes=NPU"),
    ),
    Way(
        "A bridge changes what crosses it",
        "over the bridges to allin1_core/npu and back it becomes another array",
        hook(
            "allin1_bridges",
            "return [Bridge(HOST, NPU, 'PACKAGE.work:there'), Bridge(NPU, HOST, 'PACKAGE.work:download')]",
        ),
        work="def there(array, device):\n    return upload(array.astype('float16'), device)",
    ),
    Way(
        "A model has no backend that runs it",
        "no backend of the stage nn runs the architecture own of model mine: offer one",
        hook("allin1_models", "yield ModelCard('mine', 'x', (), 0.1, '', '', architecture='own')"),
    ),
    Way(
        "A file of weights that comes with the package is not there",
        "mine.npz",
        hook(
            "allin1_models",
            "yield ModelCard('mine', 'x', (WeightsFile('mine.npz', '0' * 64, 9, package='PACKAGE'),), 0.1, '', '')",
        ),
    ),
    Way(
        "A post-processor changes the result in place",
        "changes the result that it was given, and returns nothing: return a new one",
        hook("allin1_postprocess_result", "result.beats.clear()", "result"),
    ),
    Way(
        "An observer cannot deal with a track that failed",
        "raised AttributeError: 'NoneType' object has no attribute 'bpm': let it deal with every track",
        hook("allin1_track_finished", "result.bpm", "result"),
    ),
    Way(
        "An exporter fails where a song has no beats",
        "raised IndexError: list index out of range: where the format cannot express a result, raise",
        hook("allin1_exporters", "yield Exporter('mine', '.mine', 'x', 'PACKAGE.work:write')"),
        work="def write(songs, file):\n    file.write(b'%f' % songs[0].result.beats[0])",
    ),
]  # fmt: skip
