"""Who is told: one tracker a file; trackers listen to events and cannot change a run."""
