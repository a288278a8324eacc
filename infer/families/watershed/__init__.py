"""The watershed family (Mesmer): cells are flooded from the maxima of one map within the foreground of another."""
