"""Steps that run by themselves, each in a process or container of its own: shared by the targets that schedule them."""
