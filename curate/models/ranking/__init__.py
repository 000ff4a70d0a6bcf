"""From a prompt and a response to one number: reward models of others and trained heads."""
