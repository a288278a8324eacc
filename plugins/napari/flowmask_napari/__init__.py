"""Flowmask in napari: segment a layer or a slide, correct the labels, train with them."""
