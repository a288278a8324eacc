"""Accuracy: how well the labels agree with true labels and with those of cellpose."""
