"""A training that runs: followed, recorded, stopped, gone on with."""
