"""Trained networks into self-describing ONNX files. Needs torch and onnx; not needed at run time."""
