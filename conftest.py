"""Fixtures that tests in several folders share: kinds have tests in a browser of their own."""

pytest_plugins = ["tests.browser.fixtures"]
