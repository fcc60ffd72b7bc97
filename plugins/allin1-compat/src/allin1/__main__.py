"""``python -m allin1``."""

from allin1_core.cli.main import main

main()
