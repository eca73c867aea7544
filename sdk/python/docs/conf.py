"""The API reference: `python -m sphinx -W docs ../../target/docs/python`, with the extra `docs`."""

from callboard import __version__

project = "Callboard for Python"
author = "The Callboard authors"
release = __version__
extensions = ["sphinx.ext.autodoc"]
html_theme = "alabaster"
# Docstrings are plain text with names between backticks: code.
default_role = "code"
# aio.Client is meant where it stands, and is not the only one of its name.
suppress_warnings = ["ref.python"]
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_class_signature = "separated"
autodoc_default_options = {"members": True, "undoc-members": False}
