"""The parts of `stages/versions.py`: the table of versions, and what a cell reads, shares, changes and binds."""
