"""Runs on a Dask cluster: each image is a task, and each worker opens the network once."""
