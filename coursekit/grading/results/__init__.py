"""What comes of grading: the gradebook, feedback, exports and the report."""
