"""Files of microscope vendors (CZI, ND2, LIF), read with the packages of the extra `formats`."""
