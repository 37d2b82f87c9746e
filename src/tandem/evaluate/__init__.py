"""How good a model is: perplexity, loss by position, multiple choice, generated answers, comparisons."""
