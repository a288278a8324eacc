"""The semantic family: the cells are connected components of the foreground or of the interior."""
