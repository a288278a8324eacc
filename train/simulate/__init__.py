"""Simulated labelled microscopy images for training and demonstration."""

from train.simulate.modalities import MODALITIES, Sample, simulate

__all__ = ["MODALITIES", "Sample", "simulate"]
