"""Documents of users: files of many kinds into passages with their places, and these into an index."""
