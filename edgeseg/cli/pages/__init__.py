"""What the HTML pages of several verbs share."""
