"""Runs over many files: which files, in which process, and the record of what happened."""
