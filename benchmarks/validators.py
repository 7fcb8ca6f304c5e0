"""."""

LOADS: tuple = ()
