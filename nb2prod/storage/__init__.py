"""How values rest: files written whole or not at all, a run's journal, artifacts, model formats, templates."""
