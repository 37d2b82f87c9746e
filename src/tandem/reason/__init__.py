"""Answer questions: from what the model knows, or from what can be looked up."""
