"""Label images: array types, measurements, storage, files, provenance and scores."""
