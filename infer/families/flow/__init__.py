"""The flow family: each pixel of a cell follows a flow field to the centre of the cell (Stringer et al. 2021)."""
