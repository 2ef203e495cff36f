"""What `stages/map.py` is made of: the table's items, the workers' job, batches, journal and results, progress."""
