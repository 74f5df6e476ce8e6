"""The server under test: an ASGI application, and the Modal app that runs it."""
