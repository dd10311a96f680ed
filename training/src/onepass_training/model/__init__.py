"""The one model: input rows, tokenizer, trunk, towers and heads."""
