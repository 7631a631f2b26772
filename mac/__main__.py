"""``python -m mac STAGE``."""

from mac.cli import main

main()
