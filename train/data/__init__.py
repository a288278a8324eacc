"""Labelled images on disk, prepared in memory, and the augmented batches made from them."""
