"""The examination: a student's cells behind walls, the tests outside of them."""
