"""How findings are told: one file a format, each a function from what was checked to a text."""
