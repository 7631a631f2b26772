"""``python -m mac STAGE``."""

import os
import sys

from mac.runtime import warm

if "LOCAL_RANK" not in os.environ:  # else it is one of several processes of a training
    warm.run(sys.argv[1:])

from mac.cli import start  # not before: a warm job does not need it

start()
