"""Pages whose text is a file outside ``docs/``, and links from pages to such files.

Documents are written to be read in the repository, too, so they link to files there: ``../SECURITY.md``. Where the
site has a page with the text of that file, the link leads to the page; other files are named without a link, unless
the configuration value ``repository_url`` says where they can be read. A link to a file that does not exist is a warning.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

#: A Markdown link or picture with a relative target, outside code: its text, target and anchor.
LINK = re.compile(r"(!?)\[([^\[\]]*)\]\(([^)\s#:]+)(#[^)\s]*)?\)")
CODE = re.compile(
    r"^( {0,3})(`{3,}|~{3,}).*?^\1\2[ \t]*$|`[^`\n]+`(?!\])", re.MULTILINE | re.DOTALL
)


def read_source(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put the text of a file in place of its page, and make links of the repository those of the site."""
    docs = Path(app.srcdir).resolve()
    root = docs.parent
    origin = docs / f"{docname}.md"
    if docname in app.config.repository_pages:
        origin = root / app.config.repository_pages[docname]
        source[0] = origin.read_text(encoding="utf-8")
        app.env.note_dependency(str(origin))
    elif not origin.exists():
        return
    pages = {(root / file).resolve(): page for page, file in app.config.repository_pages.items()}
    pages |= {(root / file).resolve(): page for file, page in app.config.repository_links.items()}
    code = [match.span() for match in CODE.finditer(source[0])]

    def site_link(match: re.Match[str]) -> str:
        if any(start <= match.start() < end for start, end in code):
            return match[0]
        picture, text, target, anchor = match[1], match[2], match[3], match[4] or ""
        file = (origin.parent / target).resolve()
        if not file.exists():
            logger.warning("link to %s, which does not exist", target, location=docname)
            return match[0]
        page = pages.get(file) or pages.get(file / "README.md")
        if page is not None:
            file = docs / f"{page}.md"
        if file.is_relative_to(docs) and file.is_file():
            link = os.path.relpath(file, (docs / docname).parent).replace(os.sep, "/")
            return f"{picture}[{text}]({link}{anchor})"
        if app.config.repository_url:
            inside = file.relative_to(root).as_posix()
            return f"{picture}[{text}]({app.config.repository_url}/{inside}{anchor})"
        return text if text.startswith("`") else f"{text} (in the repository)"

    source[0] = LINK.sub(site_link, source[0])


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_config_value("repository_pages", {}, "env")
    app.add_config_value("repository_links", {}, "env")
    app.add_config_value("repository_url", "", "env")
    app.connect("source-read", read_source)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
