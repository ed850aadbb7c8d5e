// Above.
