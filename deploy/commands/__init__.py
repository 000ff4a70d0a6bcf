"""The commands of `deploy`, one file each; the only place that prints results."""
