"""The parts of `stages/card.py`: what can be said of a model beyond what its run says, computed from its example."""
