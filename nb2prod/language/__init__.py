"""How notebook code is understood: pure functions over source. Nothing here runs or imports a notebook's code."""
