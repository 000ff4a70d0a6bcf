"""What stands before an engine: a key for everything, four endpoints, requests that are checked."""
