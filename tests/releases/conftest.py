"""Logs of every kind, as the contract's tests have them."""

from tests.contract.conftest import loaded, log_of, manage

__all__ = ["loaded", "log_of", "manage"]
