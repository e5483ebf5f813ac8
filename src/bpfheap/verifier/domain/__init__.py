"""The abstract domain of numbers: words, tristate numbers and ranges, and arithmetic on them."""
