"""One loop for pre-training in stages and instruction tuning."""
