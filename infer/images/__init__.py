"""Read windows of pixels (C, Y, X) from image files."""
