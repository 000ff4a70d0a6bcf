"""How much memory a model takes to train and to run, before anything is loaded."""
