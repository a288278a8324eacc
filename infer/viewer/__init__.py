"""`flowmask view`: a page in the browser that shows the labels of a run on their images, also on whole slides."""
