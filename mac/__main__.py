"""``python -m mac STAGE``."""

import os

from mac.cli import main

if "LOCAL_RANK" in os.environ:  # one of several processes of a training
    from mac.runtime.signals import end_with

    end_with(main)
main()
