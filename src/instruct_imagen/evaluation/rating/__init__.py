"""People rate images: a blind page, ratings that survive, and how far raters agree."""
