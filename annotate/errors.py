"""What this app's services say no with; defined below, since people's services do so too."""

from accounts.errors import Conflict, Refused

__all__ = ["Conflict", "Refused"]
