// Needs no exception.
