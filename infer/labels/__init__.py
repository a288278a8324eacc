"""Label images: their types, storage, files and scores."""
