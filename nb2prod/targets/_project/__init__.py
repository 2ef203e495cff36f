"""The parts of the target `project`: what the notebook's code becomes, module by module."""
