"""How a pipeline looks: as text for a terminal, as Mermaid, and as a self-contained SVG. Pure functions."""
