"""The machine: processor cores, memory, GPUs, threads and files. Nothing here knows what an image is."""
