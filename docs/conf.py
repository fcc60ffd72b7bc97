"""Sphinx configuration; ``nox -s docs`` builds the site, and README.md says where to read it."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "allin1"
author = "The allin1 contributors"
project_copyright = "2026, The allin1 contributors"
version = release = importlib.metadata.version("allin1-core")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_copybutton",
    "mathml",
    "repository_links",
]
exclude_patterns = ["_build", "_extensions", "README.md"]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "attrs_inline", "fieldlist"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # a guide may begin below another level

autodoc_default_options = {"members": True, "member-order": "bysource", "show-inheritance": True}
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
autoclass_content = "both"
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_preprocess_types = False

# Options such as --json stay as they are.
smartquotes = False

html_theme = "furo"
html_math_renderer = "mathml"
html_favicon = "_static/favicon.svg"
html_title = f"allin1 {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_search_scorer = str(Path(__file__).parent / "_static" / "search_scorer.js")
html_copy_source = False
html_show_sphinx = False
copybutton_prompt_text = r"\$ |>>> "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True

#: Not there before the first release.
linkcheck_ignore = [r"https://pypi\.org/project/allin1-core/"]

#: Pages whose text is a file elsewhere in the repository.
repository_pages = {
    "packages/allin1-torch": "plugins/allin1-torch/README.md",
    "packages/allin1-dbn-cython": "plugins/allin1-dbn-cython/README.md",
    "packages/allin1-cython": "plugins/allin1-cython/README.md",
    "packages/allin1-mlx": "plugins/allin1-mlx/README.md",
    "packages/allin1-madmom": "plugins/allin1-madmom/README.md",
    "packages/allin1-compat": "plugins/allin1-compat/README.md",
    "packages/allin1-ray": "plugins/allin1-ray/README.md",
    "packages/allin1-train": "plugins/allin1-train/README.md",
    "packages/allin1-podlove": "examples/allin1-podlove/README.md",
    "packages/allin1-scipy": "examples/allin1-scipy/README.md",
    "packages/allin1-library": "examples/allin1-library/README.md",
    "maintaining/benchmarks": "benchmarks/README.md",
    "maintaining/contributing": "CONTRIBUTING.md",
    "maintaining/security": "SECURITY.md",
    "maintaining/changelog": "CHANGELOG.md",
}

#: Files and folders of the repository that other pages stand for.
repository_links = {
    "README.md": "index",
    "docs": "index",
    "examples": "packages/index",
    "plugins": "packages/index",
}

# A reference in a docstring to something of this project that the site does not describe is a mistake, unless it is private.
# Types are not checked: those of NumPy and Python are described elsewhere.
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!allin1_core\b).*"),
    (
        "py:.*",
        r"allin1_core\.(api|calibration|cli|io|measuring|page|plugins|presentation|runtime|selection|urls|weights)\b.*",
    ),
    ("py:.*", r"allin1_core\.reference\.tempo_alternatives\b.*"),
    ("py:mod", r"allin1_core\..*"),  # modules that are not public are named, too
    ("py:obj", r"allin1_core\.contracts\.stages\.Given"),
    ("py:.*", r"allin1_core\.testing\.(conformance\.(running|offered)|examining)\..*"),
    ("py:attr", r".*"),  # attributes are described with their classes
    ("py:class", r".*[\[\],| ].*"),
]


def escape_asterisks(app: Any, context: Any, lines: list[str]) -> None:
    """Let ``*.mp3`` in the help of an option stand for itself."""
    lines[:] = [line.replace("*", r"\*") for line in lines]


def setup(app: Any) -> None:
    """Connect what this file adds."""
    app.connect("sphinx-click-process-options", escape_asterisks)
