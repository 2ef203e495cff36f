"""What must hold of a pipeline: one check a file, whose docstring is its page in the docs."""
