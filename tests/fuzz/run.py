"""Fuzzes the readers of files: ``python tests/fuzz/run.py --seconds 60``, or ``--help``."""

from __future__ import annotations

import sys

import audio
import documents
from runner import main

TARGETS = (*audio.TARGETS, *documents.TARGETS)

if __name__ == "__main__":
    sys.exit(main(TARGETS, [sys.executable, __file__], sys.argv[1:]))
