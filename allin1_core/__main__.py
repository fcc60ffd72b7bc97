"""``python -m allin1_core``."""

from allin1_core.cli.main import main

main()
