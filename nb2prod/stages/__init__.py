"""What happens: one verb a file, a value in, a value out."""
