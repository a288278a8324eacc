"""Image files as windowed readers of (C, Y, X) pixels."""
