"""Sources: whatever can be looked up, with its place and its date."""
