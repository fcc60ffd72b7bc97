"""Check that source archives contain all files that are needed to build and test from them, and nothing else.

python scripts/check_distributions.py dist
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

#: Paths that the archive of the core leaves out: the other distributions, and files that only the repository needs.
LEFT_OUT = ("plugins/", "examples/", "benchmarks/", "kernels/", ".", "changelog.d/", "scripts/")
REPOSITORY_ONLY = {
    *("CITATION.cff", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "SECURITY.md", "mypy.ini"),
}

#: What build tools add.
GENERATED = re.compile(r"^(PKG-INFO|setup\.cfg|\.gitignore|src/\w+\.egg-info/.*)$")


def main() -> None:
    """Compare each archive with the files that are committed in its folder."""
    problems = []
    archives = sorted(Path(sys.argv[1]).glob("*.tar.gz"))
    for archive in archives:
        name = archive.name.rpartition("-")[0].replace("_", "-")
        folder = ROOT if name == "allin1-core" else ROOT / "plugins" / name
        with tarfile.open(archive) as opened:
            held = {m.name.partition("/")[2] for m in opened.getmembers() if m.isfile()}
        files = wanted(folder)
        problems += [f"{archive.name} lacks {path}" for path in sorted(files - held)]
        surplus = {path for path in held - files if not GENERATED.search(path)}
        problems += [f"{archive.name} should not hold {path}" for path in sorted(surplus)]
    print("\n".join(problems) or f"{len(archives)} source archives are complete.")
    sys.exit(bool(problems or not archives))


def wanted(folder: Path) -> set[str]:
    """The committed files of a distribution that belong in its archive."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=folder, stdout=subprocess.PIPE, text=True, check=True
    ).stdout.splitlines()
    if folder != ROOT:
        return {path for path in listed if not path.startswith(".")}
    return {p for p in listed if not p.startswith(LEFT_OUT)} - REPOSITORY_ONLY


if __name__ == "__main__":
    main()
