"""`python -m infer -i IN -o OUT`."""

import sys

from .cli import main

sys.exit(main(own_process=True))
