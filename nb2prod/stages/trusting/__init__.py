"""The parts of `stages/trust.py`: each reads one kind of file of a package as data, and says what is wrong with it."""
