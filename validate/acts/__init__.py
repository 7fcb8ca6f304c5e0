"""What is done in the queue, one file an act; each begins with its locks (validate.hearing)."""
