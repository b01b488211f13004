"""Training: photographs in, weights out."""
