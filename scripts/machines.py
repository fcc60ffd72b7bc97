"""Add machines to those that ``allin1 bench --report`` compares with, and write the table of the documentation.

    allin1 bench --report mine.json
    python scripts/machines.py mine.json

A machine of the same name is replaced. Without a file, only the table is written.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from allin1_core.io.documents import read_json
from allin1_core.measuring.machines import from_json, table, to_json

ROOT = Path(__file__).resolve().parents[1]
DATA, PAGE = ROOT / "allin1_core" / "measuring" / "machines.json", ROOT / "docs" / "machines.md"

#: Start of the generated table; the part of the page before it is written by hand.
MARK = "<!-- What follows is written by scripts/machines.py. -->\n"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("reports", nargs="*", type=Path, help="reports in JSON")
    reports = parser.parse_args().reports
    machines = {machine.name: machine for machine in from_json(read_json(DATA))}
    for report in reports:
        machines |= {machine.name: machine for machine in from_json(read_json(report))}
    text = json.dumps(to_json(machines.values()), indent=1) + "\n"
    DATA.write_text(text, encoding="utf-8")
    before, _, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    PAGE.write_text(f"{before}{MARK}\n{table(tuple(machines.values()))}", encoding="utf-8")


if __name__ == "__main__":
    main()
