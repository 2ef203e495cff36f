"""What things are: the frozen, typed values that every stage takes and returns.

Standard library only, no input or output, no import of anything else in nb2prod.
"""
