"""The parts of `stages/score.py`: reading data in blocks, checking rows, asking the model, keeping what is done."""
