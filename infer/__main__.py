"""`python -m infer -i IN -o OUT`."""

import sys

from infer.cli import main

sys.exit(main(own_process=True))
