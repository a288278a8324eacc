"""Training of the network: data, simulation and the fitting loop. Not needed at run time."""
