"""A run described in TOML: checked, planned, executed, resumed."""
