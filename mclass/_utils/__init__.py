"""What any part of the package may use, and nothing outside of it should."""
