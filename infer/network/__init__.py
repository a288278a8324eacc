"""A network file: its contract, and running it on tiles with ONNX Runtime, on the CPU or a GPU.

This package sets two environment variables before any of its modules imports ONNX Runtime.
"""

import os

# ONNX Runtime 1.29 and newer send usage data to its makers unless this is set before it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# Number GPUs as nvidia-smi and NVML do. CUDA reads this when it is first used.
os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
