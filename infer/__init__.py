"""Flowmask: instance labels from microscopy images with flow networks on ONNX Runtime."""
