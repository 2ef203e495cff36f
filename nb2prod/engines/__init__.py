"""How a pipeline runs: one engine a file, named as the user types it."""
