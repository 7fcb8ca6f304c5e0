"""Hot statements: built once, prepared, and written together (docs/adr/0005, 0006)."""
