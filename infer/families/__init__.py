"""Network families: how the maps of a network become cells."""
