"""One image shared between processes: they compute its maps and its labels in pieces, in one folder."""
