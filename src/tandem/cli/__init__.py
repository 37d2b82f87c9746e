"""The command line: one file per command; the library is imported only when a command runs."""
