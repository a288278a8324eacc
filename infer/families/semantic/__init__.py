"""The semantic family: one foreground map, whose connected components are the cells."""
