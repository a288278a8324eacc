"""Runs over many files: the list of files, the worker process, progress, and the JSON record of the run."""
