"""What the engine withstands, and that its labels stay the same."""
