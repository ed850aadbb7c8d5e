// Breaks the rule on spaces at the end of a line. 
