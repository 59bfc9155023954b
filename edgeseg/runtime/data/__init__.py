"""What a data set looks like, and copies of it in the plain layout."""
