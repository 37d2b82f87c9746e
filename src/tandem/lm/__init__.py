"""Ask a language model: one protocol, many back ends, every answer recorded."""
