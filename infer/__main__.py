"""`python -m infer -i IN -o OUT` in a checkout; `python -m flowmask COMMAND ...` in an installation."""

import sys

from .cli import console, main

sys.exit(main(own_process=True) if __package__ == "infer" else console())
