class BackupError(Exception):
    """A backup cannot be made or used; the message is a sentence for the operator."""
