"""`flowmask train`: continue the training of a network that ships with a few corrected images, and score it."""
