"""A whole instance in one file, and back: its database, its artifacts and its secret key."""
