"""One module for each network that was trained: its configuration and, in the docstring, how it went."""
