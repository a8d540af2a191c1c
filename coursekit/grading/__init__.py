"""The instructor's side: releasing assignments, grading what comes back, proving the tests."""
