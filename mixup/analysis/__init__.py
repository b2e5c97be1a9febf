"""What is measured on a trained network beyond its test error."""
