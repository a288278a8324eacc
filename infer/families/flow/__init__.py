"""The flow family: every pixel follows a flow field to the centre of its cell (Stringer et al. 2021)."""
