"""What students hand in: collected as it comes, and put back into the assignment's form."""
