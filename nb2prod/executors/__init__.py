"""Where steps run: one file each, offering a `concurrent.futures.Executor`."""
