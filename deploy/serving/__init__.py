"""An engine behind the gate: started, tried, served, ended."""
