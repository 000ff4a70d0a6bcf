"""The commands of `curate`, one file each; `curate.cli` joins them."""
