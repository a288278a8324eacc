"""The report of a run: one HTML page with a card for each image, and the files that keep the cards."""
