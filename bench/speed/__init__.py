"""Speed: time and memory, and where they go."""
