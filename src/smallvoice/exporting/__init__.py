"""A tuned model in the forms that other runtimes load, each behind one gate (`parity`)."""
