"""What an untagged notebook seems to mean: acts of cells, names of steps, marks and parameters. Nothing is executed."""
