"""What a notebook shows: tables, pictures, frames, and errors in the words of Python."""
