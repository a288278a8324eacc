"""The flow family: networks that predict, for each pixel, a cell logit and a flow towards the centre of its cell."""
