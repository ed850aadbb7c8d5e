// Breaks the layout.
int io_x(int n) { if(n) return 1; return 0; }
