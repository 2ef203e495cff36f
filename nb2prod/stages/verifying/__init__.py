"""How a notebook is verified: what its runs noted, each pair compared, and what that proves of the pipeline's edges."""
