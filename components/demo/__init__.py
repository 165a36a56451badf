"""A demonstration that needs no account: an example repository, its tasks, a scripted model."""
