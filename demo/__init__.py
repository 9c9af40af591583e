"""The demo's parts: a real small base model, a bank's data set, and the evaluation of a tuned model on it."""
