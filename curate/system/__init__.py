"""What curate, train and deploy stand on: this machine, and what lies in a model's folder."""
