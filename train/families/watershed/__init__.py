"""The watershed family (Mesmer): networks that predict the inner distance and interior, border and background."""
