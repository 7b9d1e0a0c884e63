"""Reference data: what ships with the package, what is fetched, and how it was made."""
