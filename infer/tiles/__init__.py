"""From an image to network tiles, and from tiles back to rows of maps."""
