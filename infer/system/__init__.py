"""The machine: processor cores, memory, GPUs, threads and files. Nothing in this package knows about images."""
