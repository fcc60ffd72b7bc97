"""Add the members of the model ``builtin`` to the core, and their digests to its catalogue.

    python scripts/builtin_weights.py --version 1.0 member-a.npz member-b.npz member-c.npz

Parameters are rounded to float16, so evaluate the output, not the input. The current version is replaced; to keep it
available for download, first copy its table in catalogue.toml to the end of the file, and add `urls` to the copy.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import re
from pathlib import Path

import numpy as np

WEIGHTS = Path(__file__).resolve().parents[1] / "allin1_core" / "weights"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("members", nargs="+", type=Path, help="archives of float32 parameters")
    parser.add_argument("--version", required=True, help="version for the catalogue")
    parser.add_argument(
        "--weights", type=Path, default=WEIGHTS, help="folder of the core's weights"
    )
    arguments = parser.parse_args()

    packed = [rounded(path) for path in arguments.members]
    for old in (arguments.weights / "builtin").glob("builtin-*.npz"):
        old.unlink()
    for k, content in enumerate(packed):
        (arguments.weights / "builtin" / f"builtin-{k}.npz").write_bytes(content)
    catalogue = arguments.weights / "catalogue.toml"
    text = catalogue.read_text(encoding="utf-8")
    catalogue.write_text(with_members(text, arguments.version, packed), encoding="utf-8")
    print(f"{len(packed)} members, {sum(map(len, packed)) / 1e6:.2f} MB")


def rounded(path: Path) -> bytes:
    """Return an archive with its arrays converted to float16."""
    with np.load(path, allow_pickle=False) as archive, np.errstate(over="ignore"):
        arrays = {name: archive[name].astype(np.float16) for name in archive.files}
    bad = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if bad:
        raise SystemExit(f"{path}: not finite as float16: {', '.join(bad)}")
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def with_members(text: str, version: str, packed: list[bytes]) -> str:
    """Return the catalogue with other members and another version in its first table of ``builtin``."""
    lines = [
        f'    {{ sha256 = "{hashlib.sha256(content).hexdigest()}", size = {len(content)} }},\n'
        for content in packed
    ]
    members = "members = [\n" + "".join(lines) + "]\n"
    head, mark, table = text.partition("[[builtin]]\n")
    table, versions = re.subn(
        r'^version = ".*"$', f'version = "{version}"', table, count=1, flags=re.M
    )
    table, lists = re.subn(r"^members = \[\n.*?^\]\n", members, table, count=1, flags=re.M | re.S)
    if not (mark and versions and lists):
        raise SystemExit("The catalogue has no table [[builtin]] with a version and members.")
    return head + mark + table


if __name__ == "__main__":
    main()
