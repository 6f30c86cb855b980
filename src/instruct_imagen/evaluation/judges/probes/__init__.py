"""What the truth judge looks with: a network trained on real renders, and measures of pixels."""
