"""One question per script, against named references; each prints a table and writes its figures as JSON."""
