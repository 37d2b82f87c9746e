"""How servers are spoken to: a module per format, pure functions from question to body and from body to answers."""
