"""The web page where a person clicks points and picks the best candidate."""
