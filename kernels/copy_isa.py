"""Copies ``kernels/isa`` into each distribution that has kernels, so that its source archive is complete.

    python kernels/copy_isa.py

A test compares the copies.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

#: Folder of the original files.
SOURCE = ROOT / "kernels" / "isa"

#: Where they are copied to.
FOLDERS = (
    ROOT / "plugins/allin1-cython/src/allin1_backend_cython/kernel",
    ROOT / "plugins/allin1-dbn-cython/src/allin1_backend_dbn_cython/kernel",
)


def main() -> None:
    """Copy every file to every folder."""
    for file in sorted(SOURCE.iterdir()):
        for folder in FOLDERS:
            (folder / file.name).write_bytes(file.read_bytes())


if __name__ == "__main__":
    main()
