"""Tables, problems with a known density, and streams."""
