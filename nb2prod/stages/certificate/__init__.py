"""The parity certificate: every path to a package's answers, compared with the notebook's own object row by row."""
