"""edgeseg data: what a data set is, and its plain layout."""
