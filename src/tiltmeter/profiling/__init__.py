"""Rows become profiles here: fit of bins, the counting kernels, and the codec of stored states."""
