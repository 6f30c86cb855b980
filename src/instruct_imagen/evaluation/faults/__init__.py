"""Ways to spoil a picture; `registry` and `evaluation.corruptions` name them."""
