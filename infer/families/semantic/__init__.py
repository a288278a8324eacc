"""The semantic family: the cells are the connected components of one foreground map."""
