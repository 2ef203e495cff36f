"""The parts of `sync`: functions as statements, their changes as changes of cells, merges, and what is left."""
