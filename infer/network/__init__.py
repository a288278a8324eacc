"""A network file as named maps of tiles: its contract, its session, its devices."""
