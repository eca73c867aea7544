"""The SDK's version, which agents tell the server."""

__version__ = "0.1.0"
