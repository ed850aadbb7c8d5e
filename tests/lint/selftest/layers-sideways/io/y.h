// Beside.
