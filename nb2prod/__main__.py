"""`python -m nb2prod` is the command `nb2prod`."""

from nb2prod.cli import command

command()
