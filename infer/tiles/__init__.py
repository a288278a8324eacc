"""From an image to tiles for the network, and from the network's tiles back to rows of maps."""
