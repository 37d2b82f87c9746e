"""Tandem: task and data engineering for language models.

Import rooms by name (`from tandem import world`); nothing heavy is loaded until one is used.
"""

__version__ = "0.1.0"
