"""Ways to break a backend of any stage."""

from __future__ import annotations

from ways_to_break.way import Way, hook, offers

WAYS = [
    Way("The probe raises", "its probe PACKAGE.work:probe raised OSError: no driver",
        offers("probe='PACKAGE.work:probe'"),
        work="def probe():\n    raise OSError('no driver')"),
    Way(
        "The probe names a device of another kind",
        "its probe names the device cuda:0, its record the device cpu: let both name one",
        offers("probe='PACKAGE.work:probe'"),
        work="def probe():\n    return Ready('cuda:0')",
    ),
    Way(
        "A speed is given in milliseconds",
        "Its speed on cpu is 250 s for a second of audio: give seconds, not milliseconds",
        offers("speed=(Speed('cpu', 0.0, 250.0, 'here'),)"),
    ),
    Way(
        "The factory gives nothing that can be called",
        "Its factory PACKAGE.work:create returned None; wanted a function",
        after="return",
    ),
    Way(
        "The output differs from the reference by more than is promised",
        "differs from the reference by 0.001, and promises identical: mend it, or declare what it keeps",
        body="activations = activations + np.float32(1e-3)",
    ),
    Way(
        "A model of its own promises parity",
        "there is no reference of the architectures own: declare parity=None",
        hook("allin1_models", "yield ModelCard('mine', 'x', (), 0.1, '', '', architecture='own')")
        + offers("'mine', 'nn', 'PACKAGE.work:run', models=('own',)", stage="nn"),
        work="def run(setup):\n    return network.create",
    ),
    Way("The output is of another type", "activations.values has dtype float16; wanted",
        body="activations = activations.astype('float16')"),
    Way("The output is shorter than the input", "It returned 6 frames; its input",
        body="activations = activations[: max(1, len(activations) - 1)]"),
    Way(
        "Arrays lie elsewhere than is declared",
        "its record produces allin1_core/npu: move it there, or declare where it lies",
        offers("produces=NPU, probe='PACKAGE.work:probe'")
        + hook(
            "allin1_bridges",
            "return [Bridge(HOST, NPU, 'PACKAGE.work:upload'), Bridge(NPU, HOST, 'PACKAGE.work:download')]",
        ),
        work="def probe():\n    return Ready('npu')",
    ),
    Way("The input is written to", "it writes to beat of its input: copy before you change",
        body="logits.beat.setflags(write=True); logits.beat[0] = 0"),
    Way(
        "The output is random",
        "a second call gives something else: seed what is random",
        body="activations = activations + np.float32(1e-9 * np.random.rand())",
    ),
    Way(
        "Something is kept from one call to the next",
        "keep nothing from one call to the next",
        body="calls.append(0); activations = activations + np.float32(len(calls))",
    ),
    Way("A call prints", "it prints on stdout ('at work'), which is for results",
        body="print('at work')"),
    Way(
        "A call raises",
        "it raised KeyError: 'tempo': --traceback shows where",
        body="calls = {}['tempo']",
    ),
    Way(
        "A call leaves the program",
        "it raised SystemExit: 3: --traceback shows where",
        body="raise SystemExit(3)",
    ),
    Way(
        "Threads are left behind",
        "it leaves threads behind (mine): end them in close()",
        after="threading.Thread(target=threading.Event().wait, daemon=True, name='mine').start()",
    ),
    Way(
        "A separator is silent about its progress",
        "it tells no progress: call task.progress(fraction) now and then",
        offers("'mine', 'demix', 'PACKAGE.work:separator', parity=None", stage="demix"),
        work="def separator(setup):\n    return lambda mix, task: Stems(np.stack([mix.samples / 4] * 4))",
    ),
    Way(
        "A separator cannot be cancelled",
        "what task.progress raises is swallowed: let it through, it cancels the run",
        offers("'mine', 'demix', 'PACKAGE.work:separator', parity=None", stage="demix"),
        work="""
def separator(setup):
    def call(mix, task):
        try:
            task.progress(1.0)
        except BaseException:
            pass
        return Stems(np.stack([mix.samples / 4] * 4))
    return call
""",
    ),
]  # fmt: skip
