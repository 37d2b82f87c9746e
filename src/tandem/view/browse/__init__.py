"""Pages over run folders: the list of runs, one run, its items, one item, two runs beside each other."""
